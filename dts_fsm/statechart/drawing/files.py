"""The pictures of the package's charts as files, which the repository keeps and checks to be current."""

from __future__ import annotations

import os
from pathlib import Path

from dts_fsm.statechart.drawing.dot import dot
from dts_fsm.statechart.drawing.markdown import markdown
from dts_fsm.statechart.drawing.mermaid import mermaid
from dts_fsm.statechart.drawing.picture import Picture
from dts_fsm.statechart.drawing.plantuml import plantuml
from dts_fsm.statechart.drawing.svg import digest, digest_of, svg
from dts_fsm.statechart.library import CHARTS, load_chart

_WRITERS = {"mmd": mermaid, "dot": dot, "puml": plantuml}


def write_diagrams(folder: str | os.PathLike[str]) -> None:
    """The folder, made where it is missing, holds the current pictures of the package's charts, and a page with both.

    Raises:
        StatechartError: Graphviz is missing, or failed.
        OSError: a file cannot be written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for name, text in _texts().items():
        (place / name).write_text(text, encoding="utf-8", newline="\n")
    for name, picture in _pictures().items():
        (place / f"{name}.svg").write_text(svg(picture, prefix=name), encoding="utf-8", newline="\n")


def stale_diagrams(folder: str | os.PathLike[str]) -> list[str]:
    """Give the names of the files that are missing in the folder, or are not what ``write_diagrams`` would write now.

    An SVG is current where it was made from the present picture, by whichever Graphviz; so none is needed here.

    Raises:
        OSError: a file is there and cannot be read.
    """
    place = Path(folder)
    stale = [name for name, text in _texts().items() if _read(place / name) != text.encode()]
    stale += [
        f"{name}.svg"
        for name, picture in _pictures().items()
        if digest_of(_read(place / f"{name}.svg").decode(errors="replace")) != digest(picture)
    ]
    return stale


def _read(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""


def _pictures() -> dict[str, Picture]:
    return {name: Picture.of(load_chart(name)) for name in CHARTS}


def _texts() -> dict[str, str]:
    page = [
        "# The statecharts",
        "",
        "Generated from the charts by `python -m dts_fsm.statechart.drawing`; do not edit. An arrow says its event",
        "and, in brackets, the guard that must agree. An arrow from the box can be taken from each state in it.",
    ]
    texts: dict[str, str] = {}
    for name, picture in _pictures().items():
        texts |= {f"{name}.{ending}": draw(picture) for ending, draw in _WRITERS.items()}
        page += ["", f"## {name}", "", picture.description, "", "```mermaid", mermaid(picture).rstrip("\n"), "```"]
        page += ["", f"Also as [SVG]({name}.svg), [DOT]({name}.dot) and [PlantUML]({name}.puml).", ""]
        page += markdown(picture).splitlines()
    texts["README.md"] = "\n".join(page) + "\n"
    return texts

"""Charts as Mermaid's ``stateDiagram-v2``, for pages. Source: mermaid.js.org, "State diagrams"."""

from __future__ import annotations

import re

from dts_fsm.statechart.drawing.palette import Palette, named
from dts_fsm.statechart.drawing.picture import BOX, LOOP, TICK, Node, Picture, Theme

_SAFE_ID = re.compile(r"[a-z][a-z0-9_]*")
# Found by drawing charts with states of these names: Mermaid reads them as its own words, or trips over them.
_MERMAID_WORD = re.compile(
    "accdescr|acctitle|as|class|classdef|click|constructor|default|direction|end|hide|href|note|root|scale|state|"
    "statediagram|style"
)
_PLAIN_CHARACTERS = f" _./[]-{TICK}{LOOP}"
_THEMES = {"auto": [], "light": ['%%{init: {"theme": "default"}}%%'], "dark": ['%%{init: {"theme": "dark"}}%%']}


def mermaid(picture: Picture, *, theme: Theme = "auto") -> str:
    """Give the picture's text, ending in a line break.

    Mermaid cannot colour single arrows: what was taken is ticked, and of tints only those of states are drawn.
    """
    ids = {node.name: _id(node.name, number) for number, node in enumerate(picture.nodes)} | {BOX: "ANY"}
    lines = [
        *_THEMES[theme],
        f"%% {picture.title}: generated from its chart, do not edit",
        "stateDiagram-v2",
    ]
    start = f"[*] --> {ids[picture.initial]}" + (f" : {TICK}" if picture.created else "")
    for names in picture.rows:
        # The order is for Mermaid's layout: it puts what comes first on top, but hangs the box's arrows, where the
        # beginning is not in the box, on the state that it meets first in there: the last lets them leave downwards.
        inside = [start] if picture.initial in names else []
        inside += [line for name in reversed(names) for line in _state(picture.node(name), ids)]
        if names == picture.box:
            inside = [f'state "any of these" as {ids[BOX]} {{', *(f"    {line}" for line in inside), "}"]
        lines += [f"    {line}" for line in inside]
    for arrow in picture.arrows:
        label = "<br/>".join(_text(text) for text in arrow.lines)
        lines.append(f"    {ids[arrow.source]} --> {ids[arrow.target]} : {label}")
    lines += [f"    {ids[node.name]} --> [*]" for node in picture.nodes if node.final]
    lines += _classes(picture, ids, named(theme), "#000" if theme == "auto" else named(theme).ink)
    lines += [f"    %% {' '.join(line.split())}" for line in picture.caption]
    return "\n".join(lines) + "\n"


def _classes(picture: Picture, ids: dict[str, str], palette: Palette, ink: str) -> list[str]:
    fills = {"walked": palette.walked, "current": palette.current}
    fills |= {f"heat{number}": fill for number, fill in enumerate(palette.heats, 1)}
    lines = []
    for style, fill in fills.items():
        names = [ids[node.name] for node in picture.nodes if style in (node.mark.look, f"heat{node.mark.tint}")]
        if names:
            stroke = palette.heat_lines[-1] if style.startswith("heat") else palette.path
            lines.append(f"    classDef {style} fill:{fill},stroke:{stroke},color:{ink}")
            lines.append(f"    class {','.join(names)} {style}")
    return lines


def _id(name: str, number: int) -> str:
    return name if _SAFE_ID.fullmatch(name) and not _MERMAID_WORD.fullmatch(name) else f"S{number}"


def _state(node: Node, ids: dict[str, str]) -> list[str]:
    return [f"{ids[node.name]} : {_text(text)}" for text in (node.name, *node.notes)]


def _text(text: str) -> str:
    """The text with everything that Mermaid might take for its own written as ``#code;``."""
    return "".join(char if char.isalnum() or char in _PLAIN_CHARACTERS else f"#{ord(char)};" for char in text)

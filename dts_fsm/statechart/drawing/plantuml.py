"""Charts as PlantUML's state diagrams. Source: plantuml.com, "State Diagram"."""

from __future__ import annotations

from dts_fsm.statechart.drawing.palette import Palette, named
from dts_fsm.statechart.drawing.picture import BOX, LOOP, TICK, Arrow, Node, Picture, Theme

_PLAIN_CHARACTERS = f" _./[]-{TICK}{LOOP}"


def plantuml(picture: Picture, *, theme: Theme = "auto") -> str:
    """Give the picture's text, ending in a line break."""
    palette = named(theme)
    ids = {node.name: f"S{number}" for number, node in enumerate(picture.nodes)} | {BOX: "ANY"}
    lines = ["@startuml", f"' {picture.title}: generated from its chart, do not edit", "hide empty description"]
    lines += _colours(palette)
    for names in picture.rows:
        inside = [line for name in names for line in _state(picture.node(name), ids, palette)]
        if names == picture.box:
            inside = [f'state "any of these" as {ids[BOX]} {{', *(f"  {line}" for line in inside), "}"]
        lines += inside
    lines.append(f"[*] --> {ids[picture.initial]}" + (f" : {TICK}" if picture.created else ""))
    lines += [_arrow(arrow, ids, palette) for arrow in picture.arrows]
    lines += [f"{ids[node.name]} --> [*]" for node in picture.nodes if node.final]
    if picture.caption:
        lines += ["legend bottom left", *(f"  {_text(line)}" for line in picture.caption), "end legend"]
    return "\n".join([*lines, "@enduml"]) + "\n"


def _colours(palette: Palette) -> list[str]:
    return [
        "skinparam shadowing false",
        f"skinparam backgroundColor {palette.paper}",
        f"skinparam defaultFontColor {palette.ink}",
        f"skinparam ArrowColor {palette.line}",
        f"skinparam ArrowFontColor {palette.ink}",
        f"skinparam StateBackgroundColor {palette.state}",
        f"skinparam StateBorderColor {palette.line}",
        f"skinparam StateFontColor {palette.ink}",
        f"skinparam StateStartColor {palette.line}",
        f"skinparam StateEndColor {palette.line}",
    ]


def _state(node: Node, ids: dict[str, str], palette: Palette) -> list[str]:
    colour = {"walked": f" {palette.walked}", "current": f" {palette.current}", "": ""}[node.mark.look]
    if not colour and node.mark.tint:
        colour = f" {palette.heats[node.mark.tint - 1]}"
    id_ = ids[node.name]
    return [f'state "{_text(node.name)}" as {id_}{colour}', *(f"{id_} : {_text(note)}" for note in node.notes)]


def _arrow(arrow: Arrow, ids: dict[str, str], palette: Palette) -> str:
    style = ""
    if arrow.walked:
        style = f"[{palette.path},bold]"
    elif arrow.tint:
        style = f"[{palette.heat_lines[arrow.tint - 1]},thickness={arrow.tint}]"
    label = "\\n".join(_text(text) for text in arrow.lines)
    return f"{ids[arrow.source]} -{style}-> {ids[arrow.target]} : {label}"


def _text(text: str) -> str:
    """The text with everything that PlantUML might take for its own written as ``<U+code>``."""
    line = " ".join(text.split())
    return "".join(char if char.isalnum() or char in _PLAIN_CHARACTERS else f"<U+{ord(char):04X}>" for char in line)

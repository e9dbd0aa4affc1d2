"""Charts as tables in Markdown: the states, and the transitions in the order in which they are tried.

Source: GitHub Flavored Markdown, "Tables (extension)".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dts_fsm.statechart.drawing.picture import BOX, Label, Picture, Theme, one_line


def markdown(picture: Picture, *, theme: Theme = "auto") -> str:  # noqa: ARG001 - tables have no colours
    """Give both tables, ending in a line break; what data say stands in a column of its own."""
    marked = any(node.mark.notes or node.mark.look for node in picture.nodes)
    head = ["state", "what it means", "on entry", "deadline", *(["seen"] if marked else [])]
    states = []
    for node in picture.nodes:
        signs = [sign for sign, holds in (("initial", node.name == picture.initial), ("final", node.final)) if holds]
        name = f"**{_text(node.name)}**" + (f" ({', '.join(signs)})" if signs else "")
        row = [name, _text(node.description), _text(node.enter or ""), _text(node.deadline or "")]
        look = [node.mark.look] if node.mark.look else []
        states.append([*row, _text("; ".join((*look, *node.mark.notes)))] if marked else row)
    labels = list(_labels(picture))
    counted = any(label.walked or label.notes for _, _, label in labels)
    titles = ["from", "event", "guard", "to", "what happens", *(["taken"] if counted else [])]
    transitions = []
    for sources, target, label in labels:
        row = [sources, label.event, label.guard or "", target, label.description]
        taken = "; ".join(label.notes) or ("yes" if label.walked else "")
        transitions.append([_text(cell) for cell in ([*row, taken] if counted else row)])
    parts = [_table(head, states), _table(titles, transitions)]
    parts += ["\n".join(_text(line) for line in picture.caption) + "\n"] if picture.caption else []
    return "\n".join(parts)


def _labels(picture: Picture) -> Iterator[tuple[str, str, Label]]:
    for arrow in picture.arrows:
        for label in arrow.labels:
            sources = ", ".join(picture.box) if arrow.source == BOX else arrow.source
            yield sources, arrow.target, label
    for node in picture.nodes:
        for label in node.loops:
            yield node.name, node.name, label


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _text(text: str) -> str:
    """The text with everything that Markdown or HTML might take for its own behind a backslash."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!~$&" else char for char in one_line(text))

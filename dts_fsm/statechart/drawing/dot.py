"""Charts as DOT, for Graphviz. Source: graphviz.org, "DOT Language" and "Attributes"."""

from __future__ import annotations

import html

from dts_fsm.statechart.drawing.palette import Palette, named
from dts_fsm.statechart.drawing.picture import BOX, TICK, Arrow, Node, Picture, Theme, one_line

_TEXT_SIZE, _NOTE_SIZE = 12, 10
_FONT = "Helvetica"


def dot(picture: Picture, *, theme: Theme = "auto") -> str:
    """Give the picture's text, ending in a line break. States and arrows have classes, for SVG."""
    palette = named(theme)
    paper = "transparent" if theme == "auto" else palette.paper
    frame = 'shape=box, style="rounded,filled", margin="0.2,0.1"'
    plain = f'color="{palette.line}", fontcolor="{palette.ink}", fontname={_FONT}'
    caption = "".join(f"{_escaped(line)}\\l" for line in picture.caption)
    lines = [
        f"// {picture.title}: generated from its chart, do not edit",
        f"digraph {_quoted(picture.title)} {{",
        f'    graph [compound=true, nodesep=0.6, ranksep=0.65, bgcolor="{paper}", {plain}, fontsize={_NOTE_SIZE}]',
        f'    node [{frame}, fillcolor="{palette.state}", {plain}, fontsize={_TEXT_SIZE}]',
        f"    edge [{plain}, fontsize={_NOTE_SIZE}]",
        f'    "" [shape=circle, style=filled, fillcolor="{palette.line}", width=0.15, label="", class=start]',
    ]
    if caption:
        lines.append(f'    graph [label="{caption}", labelloc=b, labeljust=l]')
    for names in picture.rows:
        inside = [_state(picture.node(name), palette) for name in names]
        if names == picture.box:
            look = 'label="any of these", labelloc=t, labeljust=r, margin=20, style="rounded,dashed", class=box'
            inside = ["subgraph cluster_any {", *(f"    {line}" for line in (f"graph [{look}]", *inside)), "}"]
        lines += [f"    {line}" for line in inside]
    begun = [f'label=" {TICK} "', *_walked(palette)] if picture.created else []
    lines.append(f'    "" -> {_quoted(picture.initial)}{_attributes(begun)}')
    order = [node.name for node in picture.nodes]
    above = order[: min((order.index(name) for name in picture.box), default=0)]
    lines += [f"    {_arrow(arrow, picture.box, above, palette)}" for arrow in picture.arrows]
    return "\n".join([*lines, "}"]) + "\n"


def _state(node: Node, palette: Palette) -> str:
    rows = [f"<b>{html.escape(node.name)}</b>"]
    rows += [f'<font point-size="{_NOTE_SIZE}">{html.escape(one_line(note))}</font>' for note in node.notes]
    attributes = [f"label=<{'<br/>'.join(rows)}>"]
    if node.final:
        attributes.append("peripheries=2")
    if node.mark.look == "current":
        attributes += [f'fillcolor="{palette.current}", color="{palette.path}", penwidth=2', "class=current"]
    elif node.mark.look == "walked":
        attributes += [f'fillcolor="{palette.walked}", color="{palette.path}"', "class=walked"]
    elif node.mark.tint:
        attributes += [f'fillcolor="{palette.heats[node.mark.tint - 1]}"', f"class=heat{node.mark.tint}"]
    return f"{_quoted(node.name)}{_attributes(attributes)}"


def _arrow(arrow: Arrow, box: tuple[str, ...], above: list[str], palette: Palette) -> str:
    # The spaces keep a label off its own arrow.
    attributes = ['label="' + "\\n".join(f" {_escaped(text)} " for text in arrow.lines) + '"']
    source = arrow.source
    if source == BOX:
        # Graphviz draws no arrow from a box itself: one from a member is cut off at the box's border.
        source = box[-1]
        attributes.append("ltail=cluster_any")
        if arrow.target in above:
            attributes.append("constraint=false")
    look = _walked(palette) if arrow.walked else _tinted(arrow.tint, palette)
    return f"{_quoted(source)} -> {_quoted(arrow.target)}{_attributes(attributes + look)}"


def _walked(palette: Palette) -> list[str]:
    return [f'color="{palette.path}", fontcolor="{palette.path}", penwidth=2, class=walked']


def _tinted(tint: int, palette: Palette) -> list[str]:
    if not tint:
        return []
    line = palette.heat_lines[tint - 1]
    return [f'color="{line}", fontcolor="{line}", penwidth={0.5 + 0.7 * tint:.1f}, class=heat{tint}']


def _attributes(attributes: list[str]) -> str:
    return f" [{', '.join(attributes)}]" if attributes else ""


def _escaped(text: str) -> str:
    return one_line(text).replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'

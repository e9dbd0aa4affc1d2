"""Charts as SCXML documents.

What SCXML has words for is said in them: states, final states, transitions with their events; guards are the
identifiers of a datamodel in which the host sets them, and a callback is logged on entry, since SCXML has no calls. The
rest stands in attributes of a namespace of our own, which other programs pass over.

Source: W3C, "State Chart XML (SCXML): State Machine Notation for Control Abstraction", recommendation of 2015.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final
from xml.sax.saxutils import quoteattr

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.definition import Chart
from dts_fsm.statechart.exchange.exits import Exit, exits
from dts_fsm.statechart.lint import check

NAMESPACE: Final = "http://www.w3.org/2005/07/scxml"
OUR_NAMESPACE: Final = "urn:dts-fsm:statechart"

RESERVED_WORD: Final = re.compile(
    "await|break|case|catch|class|const|continue|debugger|default|delete|do|else|enum|export|extends|false|"
    "finally|for|function|if|implements|import|in|instanceof|interface|let|new|null|package|private|protected|"
    "public|return|static|super|switch|this|throw|true|try|typeof|undefined|var|void|while|with|yield"
)
"""What a condition cannot use as an identifier. Source: ECMA-262, "Keywords and Reserved Words", strict mode."""


def to_scxml(chart: Chart) -> str:
    """Give the chart as an SCXML document: ``from_scxml`` makes an equal one of it.

    Raises:
        StatechartError: the chart has faults that ``lint`` knows, or a guard whose name cannot stand in a condition.
    """
    check(chart)
    if words := [guard.name for guard in chart.guards if RESERVED_WORD.fullmatch(guard.name)]:
        raise StatechartError(
            f"the chart {chart.name!r} cannot be written as SCXML: {', '.join(map(repr, words))} cannot be the name of "
            "a guard there, for it is a word of ECMAScript"
        )
    return "\n".join(('<?xml version="1.0" encoding="UTF-8"?>', *_document(chart), ""))


def _document(chart: Chart) -> Iterator[str]:
    yield _tag(
        "scxml",
        {
            "xmlns": NAMESPACE,
            "xmlns:dts": OUR_NAMESPACE,
            "version": "1.0",
            "datamodel": "ecmascript",
            "name": chart.name,
            "initial": chart.initial,
            "dts:description": _escaped(chart.description),
            "dts:everywhere": " ".join(chart.everywhere) or None,
            "dts:ignored": json.dumps(dict(chart.ignored)) if chart.ignored else None,
        },
        ">",
    )
    if chart.guards:
        yield "  <datamodel>"
        for guard in chart.guards:
            excludes = " ".join(guard.excludes) or None
            values = {"dts:excludes": excludes, "dts:description": _escaped(guard.description)}
            yield "    " + _tag("data", {"id": guard.name, "expr": "false", **values}, "/>")
        yield "  </datamodel>"
    for state in chart.states:
        tag = "final" if state.final else "state"
        values = {"dts:deadline": state.deadline, "dts:description": _escaped(state.description)}
        yield "  " + _tag(tag, {"id": state.name, **values}, ">")
        if state.enter is not None:
            log = _tag("log", {"label": "enter", "expr": f"'{state.enter}'"}, "/>")
            yield f"    <onentry>{log}</onentry>"
        yield from (f"    {_transition(found)}" for found in exits(chart, state.name))
        yield f"  </{tag}>"
    yield "</scxml>"


def _transition(found: Exit) -> str:
    return _tag(
        "transition",
        {
            "event": found.event,
            "cond": found.guard,
            "target": found.target,
            "dts:order": " ".join(map(str, found.order or ())),
            "dts:description": _escaped(found.description),
        },
        "/>",
    )


def _tag(name: str, attributes: Mapping[str, str | None], end: str) -> str:
    """The tag with its attributes; those that are None are left out."""
    values = [f" {key}={quoteattr(value)}" for key, value in attributes.items() if value is not None]
    return f"<{name}{''.join(values)}{end}"


_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\\\\")


def _escaped(text: str) -> str:
    r"""The text with ``\uXXXX`` for what XML 1.0 cannot hold, and its backslashes doubled."""
    return _NOT_IN_XML.sub(lambda found: "\\\\" if found[0] == "\\" else f"\\u{ord(found[0]):04x}", text)

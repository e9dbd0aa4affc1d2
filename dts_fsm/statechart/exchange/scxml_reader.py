"""Charts from SCXML documents: those of ``scxml_writer``, and those of others as far as a chart can say the same.

What a chart cannot say is refused by its name, never passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from xml.parsers import expat

import attrs

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.definition import Chart, GuardDef, StateDef
from dts_fsm.statechart.exchange.exits import Exit, assemble
from dts_fsm.statechart.exchange.scxml_writer import NAMESPACE, OUR_NAMESPACE, RESERVED_WORD


def from_scxml(text: str, *, file: str | None = None) -> Chart:
    """Give the chart that an SCXML document defines; ``file`` names it in errors.

    What has no description is described by its name. Document types, and so entities, are refused. Whether the chart
    makes sense is for ``lint``.

    Raises:
        StatechartError: the text is not XML, or has what a chart cannot say, such as nested states; names that are not
            lower_snake_case; transitions whose orders contradict each other. Findings say the line and the element.
    """
    reader = _Reader(file or "the SCXML document")
    root = reader.read(text)
    states = [element for element in root.children if element.tag in ("state", "final")]
    if not states:
        reader.find(root, "has no states")
    return assemble(
        name=root.attributes.get("name", "imported"),
        initial=root.attributes.get("initial", states[0].value("id") if states else ""),
        description=root.description("imported"),
        states=[reader.state(element) for element in states],
        guards=[reader.guard(element) for model in root.all("datamodel") for element in model.children],
        exits=[
            found for state in states for element in state.all("transition") for found in reader.exits(state, element)
        ],
        everywhere=root.attributes.get("dts:everywhere", "").split(),
        ignored=reader.ignored(root),
        file=file,
        findings=reader.findings,
    )


@attrs.define
class _Element:
    """An element of the subset; attributes of our namespace have the prefix ``dts:``, those of others are left out."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list[_Element] = attrs.field(factory=list)

    def all(self, tag: str) -> list[_Element]:
        return [child for child in self.children if child.tag == tag]

    def value(self, key: str) -> str:
        return self.attributes[key]

    def description(self, default: str) -> str:
        return _unescaped(self.attributes.get("dts:description", default))


_CHILDREN = {
    "scxml": ("datamodel", "state", "final"),
    "datamodel": ("data",),
    "state": ("onentry", "transition"),
    "final": ("onentry",),
    "onentry": ("log",),
}
_REQUIRED = {
    "data": ("id",),
    "state": ("id",),
    "final": ("id",),
    "transition": ("event", "target"),
    "log": ("label", "expr"),
}
_OPTIONAL = {
    "scxml": ("version", "datamodel", "binding", "name", "initial", "dts:description", "dts:everywhere", "dts:ignored"),
    "data": ("expr", "dts:excludes", "dts:description"),
    "state": ("dts:deadline", "dts:description"),
    "final": ("dts:deadline", "dts:description"),
    "transition": ("cond", "type", "dts:order", "dts:description"),
}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_TEXT = re.compile(r"'([^'\\]*)'|\"([^\"\\]*)\"")
_ESCAPE = re.compile(r"\\(?:\\|u([0-9a-f]{4}))")
_ORDER = re.compile(r"([1-9][0-9]{0,8}) ([1-9][0-9]{0,8})")


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else "\\", text)


class _Reader:
    """Takes a document apart, and collects what is wrong instead of stopping at it."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._root: _Element | None = None
        self._open: list[_Element] = []
        self._passed_over = 0  # how deep the parser is in an element that is not looked at
        self.findings: list[str] = []

    def read(self, text: str) -> _Element:
        """Give the root element, all elements below it being of the subset."""
        parser = self._parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(text, True)
        # ValueError: lone surrogates
        except (expat.ExpatError, ValueError) as exc:
            if isinstance(exc, StatechartError):
                raise
            raise StatechartError(f"{self._file} is not a valid XML document:", (f"{self._file}: {exc}",)) from exc
        if self.findings or self._root is None:
            raise StatechartError(f"{self._file} does not define a statechart that can be imported:", self.findings)
        return self._root

    def find(self, element: _Element, fault: str) -> None:
        self.findings.append(f"{self.where(element)} {fault}")

    def where(self, element: _Element) -> str:
        return f"{self._file}: line {element.line}: <{element.tag}>"

    def state(self, element: _Element) -> StateDef:
        """Give the state without its transitions."""
        logs = [log for entry in element.all("onentry") for log in entry.children]
        enter = None
        for log in logs:
            written = _TEXT.fullmatch(log.value("expr").strip())
            if len(logs) > 1:
                self.find(log, "is one of several in its state: a state calls one callback at most")
            elif log.value("label") != "enter" or not written:
                self.find(log, 'does not name a callback: it must be such as <log label="enter" expr="\'a.b\'"/>')
            else:
                enter = written[1] or written[2]
        name = element.value("id")
        return StateDef(
            name=name,
            description=element.description(name),
            enter=enter,
            deadline=element.attributes.get("dts:deadline"),
            final=element.tag == "final",
        )

    def guard(self, element: _Element) -> GuardDef:
        """Give the guard of a data item."""
        if element.attributes.get("expr", "false") != "false":
            self.find(element, "has a value: what is known here is a guard, which is false until somebody sets it")
        name = element.value("id")
        excludes = tuple(element.attributes.get("dts:excludes", "").split())
        return GuardDef(name=name, description=element.description(name), excludes=excludes)

    def ignored(self, root: _Element) -> dict[str, str]:
        """Give the codes that lint is to ignore, with the reasons."""
        try:
            ignored = json.loads(root.attributes.get("dts:ignored", "{}"))
        except (ValueError, RecursionError):
            ignored = None
        if isinstance(ignored, dict) and all(isinstance(reason, str) for reason in ignored.values()):
            return ignored
        self.find(root, "has a dts:ignored that is not a JSON object of codes and reasons")
        return {}

    def exits(self, state: _Element, element: _Element) -> list[Exit]:
        """Give the transition, once for each of its events."""
        guard, targets = element.attributes.get("cond"), element.value("target").split()
        order = element.attributes.get("dts:order")
        numbers = _ORDER.fullmatch(order) if order is not None else None
        if guard is not None and (not _IDENTIFIER.fullmatch(guard) or RESERVED_WORD.fullmatch(guard)):
            self.find(element, f"has the condition {guard!r}: it must be the name of one guard")
        if len(targets) != 1:
            self.find(element, f"has the target {element.value('target')!r}: it must be one state")
        if element.attributes.get("type", "external") != "external":
            self.find(element, f"has the type {element.value('type')!r}: only 'external' is known")
        if order is not None and not numbers:
            self.find(element, f"has the dts:order {order!r}: it must be two numbers from 1")
        return [
            Exit(
                source=state.value("id"),
                event=event,
                target=" ".join(targets),
                guard=guard,
                description=element.description(event),
                order=(int(numbers[1]), int(numbers[2])) if numbers else None,
                where=self.where(element),
            )
            for event in element.value("event").split() or [""]
        ]

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        if self._passed_over:
            self._passed_over += 1
            return
        namespace, _, tag = name.rpartition(" ")
        parent = self._open[-1] if self._open else None
        allowed = _CHILDREN.get(parent.tag, ()) if parent else ("scxml",)
        element = _Element(tag, {}, self._parser.CurrentLineNumber)
        if namespace != NAMESPACE or tag not in allowed:
            self._passed_over = 1
            # Elements of others stand beside states and say nothing of them; elsewhere they would be executed.
            if namespace == NAMESPACE or parent is None or parent.tag not in ("scxml", "state", "final", "datamodel"):
                known = " ".join(f"<{other}>" for other in allowed) or "nothing"
                place = f"<{parent.tag}>" if parent else "the document"
                self.find(element, f"is not in the subset that can be imported: {place} may hold {known}")
            return
        self._take(element, attributes)
        if parent:
            parent.children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _take(self, element: _Element, attributes: Mapping[str, str]) -> None:
        """The element has its attributes."""
        required = _REQUIRED.get(element.tag, ())
        known = (*required, *_OPTIONAL.get(element.tag, ()))
        for name, value in attributes.items():
            namespace, _, key = name.rpartition(" ")
            key = f"dts:{key}" if namespace == OUR_NAMESPACE else key
            if namespace not in ("", OUR_NAMESPACE):
                continue
            if key in known:
                element.attributes[key] = value
            else:
                self.find(element, f"has the attribute {key!r}, which is not in the subset that can be imported")
        for key in required:
            if key not in element.attributes:
                self.find(element, f"has no attribute {key!r}, which a chart needs")

    def _end(self, _name: str) -> None:
        if self._passed_over:
            self._passed_over -= 1
        else:
            self._open.pop()

    def _text(self, text: str) -> None:
        if not self._passed_over and text.strip():
            self.find(self._open[-1], "holds text, which is not in the subset that can be imported")

    def _refuse_doctype(self, *_declaration: object) -> None:
        line = self._parser.CurrentLineNumber
        raise StatechartError(
            f"{self._file} does not define a statechart that can be imported:",
            (f"{self._file}: line {line}: <!DOCTYPE> is refused, since a chart has no need of entities",),
        )

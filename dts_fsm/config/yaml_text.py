"""YAML text as a tree that knows its lines: the one module that imports ``yaml``.

Values stay text: what a key is for decides whether ``0123`` is a number or a password. Aliases, anchors, tags and
several documents are refused, so that neither time nor memory grows beyond the text's size, and nothing in it is ever
run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs
import yaml

from dts_fsm.errors import ConfigurationError

MAX_BYTES = 1 << 20
"""The largest configuration that is read; reading one of this size takes some seconds."""

_MAX_DEPTH = 16
_MAX_EVENTS = 50_000
"""A scalar is one, a list or a mapping two; what is kept of each, its dotted key, may be long."""
_MAX_KEY_LENGTH = 200
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_QUOTED = re.compile(r"'(?!<)[^']{2,}'|\"[^\"]{2,}\"")


@attrs.frozen(kw_only=True)
class Node:
    """One value.

    Attributes:
        value: the text of a scalar, the items of a list, or the entries of a mapping in the file's order.
        line: where it stands, counted from 1; for an entry of a mapping the line of its key.
        plain: True for a scalar without quotes.
    """

    value: str | list[Node] | dict[str, Node] = attrs.field(repr=False)  # it may be a secret
    line: int
    plain: bool = False

    @property
    def null(self) -> bool:
        """True for a key that is written without a value, or with YAML's null."""
        return self.plain and self.value in _NULLS

    def lines(self, path: str = "") -> dict[str, int]:
        """Give the line of everything below here, by dotted key; items of lists are ``key[0]``, ``key[1]``, ..."""
        found = {path: self.line}
        if isinstance(self.value, dict):
            for name, entry in self.value.items():
                found |= entry.lines(joined(path, name))
        elif isinstance(self.value, list):
            for index, item in enumerate(self.value):
                found |= item.lines(f"{path}[{index}]")
        return found


def joined(path: str, name: str) -> str:
    """The dotted key of an entry of the mapping at ``path``; "" is the file itself."""
    return f"{path}.{name}" if path else name


def read(text: str) -> Node:
    """The tree of one YAML document.

    Raises:
        ConfigurationError: the text is not YAML, is empty, or uses what is refused here; ``line`` is set, and ``key``
            where there is one. No part of a value is ever in the message: it might be a secret.
    """
    if len(text) > MAX_BYTES:
        raise ConfigurationError(f"the file is larger than {MAX_BYTES} bytes: it is not a configuration of dts_fsm")
    try:
        return _document(_limited(yaml.parse(text, Loader=yaml.SafeLoader)))
    except ConfigurationError:
        raise
    except yaml.YAMLError as error:
        fault = _fault(text, error)
    except (ValueError, OverflowError):  # PyYAML leaves those of int() and chr() as they are, without a line
        fault = ConfigurationError("this is not valid YAML: an escape such as \\U00110000, or a version, is too large")
    # Raised here, not in the except clause: PyYAML's error quotes the line, and must not hang on ours as its context.
    raise fault


def _fault(text: str, error: yaml.YAMLError) -> ConfigurationError:
    lines = text.splitlines()
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        number = error.problem_mark.line
        problem = _QUOTED.sub("'...'", error.problem or "it ends too early")
        if number >= len(lines) and error.context_mark is not None:  # a quote that is never closed: where it begins
            number, problem = error.context_mark.line, "what begins here has no end"
    else:  # yaml.reader.ReaderError has a position instead of a mark
        number = text.count("\n", 0, getattr(error, "position", 0))
        problem = "a control character is not allowed here"
    indent = re.match(r"\s*", lines[number] if number < len(lines) else "")
    hint = "; indent with spaces: YAML does not allow tabs" if indent and "\t" in indent[0] else ""
    return ConfigurationError(f"this is not valid YAML: {problem}{hint}", line=number + 1)


def _limited(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    for number, event in enumerate(events):
        if number >= _MAX_EVENTS:
            message = f"keys and values are more than {_MAX_EVENTS} up to here: this is not a configuration of dts_fsm"
            raise ConfigurationError(message, line=_line(event))
        yield event


def _document(events: Iterator[yaml.Event]) -> Node:
    next(events)  # the start of the stream
    if isinstance(next(events), yaml.StreamEndEvent):
        raise ConfigurationError("the file is empty: the sections service, endpoints and databases are needed", line=1)
    event = next(events)
    tree = _node(event, events, _line(event), "", 0)
    next(events)  # the end of the document
    after = next(events)
    if not isinstance(after, yaml.StreamEndEvent):
        raise ConfigurationError("a second YAML document begins here: keep everything in one", line=_line(after))
    return tree


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else int(mark.line) + 1


def _node(event: yaml.Event, events: Iterator[yaml.Event], line: int, path: str, depth: int) -> Node:
    _refuse_extras(event, path)
    if depth > _MAX_DEPTH:
        raise ConfigurationError(f"values are nested more than {_MAX_DEPTH} deep", line=_line(event), key=path)
    if isinstance(event, yaml.ScalarEvent):
        return Node(value=event.value, line=line, plain=bool(event.implicit[0]))
    if isinstance(event, yaml.SequenceStartEvent):
        items: list[Node] = []
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(_node(item, events, _line(item), f"{path}[{len(items)}]", depth + 1))
        return Node(value=items, line=line)
    entries: dict[str, Node] = {}
    while not isinstance(key := next(events), yaml.MappingEndEvent):
        name = _name(key, path)
        where = joined(path, name)
        if name in entries:
            raise ConfigurationError(
                f"this key stands here for the second time (first in line {entries[name].line}): remove one",
                line=_line(key),
                key=where,
            )
        entries[name] = _node(next(events), events, _line(key), where, depth + 1)
    return Node(value=entries, line=line)


def _refuse_extras(event: yaml.Event, path: str) -> None:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        raise ConfigurationError(
            "YAML aliases and anchors are not supported: write the value out, and put quotes around one that begins "
            "with '*' or '&'",
            line=_line(event),
            key=path,
        )
    if getattr(event, "tag", None) is not None:
        raise ConfigurationError(
            "YAML tags are not supported: leave it out, and put quotes around a value that begins with '!'",
            line=_line(event),
            key=path,
        )


def _name(event: yaml.Event, path: str) -> str:
    """The text of a key; it is fit for an error message."""
    _refuse_extras(event, path)
    name = event.value if isinstance(event, yaml.ScalarEvent) else None
    problem = ""
    if name is None:
        problem = "a key must be text, not a list or a mapping"
    elif not name or not name.isprintable() or len(name) > _MAX_KEY_LENGTH:
        problem = f"a key must be printable text, of 1 to {_MAX_KEY_LENGTH} characters"
    elif "${" in name:
        problem = "a key must be written out: variables are replaced in values only"
    if problem:
        raise ConfigurationError(problem, line=_line(event), key=path)
    return str(name)

"""From the text of a value in a file to what its key wants.

Errors carry the dotted key alone; ``Config.parse`` adds file and line. A variable's value never stands in a message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from dts_fsm.config.keys import Kind, fault, is_sensitive
from dts_fsm.config.secret import Secret
from dts_fsm.config.service import absolute
from dts_fsm.config.yaml_text import Node
from dts_fsm.records.checks import is_unicode

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|(?P<open>\{))")
_WHOLE = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_DURABILITIES = ("file", "batch", "none")  # a flag is what earlier versions had
_MAX_DIGITS = 100
_MAX_EXPANDED = 1 << 18


@attrs.frozen(kw_only=True)
class Values:
    """Gives the values of nodes.

    Attributes:
        environment: the values of ``${NAME}``.
        folder: where relative paths start.
    """

    environment: Mapping[str, str] = attrs.field(repr=False)
    folder: Path

    def value(self, node: Node, key: str, kind: Kind) -> Any:
        """Give the value as its kind wants it; a path as the text of an absolute one.

        Raises:
            ConfigurationError: it is of another kind, or names an undefined variable.
        """
        if kind is Kind.ANY:
            return self._any(node, key)
        text = self.text(node, key)
        if kind is Kind.TEXT:
            return text
        if kind is Kind.SECRET:
            return Secret(text)
        if kind is Kind.PATH:
            return str(self.path(text, key))
        found: Any
        if kind is Kind.FLAG:
            found = _FLAGS.get(text.lower())
        elif kind is Kind.DURABILITY:
            found = text if text in _DURABILITIES else _FLAGS.get(text.lower())
        else:
            found = _number(text, whole=kind is not Kind.NUMBER)
        if found is None or (kind is Kind.COUNT and found < 1):
            raise fault(key, f"must be {kind.value}")
        return found

    def path(self, text: str, key: str) -> Path:
        """Give the absolute path; a relative one starts at the file's folder.

        Raises:
            ConfigurationError: it is empty, or begins with the home of an unknown user.
        """
        try:
            return absolute(text, self.folder)
        except ValueError as error:
            raise fault(key, str(error)) from None

    def text(self, node: Node, key: str) -> str:
        """Give the text of a scalar with its variables replaced.

        What a variable holds is not looked through again. ``$`` before anything but ``{`` and ``$`` is a dollar sign.

        Raises:
            ConfigurationError: it is a list or a mapping, names an undefined variable, becomes too long, or has NUL
                characters or what UTF-8 cannot write.
        """
        if not isinstance(node.value, str):
            raise fault(key, f"must be one value, not a {'mapping' if isinstance(node.value, dict) else 'list'}")
        length = 0

        def expanded(match: re.Match[str]) -> str:
            nonlocal length
            if match["dollar"]:
                return "$"
            if match["open"]:
                raise fault(key, "has '${' that begins no variable: write ${NAME}, and $$ for a dollar sign")
            value = self.environment.get(match["name"])
            if value is None:
                message = f"the variable {match['name']} is not defined: set it in the environment"
                raise fault(key, message)
            length += len(value)
            if length > _MAX_EXPANDED:
                raise fault(key, f"is longer than {_MAX_EXPANDED} characters with its variables replaced")
            return value

        text = _VARIABLE.sub(expanded, node.value)
        if "\x00" in text:
            raise fault(key, "has a NUL character")
        if not is_unicode(text):
            raise fault(key, "is not valid Unicode: a variable's value must be UTF-8")
        return text

    def _any(self, node: Node, key: str, *, secret: bool = False) -> Any:
        """The value by its own looks; every text below a key whose name sounds of a secret is one."""
        if isinstance(node.value, dict):
            return {
                name: self._any(entry, f"{key}.{name}", secret=secret or is_sensitive(name))
                for name, entry in node.value.items()
            }
        if isinstance(node.value, list):
            return [self._any(item, f"{key}[{index}]", secret=secret) for index, item in enumerate(node.value)]
        if node.null:
            return None
        text = self.text(node, key)
        if secret:
            return Secret(text)
        return _by_looks(text) if node.plain else text

    def options(self, entries: Mapping[str, Node], key: str, kinds: Mapping[str, Kind]) -> dict[str, Any]:
        """Give the values of a mapping's entries; those without a kind may be anything.

        Raises:
            ConfigurationError: a value is of another kind than its key's, or names an undefined variable.
        """
        return {
            name: self.value(node, f"{key}.{name}", kinds[name])
            if name in kinds
            else self._any(node, f"{key}.{name}", secret=is_sensitive(name))
            for name, node in entries.items()
        }


def _by_looks(text: str) -> Any:
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if text.lstrip("+-")[:1] == "0" and text.lstrip("+-")[1:2].isdigit():
        return text  # an id or a code, not a number
    whole = _number(text, whole=True)
    number = whole if whole is not None else _number(text, whole=False)
    return text if number is None else number


def _number(text: str, *, whole: bool) -> Any:
    """The number, or None for what is none."""
    if len(text) > _MAX_DIGITS:
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    if whole or not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None

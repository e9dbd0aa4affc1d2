"""Directives that write parts of pages while they are built, from what the package itself says.

``{commands}`` is the help of every command; those of ``chart_pages`` tell of the statecharts. So these pages cannot
fall behind the code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import chart_pages
import click
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from dts_fsm.cli.main import main


class Commands(Directive):
    """The help of the command, and of each of its commands."""

    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """Give one section for each command."""
        return [self._section(path, command) for path, command in _commands(main, "dts-fsm")]

    def _section(self, path: str, command: click.Command) -> nodes.section:
        section = nodes.section("", nodes.title("", "", nodes.literal(path, path)), ids=[nodes.make_id(path)])
        for text in inspect.cleandoc(command.help or "").split("\n\n"):
            paragraph = nodes.paragraph("", text)
            paragraph.support_smartquotes = False  # "--from" is an option, not a dash
            section += paragraph
        context = click.Context(
            command, info_name=path, max_content_width=96, terminal_width=96, **main.context_settings
        )
        usage = " ".join(command.collect_usage_pieces(context))
        formatter = context.make_formatter()
        click.Command.format_options(command, context, formatter)
        text = f"{path} {usage}\n\n{formatter.getvalue().strip()}"
        section += nodes.literal_block(text, text, language="text")
        self.state.document.note_explicit_target(section)
        return section


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(click.Context(command)):
        yield from _commands(command.commands[name], f"{path} {name}")


_SECTION = re.compile(r"(?:Args|Attributes|Raises):$")
_SEVERAL = re.compile(r"(?P<indent> +)(?P<names>\w+(?:, \w+)+): (?P<text>.*)$")


def _literal(lines: list[str]) -> Iterator[str]:
    """What is indented in a module's docstring, a tree or a program, is shown as it is."""
    last = blank = ""
    for number, line in enumerate(lines):
        if line.startswith("    ") and not blank and last and not last.startswith("    ") and last[-2:] != "::":
            tree = any("+--" in text for text in lines[number:])
            yield from (".. code-block:: text" if tree else "::", "")
        yield line
        last, blank = line or last, line


def _one_by_one(lines: list[str]) -> Iterator[str]:
    """Names that share a description, ``a, b: text``, each get it; napoleon would take one for the other's type."""
    waiting = list(lines)
    within = False
    while waiting:
        line = waiting.pop(0)
        within = bool(_SECTION.match(line)) or (within and (not line or line.startswith(" ")))
        while within and line.endswith(",") and re.fullmatch(r" +[\w, ]+,", line) and waiting:
            line = f"{line} {waiting.pop(0).lstrip()}"
        match = _SEVERAL.match(line) if within else None
        if match is None:
            yield line
            continue
        more = []
        while waiting and waiting[0].startswith(f"{match['indent']}    "):
            more.append(waiting.pop(0))
        for name in match["names"].split(", "):
            yield from (f"{match['indent']}{name}: {match['text']}", *more)


def _prepare(_app: Sphinx, what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Make of our docstrings what napoleon and docutils understand."""
    if what == "module":
        lines[:] = _literal(lines)
    elif what in ("property", "attribute"):
        # a colon in the first line would end a type
        lines[:1] = [line.replace(": ", " \N{EN DASH} ", 1) for line in lines[:1]]
    else:
        lines[:] = _one_by_one(lines)


def _bare(_app: Sphinx, _what: str, _name: str, found: object, _options: object, *_signature: str) -> Any:
    """A protocol is not called: it is shown without parameters."""
    return ("", None) if getattr(found, "_is_protocol", False) and inspect.isclass(found) else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known to Sphinx, and have docstrings prepared before napoleon sees them."""
    app.add_directive("states", chart_pages.States)
    app.add_directive("transitions", chart_pages.Transitions)
    app.add_directive("each-state", chart_pages.EachState)
    app.add_directive("commands", Commands)
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", _prepare, priority=400)
    app.connect("autodoc-process-signature", _bare)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

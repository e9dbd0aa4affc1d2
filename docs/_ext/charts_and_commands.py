"""Directives that write parts of pages while they are built, from what the package itself says.

``{states} transfer`` and ``{transitions} transfer`` are the tables of a chart, ``{commands}`` is the help of every
command. So these pages cannot fall behind the code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import click
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from dts_fsm.cli.main import main
from dts_fsm.statechart import load_chart


def _table(head: list[str], rows: list[list[str]], widths: list[int]) -> nodes.table:
    """A table; text in backquotes is literal."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *(_row(row) for row in rows))
    return nodes.table("", group, classes=["colwidths-given"])


def _row(cells: list[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *_inline(cell))) for cell in cells))


def _inline(text: str) -> Iterator[nodes.Node]:
    for number, part in enumerate(text.split("`")):
        if part:
            yield nodes.literal(part, part) if number % 2 else nodes.Text(part)


class States(Directive):
    """The states of a chart."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Give the table."""
        rows = []
        for state in load_chart(self.arguments[0]).states:
            notes = [f"calls `{state.enter}` on entry"] if state.enter else []
            notes += [f"deadline `{state.deadline}`"] if state.deadline else []
            notes += ["final"] if state.final else []
            rows.append([f"`{state.name}`", state.description, "; ".join(notes)])
        return [_table(["state", "what it means", "beside that"], rows, [15, 50, 35])]


class Transitions(Directive):
    """The transitions of a chart, in the order in which they are tried."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Give the table."""
        chart = load_chart(self.arguments[0])
        guards = {guard.name: guard.description for guard in chart.guards}
        rows = [
            [
                f"`{transition.event}`",
                ", ".join(f"`{source}`" for source in transition.sources),
                f"`{transition.target}`",
                transition.description,
                f"`{transition.guard}`: {guards[transition.guard]}" if transition.guard else "",
            ]
            for transition in chart.transitions
        ]
        return [_table(["event", "from", "to", "when", "guard"], rows, [10, 20, 12, 29, 29])]


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
    app.add_directive("states", States)
    app.add_directive("transitions", Transitions)
    app.add_directive("commands", Commands)
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", _prepare, priority=400)
    app.connect("autodoc-process-signature", _bare)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

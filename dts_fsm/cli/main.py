"""The command ``dts-fsm``: its group, and what errors look like."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections import UserDict
from collections.abc import Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from traceback import walk_tb
from typing import Any

import click

from dts_fsm import __version__
from dts_fsm.cli.interruption import INTERRUPTED
from dts_fsm.cli.logs import log_to_stderr
from dts_fsm.cli.shown import error_line, unwritable
from dts_fsm.errors import DtsError

_HOMES = {
    "transfer": "transfer:transfer",
    "catalog": "catalogs:catalog",
    "run": "service:run",
    "create": "requests:create",
    "status": "answers:status",
    "watch": "watching:watch",
    "cancel": "requests:cancel",
    "suspend": "requests:suspend",
    "resume": "requests:resume",
    "retry": "requests:retry",
    "list": "answers:list_transfers",
    "history": "answers:history",
    "files": "answers:files",
    "explain": "answers:explain",
    "replay": "replay:replay_history",
    "journal": "answers:journal",
    "gantt": "report:gantt",
    "report": "report:report",
    "diagram": "diagrams:diagram",
    "lint": "charts:lint",
    "export": "exchange:export",
    "import": "exchange:import_",
    "store": "stores:store",
}
"""Where the commands are, in the order in which they are needed."""


class _WhenAsked(UserDict[str, Any]):
    """The commands by their names, each imported when first asked for: ``lint`` need not wait for ``transfer``."""

    def __getitem__(self, name: str) -> click.Command:
        command: click.Command = resolve_name(f"dts_fsm.cli.{super().__getitem__(name)}")
        return command


class _InterruptedError(click.ClickException):
    exit_code = INTERRUPTED


class _Commands(click.Group):
    """The commands in the order in which they are needed; what they raise on purpose becomes one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        with _one_line():
            return super().invoke(ctx)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _one_line():  # what --help writes is written here
            return super().make_context(*args, **options)


@contextmanager
def _one_line() -> Iterator[None]:
    """Inside, what is raised on purpose, or by the machine's limits, becomes an error of one line."""
    try:
        yield
    except DtsError as error:
        raise click.ClickException(error_line(error)) from error
    except KeyboardInterrupt:
        raise _InterruptedError("interrupted") from None
    except MemoryError as error:
        raise click.ClickException("there is not enough memory for this") from error
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever read the output has had enough: click sees to that
            raise
        told = unwritable(error) if _is_of_output(error) else _told(error)
        raise click.ClickException(error_line(told)) from error


def _is_of_output(error: OSError) -> bool:
    """True where what failed is writing to standard output: only there these modules write.

    Whether something is left in the buffer tells nothing: where Python runs unbuffered there is none.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return error.filename is None and frames[-1].f_globals.get("__name__") in ("click.utils", "rich.console")


def _told(error: OSError) -> str:
    if isinstance(error, FileNotFoundError) and error.filename is None:
        try:
            os.getcwd()
        except FileNotFoundError:
            return "the current folder no longer exists: go to another one"
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)


@click.group(cls=_Commands, commands=_WhenAsked(_HOMES), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dts-fsm")
@click.pass_context
def main(ctx: click.Context) -> None:
    """File transfers between organizations' databases, each an explicit state machine.

    Try: dts-fsm transfer SRC DST
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a terminal that cannot show a character is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    ctx.with_resource(log_to_stderr())

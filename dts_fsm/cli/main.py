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

_COMMANDS = {
    "transfer": ("transfer:transfer", "Move a folder or a file, verified."),
    "catalog": ("catalogs:catalog", "Write the datapackage.json of a folder."),
    "run": ("service:run", "Carry out the transfers of a store, as a service."),
    "create": ("requests:create", "Create a transfer of FILE_IDS, and write its id."),
    "status": ("answers:status", "Show how a transfer stands."),
    "watch": ("watching:watch", "Show transitions as they come."),
    "cancel": ("requests:cancel", "Ask for a transfer to be canceled."),
    "suspend": ("requests:suspend", "Ask for a transfer to be suspended until it is resumed."),
    "resume": ("requests:resume", "Ask for a suspended transfer to go on."),
    "retry": ("requests:retry", "Move the files of a failed transfer that did not arrive."),
    "list": ("answers:list_transfers", "List transfers, the newest first."),
    "history": ("answers:history", "Show every transition of a transfer and of its operations."),
    "files": ("answers:files", "Show how each file of a transfer stands."),
    "explain": ("answers:explain", "Say why a transfer is where it is."),
    "replay": ("replay:replay_history", "Check the history of a transfer against the statecharts."),
    "journal": ("answers:journal", "Show the permanent records of ended transfers."),
    "gantt": ("report:gantt", "Draw a transfer and its operations along the time."),
    "report": ("report:report", "Write one HTML page on all transfers."),
    "diagram": ("diagrams:diagram", "Draw a statechart, and where a transfer is in it."),
    "lint": ("charts:lint", "Check statecharts."),
    "export": ("exchange:export", "Write a statechart as SCXML or XState."),
    "import": ("exchange:import_", "Read a statechart from SCXML or XState."),
    "database": ("databases:database", "Try a database's service."),
    "store": ("stores:store", "Look after a store's file."),
}
"""Where the commands are, and what they do in short, in the order in which they are needed."""


class _WhenAsked(UserDict[str, Any]):
    """The commands by their names, each imported when first asked for: ``lint`` need not wait for ``transfer``."""

    def __getitem__(self, name: str) -> click.Command:
        place, _ = super().__getitem__(name)
        command: click.Command = resolve_name(f"dts_fsm.cli.{place}")
        return command


class _InterruptedError(click.ClickException):
    exit_code = INTERRUPTED


class _Commands(click.Group):
    """The commands in the order in which they are needed; what they raise on purpose becomes one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """List the commands without importing them; a test holds the short texts to those of the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

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


@click.group(cls=_Commands, commands=_WhenAsked(_COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
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

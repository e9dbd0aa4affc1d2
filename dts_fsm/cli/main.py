"""The command ``dts-fsm``: its group, and what errors look like."""

from __future__ import annotations

import errno
import io
import sys
from typing import Any

import click

from dts_fsm import __version__
from dts_fsm.cli.answers import explain, files, history, journal, list_transfers, status
from dts_fsm.cli.catalogs import catalog
from dts_fsm.cli.charts import diagram, lint
from dts_fsm.cli.interruption import INTERRUPTED
from dts_fsm.cli.logs import log_to_stderr
from dts_fsm.cli.requests import cancel, create, resume, retry, suspend
from dts_fsm.cli.service import run
from dts_fsm.cli.shown import error_line
from dts_fsm.cli.stores import store
from dts_fsm.cli.transfer import transfer
from dts_fsm.cli.watching import watch
from dts_fsm.errors import DtsError

_COMMANDS = (
    *(transfer, catalog),
    *(run, create, status, watch, cancel, suspend, resume, retry),
    *(list_transfers, history, files, explain, journal),
    *(diagram, lint, store),
)


class _InterruptedError(click.ClickException):
    exit_code = INTERRUPTED


class _Commands(click.Group):
    """The commands in the order in which they are needed; what they raise on purpose becomes one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DtsError as error:
            raise click.ClickException(error_line(error)) from error
        except KeyboardInterrupt:
            raise _InterruptedError("interrupted") from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read the output has had enough: click sees to that
                raise
            raise click.ClickException(error_line(_told(error))) from error


def _told(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
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


for _command in _COMMANDS:
    main.add_command(_command)

"""``dts-fsm run``: the scheduler as a service."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from dts_fsm.cli.arguments import FilePath
from dts_fsm.cli.interruption import Interruption
from dts_fsm.cli.logs import log_level
from dts_fsm.cli.options import CONFIG_VARIABLE, Place
from dts_fsm.cli.shown import count, printable
from dts_fsm.config import Config
from dts_fsm.orchestrator import Orchestrator

_log = logging.getLogger(__name__)


@click.command(short_help="Carry out the transfers of a store, as a service.")
@click.argument("config_file", metavar="CONFIG", type=FilePath(dir_okay=False, path_type=Path), envvar=CONFIG_VARIABLE)
def run(config_file: Path) -> None:
    """Carry out the transfers of the store of CONFIG, until SIGTERM or SIGINT.

    Writes one line that begins with "ready:" to standard output once requests are taken, and logs to standard error.
    Where another process carries out the transfers, this one waits, and takes over when the other ends. A stop leaves
    unfinished transfers in the store: they go on at the next start. A second signal ends the process at once.
    """
    config = Config.load(config_file)
    store = Place.of(config).store_file
    level = logging.DEBUG if config.service.debug else logging.INFO
    with log_level(level), Interruption() as interruption:
        with Orchestrator(config) as dts:
            role = "" if dts.leading else "; standby: another process carries out the transfers now"
            click.echo(printable(f"ready: {count(len(config.databases), 'database')}, store {store}{role}"))
            interruption.wait()
            _log.info("stopping", extra={"action": "stop"})
        _log.info("stopped", extra={"action": "stop"})

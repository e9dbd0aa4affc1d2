"""The options that several commands have, and the orchestrators that they open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click
from click.core import ParameterSource

from dts_fsm.cli.arguments import TEXT, FilePath
from dts_fsm.config import Config, ServiceConfig
from dts_fsm.orchestrator import Orchestrator
from dts_fsm.running import STORE_NAME
from dts_fsm.store import SqliteStore
from dts_fsm.store.maintenance import refuse_odd_file

Command = TypeVar("Command", bound=Callable[..., Any])

CONFIG_VARIABLE, DATA_DIR_VARIABLE, ORCID_VARIABLE = "DTS_FSM_CONFIG", "DTS_FSM_DATA_DIR", "DTS_FSM_ORCID"

_config_option = click.option(
    "--config",
    "config_file",
    type=FilePath(dir_okay=False, path_type=Path),
    envvar=CONFIG_VARIABLE,
    show_envvar=True,
    metavar="FILE",
    help="The configuration file.",
)
_data_dir_option = click.option(
    "--data-dir",
    type=FilePath(file_okay=False, path_type=Path),
    envvar=DATA_DIR_VARIABLE,
    show_envvar=True,
    metavar="DIR",
    help="The folder of the store, instead of a configuration file.",
)
orcid_option = click.option(
    "--orcid", type=TEXT, envvar=ORCID_VARIABLE, show_envvar=True, help="Who asks: dddd-dddd-dddd-dddX."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON instead of text for people.")


@attrs.frozen(kw_only=True)
class Place:
    """Where a store is.

    Attributes:
        config: the configuration, or as much of one as a store needs.
    """

    config: Config

    @property
    def store_file(self) -> Path:
        """The store's file; whether it exists is not certain."""
        return self.config.service.data_dir / STORE_NAME

    @classmethod
    def of(cls, config: Config) -> Place:
        """Give the place that a configuration names.

        Raises:
            StoreError: something else than a file is there; opening a named pipe, say, would wait for ever.
        """
        place = cls(config=config)
        refuse_odd_file(place.store_file)
        return place

    @contextmanager
    def opened(self) -> Iterator[Orchestrator]:
        """Give a running orchestrator that asks, cancels, suspends and resumes; it knows no databases.

        Raises:
            StoreError: there is no store, or it cannot be used; none is made.
        """
        with closing(SqliteStore(self.store_file, synchronous=self.config.service.synchronous, create=False)) as store:
            dts = Orchestrator(self.config, databases={}, endpoints={}, store=store)
            dts.start(schedule=False)
            try:
                yield dts
            finally:
                dts.stop()


@contextmanager
def requesting(config: Config) -> Iterator[Orchestrator]:
    """Give a running orchestrator that creates transfers and leaves them to the process that schedules the store."""
    dts = Orchestrator(config)
    dts.start(schedule=False)
    try:
        yield dts
    finally:
        dts.stop()


def config_option(command: Command) -> Command:
    """The command has ``--config`` and takes the ``config`` that was read from it."""

    @wraps(command)
    def with_config(*args: Any, config_file: Path | None, **options: Any) -> Any:
        if config_file is None:
            raise click.UsageError(f"give --config, or set {CONFIG_VARIABLE}")
        return command(*args, config=Place.of(Config.load(config_file)).config, **options)

    return _config_option(with_config)  # type: ignore[return-value]


def place_options(command: Command) -> Command:
    """The command has ``--config`` and ``--data-dir`` and takes the ``place`` that they name."""

    @wraps(command)
    def with_place(*args: Any, config_file: Path | None, data_dir: Path | None, **options: Any) -> Any:
        return command(*args, place=_place(config_file, data_dir), **options)

    return _config_option(_data_dir_option(with_place))  # type: ignore[return-value]


def optional_place_options(command: Command) -> Command:
    """As ``place_options``, but the ``place`` is None where neither is given."""

    @wraps(command)
    def with_place(*args: Any, config_file: Path | None, data_dir: Path | None, **options: Any) -> Any:
        named = config_file is not None or data_dir is not None
        return command(*args, place=_place(config_file, data_dir) if named else None, **options)

    return _config_option(_data_dir_option(with_place))  # type: ignore[return-value]


def _place(config_file: Path | None, data_dir: Path | None) -> Place:
    """What is given on the command line goes before the environment, and a folder before a configuration."""
    source = click.get_current_context().get_parameter_source
    typed = source("config_file") is ParameterSource.COMMANDLINE
    if data_dir is not None and not (typed and source("data_dir") is not ParameterSource.COMMANDLINE):
        # An endpoint is named so that no folder for manifests is made: nothing is delivered from here.
        return Place.of(Config(service=ServiceConfig(data_dir=data_dir, endpoint="manifests")))
    if config_file is None:
        raise click.UsageError(
            f"say where the store is: give --data-dir or --config, or set {DATA_DIR_VARIABLE} or {CONFIG_VARIABLE}"
        )
    return Place.of(Config.load(config_file))


def needed_orcid(orcid: str | None) -> str:
    """The ORCID that was given.

    Raises:
        UsageError: none was.
    """
    if not orcid:
        raise click.UsageError(f"say who asks: give --orcid, or set {ORCID_VARIABLE}")
    return orcid

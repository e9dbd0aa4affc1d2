"""What a running orchestrator consists of, and how it is put together."""

from __future__ import annotations

import logging
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import Executor
from contextlib import ExitStack
from typing import cast

import attrs

from dts_fsm.config import Config, Redactor, ServiceConfig
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.engine import Engine, Timing
from dts_fsm.errors import InvalidServiceConfigError, NoDatabasesAvailableError
from dts_fsm.handlers import Manifestor, Mover, Stager
from dts_fsm.handlers.places import Places
from dts_fsm.interfaces import Clock, Database, Endpoint, Handler
from dts_fsm.lanes import LaneDispatcher, lane_limits
from dts_fsm.messages import Hub
from dts_fsm.planner import Planner
from dts_fsm.records import Overwrite
from dts_fsm.registry import build_databases, build_endpoints
from dts_fsm.scheduler import Scheduler
from dts_fsm.statechart import Chart
from dts_fsm.store import SqliteStore, Store

_log = logging.getLogger(__name__)

STORE_NAME = "dts.db"
"""The store's file in ``data_dir``."""

_MANIFEST_DIR = "service.manifest_dir"
"""The endpoint that delivers manifests where ``service.endpoint`` names none that sees their folder."""


@attrs.frozen(kw_only=True)
class Parts:
    """What a host hands over instead of what the configuration describes; None where it does not."""

    databases: Mapping[str, Database] | None
    endpoints: Mapping[str, Endpoint] | None
    handlers: Mapping[str, Handler]
    charts: Mapping[str, Chart] = attrs.Factory(dict)
    store: Store | None
    executor: Executor | None
    clock: Clock


@attrs.frozen
class Made:
    """The endpoints and databases that this process has made itself: those alone are its own to fence and to close.

    Attributes:
        places: of each kind, give those that there are by now, by name.
    """

    config: Config
    places: list[Callable[[], Mapping[str, object]]] = attrs.Factory(list)

    def fence(self, valid: Callable[[], bool]) -> None:
        """Fence those that can be fenced."""
        self._each("fence", valid)

    def close(self) -> None:
        """Close those that can be closed."""
        self._each("close")

    def _each(self, method: str, *arguments: object) -> None:
        """Call the method of those that have it, the last made first: none needs to have it."""
        for made in reversed(self.places):
            for name, place in made().items():
                call = getattr(place, method, None)
                if call is None:
                    continue
                try:
                    call(*arguments)
                except Exception as error:
                    # the others are to be called all the same
                    _log.error(
                        "a provider raised",
                        exc_info=Redactor(self.config).error(error),
                        extra={"action": method, "place": name},
                    )


@attrs.frozen(kw_only=True)
class Running:
    """All that exists while an orchestrator runs; ``resources`` closes it, in the right order."""

    store: Store
    engine: Engine
    scheduler: Scheduler | None
    planner: Planner
    hub: Hub
    resources: ExitStack


def assemble(config: Config, parts: Parts, *, schedule: bool) -> Running:
    """Put together what a running orchestrator needs; no thread has started.

    Args:
        schedule: whether this process may become the scheduler of the store.

    Raises:
        ConfigurationError, StatechartError, StoreError: see ``Orchestrator.start``; nothing is left open.
    """
    settings = config.service
    if not config.databases and parts.databases is None:
        raise NoDatabasesAvailableError("no database is configured: nothing could be transferred", key="databases")
    with ExitStack() as stack, ExitStack() as places_stack:
        made = Made(config)
        places_stack.callback(made.close)
        endpoints, service_endpoint = _endpoints(config, parts, made)
        databases = parts.databases
        if databases is None:
            databases = built = build_databases(config, endpoints)
            made.places.append(built.made)
        if schedule:
            # a fault of the configuration shows now, and not when a transfer needs the place
            _build_all(endpoints)
            _build_all(databases)
        store = _store(settings, parts, stack)
        # what moves bytes here must have stopped before another process may lead, and move them again
        stack.callback(places_stack.pop_all().close)
        places = Places(databases, endpoints)
        handlers: dict[str, Handler] = {
            "stager": Stager(places, double_check=settings.double_check_staging),
            "mover": Mover(places, overwrite=Overwrite(settings.overwrite)),
            "manifestor": Manifestor(places, endpoint=service_endpoint, folder=settings.manifest_dir),
            **parts.handlers,
        }
        engine = Engine(
            handlers,
            Timing(settings),
            store.stored,
            transfer_chart=parts.charts.get("transfer"),
            operation_chart=parts.charts.get("operation"),
        )
        hub = Hub(store)
        stack.callback(hub.stop)
        scheduler = _scheduler(config, parts, store, engine, handlers, hub, stack, made) if schedule else None
        if scheduler is not None:
            stack.callback(scheduler.watch(endpoints))
        return Running(
            store=store,
            engine=engine,
            scheduler=scheduler,
            planner=Planner(config, databases, endpoints),
            hub=hub,
            resources=stack.pop_all(),
        )


def _endpoints(config: Config, parts: Parts, made: Made) -> tuple[Mapping[str, Endpoint], str]:
    """All endpoints by name, and the name of the one that delivers manifests."""
    endpoints = parts.endpoints
    if endpoints is None:
        endpoints = built = build_endpoints(config, executor=parts.executor)
        made.places.append(built.made)
    name, folder = config.service.endpoint, config.service.manifest_dir
    if name and folder.is_relative_to(_local_root(config, endpoints, name) or "/"):
        return endpoints, name
    _make_folder(config.service, "manifest_dir")
    local: dict[str, Endpoint] = {_MANIFEST_DIR: LocalEndpoint(root=folder, name=_MANIFEST_DIR)}
    made.places.append(lambda: local)
    return ChainMap(local, cast(MutableMapping[str, Endpoint], endpoints)), _MANIFEST_DIR


def _local_root(config: Config, endpoints: Mapping[str, Endpoint], name: str) -> str | None:
    """The root of a local endpoint, without building it; None for another, which is believed to see the folder."""
    if (settings := config.endpoints.get(name)) is not None:
        return settings.root if settings.provider == "local" else None
    endpoint = endpoints.get(name)
    return endpoint.root if isinstance(endpoint, LocalEndpoint) else None


def _store(settings: ServiceConfig, parts: Parts, stack: ExitStack) -> Store:
    if parts.store is not None:
        stack.callback(parts.store.release_lease)
        return parts.store
    _make_folder(settings, "data_dir")
    store = SqliteStore(settings.data_dir / STORE_NAME, synchronous=settings.synchronous)
    stack.callback(store.close)
    return store


def _scheduler(
    config: Config,
    parts: Parts,
    store: Store,
    engine: Engine,
    handlers: Mapping[str, Handler],
    hub: Hub,
    stack: ExitStack,
    made: Made,
) -> Scheduler:
    settings, redact = config.service, Redactor(config)
    dispatcher = LaneDispatcher(limits=lane_limits(config), call_timeout_s=settings.call_timeout_s, redact=redact)
    stack.callback(dispatcher.close)
    return Scheduler(
        store=store,
        engine=engine,
        handlers=handlers,
        dispatcher=dispatcher,
        settings=settings,
        clock=parts.clock,
        published=hub.notify,
        fence=made.fence,
        redact=redact,
    )


def _build_all(places: Mapping[str, object]) -> None:
    for name in places:
        places[name]


def _make_folder(settings: ServiceConfig, key: str) -> None:
    folder = getattr(settings, key)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidServiceConfigError(
            f"the folder {folder} cannot be made: {error.strerror}", key=f"service.{key}"
        ) from error

"""The world around the orchestrator: endpoints, databases, files and consumers. It survives every crash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

from dts_fsm.handlers.places import Places
from dts_fsm.testing.fakes import FakeFile
from dts_fsm.testing.simulation.fate import Fate
from dts_fsm.testing.simulation.providers import SimulatedDatabase, SimulatedEndpoint, TellingEndpoint, Witness

SERVICE = "service"
"""The endpoint that delivers manifests; every world has it."""

_LONGEST_TROUBLE_S = 600.0


class World:
    """All providers of a simulation.

    Args:
        folder: a real one, in which manifests are written; the service's endpoint sees it.

    Attributes:
        endpoints, databases: by name.
        sources: the files that users may ask for, by the name of their database.
        destinations: the databases that receive.
    """

    def __init__(self, fate: Fate, witness: Witness, folder: Path) -> None:
        self.fate, self._witness = fate, witness
        self.endpoints: dict[str, SimulatedEndpoint] = {}
        self.databases: dict[str, SimulatedDatabase] = {}
        self.sources: dict[str, list[str]] = {}
        self.destinations: list[str] = []
        self.endpoints[SERVICE] = SimulatedEndpoint(SERVICE, fate, witness, sees=folder)
        self._right: dict[tuple[str, str], bytes] = {}
        self._troubled: dict[tuple[str, str], FakeFile] = {}
        self._paused: list[tuple[str, UUID]] = []

    @property
    def places(self) -> Places:
        """Where handlers find providers by name."""
        return Places(self.databases, self.endpoints)

    def add_endpoint(self, name: str) -> SimulatedEndpoint:
        """There is an endpoint of this name."""
        kind = TellingEndpoint if len(self.endpoints) % 2 else SimulatedEndpoint
        endpoint = self.endpoints[name] = kind(name, self.fate, self._witness)
        return endpoint

    def add_source(self, name: str, *endpoints: str) -> SimulatedDatabase:
        """There is a database whose files are at these endpoints; what is added to it can be asked for."""
        self.sources[name] = []
        return self._add(name, endpoints)

    def add_destination(self, name: str, endpoint: str) -> SimulatedDatabase:
        """There is a database that receives at this endpoint."""
        self.destinations.append(name)
        return self._add(name, [endpoint])

    def _add(self, name: str, endpoints: Sequence[str]) -> SimulatedDatabase:
        database = SimulatedDatabase(name, {n: self.endpoints[n] for n in endpoints}, self.fate, self._witness)
        self.databases[name] = database
        return database

    def add_file(self, database: str, file_id: str, content: bytes, *, endpoint: str, staged: bool = True) -> None:
        """A file can be asked for: at an endpoint of its database, or on tape."""
        self.databases[database].add_file(file_id, content, endpoint=endpoint, staged=staged)
        self.sources[database].append(file_id)
        self._right[database, file_id] = content

    def right_content(self, database: str, file_id: str) -> bytes:
        """What a file must have in it wherever it arrives."""
        return self._right[database, file_id]

    def add_inline(self, database: str, file_id: str, data: object) -> None:
        """Metadata can be asked for, to be carried in the manifest."""
        self.databases[database].add_inline(file_id, data)
        self.sources[database].append(file_id)

    # What happens by itself

    def turn(self) -> None:
        """Some time passes at the providers, and some things go wrong there."""
        fate, dice, trace = self.fate, self.fate.dice, self.fate.trace
        fate.catch_up()
        if fate.happens("pause"):
            self._pause()
        if fate.happens("forget"):
            endpoint = dice.choice(list(self.endpoints.values()))
            if moves := endpoint.transfers():
                move = dice.choice(moves)
                trace.note(f"{endpoint.name} forgets {trace.name(move)}")
                endpoint.forget_one(move)
        if fate.happens("forget_all"):
            places: list[SimulatedEndpoint | SimulatedDatabase] = [*self.endpoints.values(), *self.databases.values()]
            place = dice.choice(places)
            trace.note(f"{place.name} forgets everything")
            place.forget()
        if fate.happens("vanish"):
            self._trouble(None)
        if fate.happens("change"):
            self._trouble(FakeFile(7, b"changed"))
        if fate.happens("sick"):
            place_name = dice.choice([*self.endpoints, *self.databases])
            trace.note(f"{place_name} falls sick: every call of it hangs")
            fate.sick.add(place_name)
            fate.later(dice.uniform(10.0, _LONGEST_TROUBLE_S), lambda: self._recovers(place_name))

    def _recovers(self, name: str) -> None:
        if name in self.fate.sick:
            self.fate.sick.discard(name)
            self.fate.trace.note(f"{name} is well again")

    def _pause(self) -> None:
        endpoint = self.fate.dice.choice(list(self.endpoints.values()))
        if moves := endpoint.running():
            move = self.fate.dice.choice(moves)
            self.fate.trace.note(f"{endpoint.name} suspends {self.fate.trace.name(move)}")
            endpoint.pause(move)
            self._paused.append((endpoint.name, move))
            self.fate.later(self.fate.dice.uniform(1.0, _LONGEST_TROUBLE_S), lambda: endpoint.lift(move))

    def _trouble(self, replacement: FakeFile | None) -> None:
        dice = self.fate.dice
        database = dice.choice(list(self.sources))
        descriptor = self.databases[database].descriptors_by_id[dice.choice(self.sources[database])]
        name, path = descriptor.endpoint, descriptor.path
        if name is None or path is None or path not in self.endpoints[name].files or (name, path) in self._troubled:
            return
        files = self.endpoints[name].files
        self._troubled[name, path] = files[path]
        if replacement is None:
            del files[path]
        else:
            files[path] = replacement
        self.fate.trace.note(f"the source file {path} at {name} {'is gone' if replacement is None else 'has changed'}")
        self.fate.later(dice.uniform(1.0, _LONGEST_TROUBLE_S), lambda: self._mended(name, path))

    def _mended(self, name: str, path: str) -> None:
        right = self._troubled.pop((name, path), None)
        if right is not None:
            self.endpoints[name].files[path] = right
            self.fate.trace.note(f"the source file {path} at {name} is as it was")

    def calm(self) -> None:
        """All troubles are over: nobody is sick, nothing is suspended, and every source file is as it was."""
        for name in sorted(self.fate.sick):
            self._recovers(name)
        for endpoint, move in self._paused:
            self.endpoints[endpoint].lift(move)
        for name, path in list(self._troubled):
            self._mended(name, path)

    def take_away(self, endpoint: str, folder: str) -> None:
        """A consumer has taken a payload away, the whole folder."""
        files = self.endpoints[endpoint].files
        for path in [path for path in files if path.startswith(folder + "/")]:
            del files[path]


Installation = Callable[[World], None]
"""A function that fills a world with endpoints, databases and files."""


def standard(world: World) -> None:
    """Three databases to take from, at three endpoints and with a tape archive behind one, and two to bring to."""
    for name in ("disk1", "disk2", "cache", "vault", "lake"):
        world.add_endpoint(name)
    world.add_source("genomes", "disk1", "disk2")
    world.add_source("images", "disk2")
    world.add_source("tape", "cache")
    world.add_destination("archive", "vault")
    world.add_destination("commons", "lake")
    for number in range(6):
        world.add_file("genomes", f"g{number}", b"genome %d" % number, endpoint=f"disk{1 + number % 2}")
        world.add_file("images", f"i{number}", b"image %d" % number, endpoint="disk2")
        world.add_file("tape", f"t{number}", b"from tape %d" % number, endpoint="cache", staged=False)
    world.add_inline("genomes", "taxa", {"depth": 3})

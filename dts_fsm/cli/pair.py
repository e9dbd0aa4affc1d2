"""The pair of folders of ``dts-fsm transfer``: its own small installation, and the files to move."""

from __future__ import annotations

import hashlib
import os
from glob import escape
from pathlib import Path
from typing import Any

import attrs
import click

from dts_fsm.cli.omissions import Omissions, is_excluded, num_empty_folders
from dts_fsm.config import Config, DatabaseConfig, EndpointConfig, ServiceConfig
from dts_fsm.databases.catalog_file import CATALOG_FILE, Catalog, read_catalog, write_catalog
from dts_fsm.databases.finding import FoundFile
from dts_fsm.databases.hashing import Progress, hash_files
from dts_fsm.databases.scan import scan
from dts_fsm.endpoints.durability import Durability
from dts_fsm.errors import InvalidDescriptorError
from dts_fsm.manifest import MANIFEST_NAME
from dts_fsm.records import Descriptor, Specification, User
from dts_fsm.records.checks import is_unicode
from dts_fsm.records.checksum import DEFAULT_ALGORITHM

SOURCE, DESTINATION, MANIFESTS = "source", "destination", "manifests"
"""The names of the endpoints, in every pair."""

_MAX_PAYLOAD_GB = 1e9
_LONG_S = 1e9
"""Nobody waits for such a transfer but who started it: there is no deadline but their own."""

_POLL_INTERVAL_S = 0.5

_OMISSIONS_FILE = "omissions.json"


@attrs.frozen(kw_only=True)
class Pair:
    """A source and a destination on this machine.

    Attributes:
        folder: the source's folder, resolved.
        file: the name of the one file to move from there, or None for all of them.
        destination: the destination's folder, resolved.
        states: the folder with the states of all pairs.
        exclude: patterns of paths that are not moved.
    """

    folder: Path
    file: str | None
    destination: Path
    states: Path
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, source: Path, destination: Path, data_dir: Path | None = None, *, exclude: tuple[str, ...] = ()
    ) -> Pair:
        """Give the pair of two paths.

        Raises:
            ClickException: the source is neither folder nor file, its name is not UTF-8, or the destination or the
                folder of the states lies inside of it.
        """
        source, destination = source.resolve(), destination.resolve()
        if not source.is_dir() and not source.is_file():
            raise click.ClickException(f"{source} is neither a folder nor a regular file")
        if source.is_dir() and destination.is_relative_to(source):
            raise click.ClickException(
                f"the destination {destination} is inside of the source {source}: what arrives there would itself be "
                "a part of the source; choose a folder elsewhere"
            )
        if source.is_dir() and data_dir is not None and data_dir.resolve().is_relative_to(source):
            raise click.ClickException(
                f"the folder of the states {data_dir} is inside of the source {source}: what is kept there would "
                "itself be a part of the source; choose a folder elsewhere"
            )
        whole = source.is_dir()
        if not whole and not is_unicode(source.name):
            raise click.ClickException(f"the name of {source} is not UTF-8, which every name must be: rename the file")
        return cls(
            folder=source if whole else source.parent,
            file=None if whole else source.name,
            destination=destination,
            states=(data_dir or _default_states()).absolute(),
            exclude=exclude,
        )

    @property
    def state(self) -> Path:
        """The folder with this pair's store, catalog and manifests under way."""
        source = self.folder / self.file if self.file else self.folder
        digest = hashlib.sha256(os.fsencode(source) + b"\0" + os.fsencode(self.destination))
        return self.states / digest.hexdigest()[:16]

    def prepare(self) -> tuple[Path, ...]:
        """Destination and state folder exist; gives what had to be made for the destination, the innermost first.

        Raises:
            OSError: one of them cannot be made.
        """
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.state / MANIFESTS).mkdir(exist_ok=True)
        missing = [folder for folder in (self.destination, *self.destination.parents) if not folder.exists()]
        self.destination.mkdir(parents=True, exist_ok=True)
        return tuple(missing)

    def config(self, *, workers: int, durable: Durability) -> Config:
        """Give the configuration of the pair's installation."""
        roots = {SOURCE: self.folder, DESTINATION: self.destination, MANIFESTS: self.state / MANIFESTS}
        options: dict[str, Any] = {"workers": workers, "durable": durable.value}
        endpoints: dict[Any, Any] = {
            name: EndpointConfig(key=name, provider="local", root=str(root), options=options)
            for name, root in roots.items()
        }
        catalog = {"catalog": str(self._catalog())}
        source = DatabaseConfig(key=SOURCE, endpoints={"": SOURCE}, provider="catalog", options=catalog)
        databases: dict[Any, Any] = {SOURCE: source}
        service = ServiceConfig(
            data_dir=self.state,
            manifest_dir=roots[MANIFESTS],
            endpoint=MANIFESTS,
            max_payload_size_gb=_MAX_PAYLOAD_GB,
            poll_interval_s=_POLL_INTERVAL_S,
            active_deadline_s=_LONG_S,
            finalizing_deadline_s=_LONG_S,
            synchronous="normal" if durable is Durability.NONE else "full",
        )
        return Config(service=service, endpoints=endpoints, databases=databases)

    def specification(self, file_ids: tuple[str, ...], *, orcid: str, description: str) -> Specification:
        """Give the request for these files; the destination is a custom one, so that no user map is needed."""
        return Specification(
            source=SOURCE,
            destination=f"local:{DESTINATION}::",
            file_ids=file_ids,
            user=User(name=os.environ.get("USER") or orcid, orcid=orcid),
            description=description,
        )

    # The catalog

    def _catalog(self) -> Path:
        """The source's own catalog where it has one with what is to be moved, else the one that is made here."""
        own = self.folder / CATALOG_FILE
        if own.is_file() and (self.file is None or self._listed(read_catalog(own, root=own.parent))):
            return own
        return self.state / CATALOG_FILE

    def _listed(self, catalog: Catalog) -> tuple[str, ...]:
        """The ids of the catalog's resources that are to be moved."""
        return tuple(item.id for item in catalog.descriptors if self._is_moved(item.path))

    def _is_moved(self, path: str | None) -> bool:
        return self.file in (None, path) and not is_excluded(path or "", self.exclude)

    def omissions(self) -> Omissions:
        """Give what the last call of ``files`` left out, in this process or in another one.

        Raises:
            SerializationError: the file that says so has been damaged.
        """
        return Omissions.read(self.state / _OMISSIONS_FILE)

    def files(self, progress: Progress | None) -> tuple[str, ...]:
        """Give the ids of the files to move; where the source has no catalog, one is in the state folder now.

        Raises:
            InvalidDescriptorError: a resource of the source's catalog cannot be used.
            InvalidDatabaseConfigError: the source's catalog cannot be used.
            OSError: the source cannot be read.
            ClickException: a file to move has the place of the manifest, or is the only one and cannot be read.
        """
        path = self._catalog()
        omissions = Omissions()
        if path.parent != self.state:
            catalog = read_catalog(path, root=path.parent)
            if self.file is None:
                for resource_id, fault in catalog.faults.items():
                    raise InvalidDescriptorError(resource_id, f"{fault}; correct {path}")
        elif self.file is not None:
            catalog = self._of_one_file(self.file, progress)
            write_catalog(path, catalog)
        else:
            catalog, omissions = self._scanned(path, progress)
        omissions.write(self.state / _OMISSIONS_FILE)
        if any(item.path == MANIFEST_NAME and self._is_moved(item.path) for item in catalog.descriptors):
            raise click.ClickException(
                f"{self.folder} has a file {MANIFEST_NAME}, and the manifest of the transfer is to have that place: if "
                "it is a payload that was received, transfer the folder above it; or leave the file out with --exclude "
                f"{MANIFEST_NAME}"
            )
        return self._listed(catalog)

    def forget_catalog(self) -> None:
        """The next run reads every file again: what is remembered of them was wrong. The source's own catalog stays."""
        (self.state / CATALOG_FILE).unlink(missing_ok=True)

    def _scanned(self, path: Path, progress: Progress | None) -> tuple[Catalog, Omissions]:
        try:
            previous = read_catalog(path)
        except FileNotFoundError:
            previous = Catalog()
        exclude = list(self.exclude)
        # a store changes while it is in use: it can be no part of the payload
        exclude += [
            escape(states.relative_to(self.folder).as_posix())
            for states in {self.states.resolve(), _default_states().resolve()}
            if states.is_relative_to(self.folder)
        ]
        result = scan(self.folder, previous=previous, progress=progress, exclude=exclude)
        # what a former run knew of files that cannot be looked at now is no reason to try to move them
        left_out = {file.path for file in result.skipped}
        catalog = attrs.evolve(
            result.catalog,
            descriptors=tuple(item for item in result.catalog.descriptors if not _below(item.path or "", left_out)),
        )
        write_catalog(path, catalog)
        num_empty = num_empty_folders(self.folder, exclude=exclude)
        return catalog, Omissions.of(self.folder, result.skipped, num_empty_folders=num_empty)

    def _of_one_file(self, name: str, progress: Progress | None) -> Catalog:
        status = (self.folder / name).stat()
        found = FoundFile(path=name, bytes=status.st_size, modified_ns=status.st_mtime_ns)
        checksums, skipped = hash_files(self.folder, [found], algorithm=DEFAULT_ALGORITHM, progress=progress)
        for file in skipped:
            raise click.ClickException(f"{self.folder / name} cannot be transferred: {file.reason}")
        return Catalog(descriptors=(Descriptor(id=name, path=name, bytes=found.bytes, hash=checksums[name]),))


def _below(path: str, folders: set[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:end]) in folders for end in range(1, len(parts) + 1))


def _default_states() -> Path:
    home = os.environ.get("XDG_STATE_HOME", "")
    # Source: XDG Base Directory Specification: relative paths are to be ignored.
    base = Path(home) if os.path.isabs(home) else Path.home() / ".local" / "state"
    return base / "dts-fsm" / "transfers"

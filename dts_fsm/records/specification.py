"""What a client asks for, and the files that it is about."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from dts_fsm.errors import InvalidDescriptorError, SpecificationError
from dts_fsm.records.checks import is_unicode, member, normal_path, path_fault, shown, text, whole_number
from dts_fsm.records.checksum import Checksum
from dts_fsm.records.credit import credit_from

FOLDER_PREFIX = "dts-"
"""How the name of a payload's folder begins; the transfer's id follows."""


@attrs.frozen(kw_only=True)
class User:
    """Who asks for a transfer.

    Attributes:
        name: the person's name as a manifest shows it.
        orcid: ``dddd-dddd-dddd-dddX``; its form is checked when a transfer is created.
        email, organization: shown in the manifest where they are not empty.
    """

    name: str = attrs.field(validator=text())
    orcid: str = attrs.field(validator=text())
    email: str = attrs.field(default="", validator=text())
    organization: str = attrs.field(default="", validator=text())


def _file_ids(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise SpecificationError(f"Specification.file_ids must be a list of ids, not {type(value).__name__}")
    ids = tuple(value)
    for file_id in ids:
        if not isinstance(file_id, str) or not file_id or not is_unicode(file_id):
            raise SpecificationError(f"Specification.file_ids must be texts that are not empty, not {shown(file_id)}")
    return ids


def _is_user(record: Any, _: Any, value: Any) -> None:
    if not isinstance(value, User):
        raise SpecificationError(f"{type(record).__name__}.user must be a User, not {type(value).__name__}")


@attrs.frozen(kw_only=True)
class Specification:
    """A request for a transfer; whether it can be carried out is checked by ``create`` and ``plan``.

    Attributes:
        source: the name of the database that has the files.
        destination: the name of a database, or a custom destination ``<provider>:<id>:<path>:<credential>``.
        file_ids: the ids of the files at the source, without repetition.
        user: who asks; only this user's ORCID may act on the transfer.
        description: Markdown for people.
        instructions: any JSON value for the programs that take the payload in; it goes into the manifest as given.
    """

    source: str = attrs.field(validator=text())
    destination: str = attrs.field(validator=text())
    file_ids: tuple[str, ...] = attrs.field(converter=_file_ids)
    user: User = attrs.field(validator=_is_user)
    description: str = attrs.field(default="", validator=text())
    instructions: Any = None


DESCRIPTOR_KEYS = frozenset({"id", "name", "path", "bytes", "hash", "endpoint"})
"""The properties of a data resource that a descriptor has as attributes; it keeps all others as they are."""


@attrs.frozen(kw_only=True, init=False)
class Descriptor:
    """Frictionless data-resource metadata of one file, or of inline data.

    A descriptor with ``data`` among its properties and no path is inline: it is not moved, and appears in the
    manifest only.

    Attributes:
        id: the file's id in its database.
        name: a short name; the id where the database gives none.
        path: where the file is, relative to the root of its endpoint; None for inline data.
        bytes: the file's size; None for inline data.
        hash: the checksum that the file must have, or None.
        endpoint: at which of the database's endpoints the file is; None where it has only one.
        properties: everything else that the database says, as JSON values.

    Raises:
        InvalidDescriptorError: without id, path or bytes; negative bytes; a path that is absolute, leads upwards or has
            control characters; an unknown hash algorithm.
    """

    id: str
    name: str
    path: str | None
    bytes: int | None
    hash: Checksum | None
    endpoint: str | None
    properties: Mapping[str, Any]

    def __init__(  # noqa: PLR0912 - one branch for each thing that may be wrong
        self,
        *,
        id: Any,  # noqa: A002 - Frictionless names the property so
        name: Any = None,
        path: Any = None,
        bytes: Any = None,  # noqa: A002 - Frictionless names the property so
        hash: Any = None,  # noqa: A002 - Frictionless names the property so
        endpoint: Any = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        rest = {} if properties is None else properties
        if not isinstance(id, str) or not id or not is_unicode(id):
            place = next((value for value in (name, path) if isinstance(value, str) and value), "without id")
            raise InvalidDescriptorError(place, f"its id must be text, not {shown(id)}")
        for key, value in (("name", name), ("endpoint", endpoint)):
            if value is not None and not (isinstance(value, str) and is_unicode(value)):
                raise InvalidDescriptorError(id, f"its {key} must be text, not {shown(value)}")
        if not isinstance(rest, Mapping):
            raise InvalidDescriptorError(id, f"its further properties must be a mapping, not {shown(rest)}")
        if rest.get("credit") is not None:
            try:
                credit_from(rest["credit"])
            except SpecificationError as error:
                raise InvalidDescriptorError(id, str(error)) from error
        if own := sorted(rest.keys() & DESCRIPTOR_KEYS):
            raise InvalidDescriptorError(id, f"its further properties may not be called {', '.join(own)}")
        if path is None and "data" in rest:
            self.__attrs_init__(
                id=id, name=name or id, path=None, bytes=None, hash=None, endpoint=endpoint, properties=rest
            )
            return
        if path is None:
            raise InvalidDescriptorError(id, "it has neither a path nor inline data")
        if not isinstance(path, str):
            raise InvalidDescriptorError(id, f"its path must be text, not {shown(path)}")
        if fault := path_fault(path):
            raise InvalidDescriptorError(id, fault)
        if isinstance(bytes, float) and bytes.is_integer():
            bytes = int(bytes)  # noqa: A001 - JSON from some databases writes sizes as 12.0
        if not isinstance(bytes, int) or isinstance(bytes, bool):
            raise InvalidDescriptorError(id, f"its size ('bytes') must be a whole number, not {shown(bytes)}")
        if not 0 <= bytes < 2**63:
            raise InvalidDescriptorError(id, f"its size ('bytes') cannot be {shown(bytes)}")
        if isinstance(hash, str) and hash:
            try:
                hash = Checksum.parse(hash)  # noqa: A001
            except ValueError as error:
                raise InvalidDescriptorError(id, str(error)) from error
        elif not isinstance(hash, Checksum | None | str):
            raise InvalidDescriptorError(id, f"its hash must be text, not {shown(hash)}")
        self.__attrs_init__(
            id=id,
            name=name or id,
            path=normal_path(path),
            bytes=bytes,
            hash=hash or None,
            endpoint=endpoint,
            properties=rest,
        )

    @property
    def inline(self) -> bool:
        """True for metadata that is carried in the manifest and never moved."""
        return self.path is None


class Overwrite(enum.StrEnum):
    """What becomes of a file that is in the place of one to be moved; the right content is left as it is.

    NEVER: other content is left as it is, and the file fails with the reason "exists". IF_DIFFERENT: other content is
    replaced. ALWAYS: the file is moved again and replaced, even where the content is right.
    """

    NEVER = "never"
    IF_DIFFERENT = "if-different"
    ALWAYS = "always"


def _overwrite(value: Any) -> Overwrite:
    return member(Overwrite, value)


@attrs.frozen(kw_only=True)
class FileTransfer:
    """One file of a move.

    Attributes:
        id: the descriptor's id; answers about the file carry it.
        source_path, destination_path: relative to the roots of the source and destination endpoints.
        bytes: the size that the file must have, or None where it is not known.
        hash: the checksum that the file must have, or None.
        overwrite: what becomes of a file that is in its place.
    """

    id: str = attrs.field(validator=text(empty=False))
    source_path: str = attrs.field(validator=text(empty=False))
    destination_path: str = attrs.field(validator=text(empty=False))
    bytes: int | None = attrs.field(default=None, validator=attrs.validators.optional(whole_number))
    hash: Checksum | None = None
    overwrite: Overwrite = attrs.field(default=Overwrite.IF_DIFFERENT, converter=_overwrite)


@attrs.frozen(kw_only=True)
class Destination:
    """Where a transfer's payload goes.

    Attributes:
        endpoint: the name of a configured endpoint, or the custom destination as it was given.
        path: the folder, relative to the endpoint's root, in which the payload's own folder is made; "" for the root.
        username: the destination's local user; "" for a custom destination.
    """

    endpoint: str
    path: str
    username: str

    def folder(self, transfer_id: object) -> str:
        """The payload's folder, relative to the endpoint's root."""
        return f"{self.path}/{FOLDER_PREFIX}{transfer_id}".lstrip("/")

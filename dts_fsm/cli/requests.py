"""What users ask for: create, cancel, suspend, resume and retry."""

from __future__ import annotations

import json
from typing import Any, Literal, TextIO
from uuid import UUID

import click
from rich.text import Text

from dts_fsm.cli.arguments import ID, TEXT
from dts_fsm.cli.interruption import Interruption
from dts_fsm.cli.options import Place, config_option, json_option, needed_orcid, orcid_option, place_options, requesting
from dts_fsm.cli.outcome import Summary, awaited
from dts_fsm.cli.progress import Bars
from dts_fsm.cli.shown import console, count, emit_json, say, show_facts, show_listed, size, writing_about
from dts_fsm.config import Config
from dts_fsm.errors import SpecificationError
from dts_fsm.orchestrator import Orchestrator
from dts_fsm.records import Plan, Specification
from dts_fsm.serialization import load_json, structure
from dts_fsm.store.maintenance import is_scheduled

_NOBODY_LEADS = "no service runs on this store now: it is carried out once one does (dts-fsm run CONFIG)"


@click.command()
@config_option
@click.option("--from", "document", type=click.File(encoding="utf-8"), help="A specification as JSON; - for stdin.")
@click.option("--source", type=TEXT, help="The database that has the files.")
@click.option("--destination", type=TEXT, help="A database, or <provider>:<id>:<path>:<credential>.")
@click.argument("file_ids", nargs=-1, type=TEXT)
@click.option(
    "--ids-from", type=click.File(encoding="utf-8"), help="A text with one file id on each line; - for stdin."
)
@click.option("--description", type=TEXT, help="Markdown for people.")
@click.option("--instructions", type=TEXT, help="JSON for the programs that take the payload in.")
@orcid_option
@click.option("--name", type=TEXT, help="Your name, as the manifest shows it.  [default: the ORCID]")
@click.option("--email", type=TEXT, help="Shown in the manifest.")
@click.option("--organization", type=TEXT, help="Shown in the manifest.")
@click.option("--idempotency-key", type=TEXT, help="The same key with the same specification creates one transfer.")
@click.option("--dry-run", is_flag=True, help="Check everything, and show what would be moved.")
@click.option("--wait", is_flag=True, help="Wait for the end; the exit status tells it, as with transfer.")
@json_option
@click.pass_context
def create(
    ctx: click.Context,
    /,
    config: Config,
    document: TextIO | None,
    ids_from: TextIO | None,
    idempotency_key: str | None,
    dry_run: bool,
    wait: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Create a transfer of FILE_IDS, and write its id.

    What is given as an option goes before what the document of --from says.
    """
    specification = _specification(document, ids_from, fields)
    with requesting(config) as dts:
        if dry_run:
            _show_plan(dts.plan(specification), as_json=as_json)
            return
        transfer_id = dts.create(specification, idempotency_key=idempotency_key)
        _hint(Place(config=config))
        _created(ctx, dts, transfer_id, wait=wait, as_json=as_json)


@click.command(short_help="Move the files of a failed transfer that did not arrive.")
@config_option
@click.argument("transfer_id", metavar="ID", type=ID)
@orcid_option
@click.option("--wait", is_flag=True, help="Wait for the end; the exit status tells it, as with transfer.")
@json_option
@click.pass_context
def retry(ctx: click.Context, config: Config, transfer_id: str, orcid: str | None, wait: bool, as_json: bool) -> None:
    """Create a new transfer of the files of a failed one that did not arrive, and write its id."""
    with requesting(config) as dts:
        created = dts.retry(transfer_id, needed_orcid(orcid))
        _hint(Place(config=config))
        _created(ctx, dts, created, wait=wait, as_json=as_json)


@click.command(short_help="Ask for a transfer to be canceled.")
@place_options
@click.argument("transfer_id", metavar="ID", type=ID)
@orcid_option
def cancel(place: Place, transfer_id: str, orcid: str | None) -> None:
    """Ask for a transfer to be canceled; one that has ended is left alone."""
    _request(place, transfer_id, needed_orcid(orcid), "cancel")


@click.command()
@place_options
@click.argument("transfer_id", metavar="ID", type=ID)
@orcid_option
def suspend(place: Place, transfer_id: str, orcid: str | None) -> None:
    """Ask for a transfer to be suspended until it is resumed."""
    _request(place, transfer_id, needed_orcid(orcid), "suspend")


@click.command()
@place_options
@click.argument("transfer_id", metavar="ID", type=ID)
@orcid_option
def resume(place: Place, transfer_id: str, orcid: str | None) -> None:
    """Ask for a suspended transfer to go on."""
    _request(place, transfer_id, needed_orcid(orcid), "resume")


def _request(place: Place, transfer_id: str, orcid: str, kind: Literal["cancel", "suspend", "resume"]) -> None:
    with place.opened() as dts:
        getattr(dts, kind)(transfer_id, orcid)
        status = dts.status(transfer_id)
    if status.final:
        say(f"the transfer has ended already, as {status.code.value}: it is left alone")
        return
    say(f"asked to {kind} the transfer {transfer_id}")
    _hint(place)


def _hint(place: Place) -> None:
    if not is_scheduled(place.store_file):
        say(_NOBODY_LEADS)


def _created(ctx: click.Context, dts: Orchestrator, transfer_id: UUID, *, wait: bool, as_json: bool) -> None:
    if not (wait and as_json):
        with writing_about(f"the transfer {transfer_id} itself was created"):
            emit_json({"id": transfer_id}) if as_json else click.echo(transfer_id)
    if not wait:
        return
    with Interruption() as interruption, Bars() as bars:
        awaited(dts, transfer_id, interruption, bars)
    summary = Summary.of(dts, transfer_id)
    if not summary.record.status.final:
        say(f"interrupted: the transfer goes on; dts-fsm watch {transfer_id} waits for it again")
    summary.show(as_json=as_json)
    ctx.exit(summary.exit_status)


def _specification(document: TextIO | None, ids_from: TextIO | None, fields: dict[str, Any]) -> Specification:
    """Give the specification that a document and options say together."""
    given: dict[str, Any] = {}
    if document is not None:
        loaded = _json(_text(document))
        if not isinstance(loaded, dict):
            raise SpecificationError(f"a specification must be a JSON object, not {type(loaded).__name__}")
        given = dict(loaded)
    user = given.get("user", {})
    if not isinstance(user, dict):
        raise SpecificationError("the user of a specification must be a JSON object")
    user = user | {key: fields[key] for key in ("name", "orcid", "email", "organization") if fields[key] is not None}
    user["orcid"] = needed_orcid(user.get("orcid"))
    given["user"] = {"name": user["orcid"], **user}
    given |= {key: fields[key] for key in ("source", "destination", "description") if fields[key] is not None}
    for key in ("source", "destination"):
        if key not in given:
            raise click.UsageError(f"give --{key}, or a document with it")
    ids = list(fields["file_ids"])
    if ids_from is not None:
        ids += [line for line in map(str.strip, _text(ids_from).splitlines()) if line]
    if ids or "file_ids" not in given:
        given["file_ids"] = ids
    if not isinstance(given["file_ids"], list):
        raise SpecificationError(
            f"the file_ids of a specification must be a JSON array, not {type(given['file_ids']).__name__}"
        )
    if fields["instructions"] is not None:
        given["instructions"] = _json(fields["instructions"])
    return structure(given, Specification)


def _text(stream: TextIO) -> str:
    try:
        return stream.read()
    except UnicodeDecodeError as error:
        raise SpecificationError(f"{stream.name} is not UTF-8 text") from error


def _json(text: str) -> Any:
    """The JSON value that a text has.

    Raises:
        SerializationError: it is not JSON.
        SpecificationError: an object has a key twice: which of the values was meant cannot be told.
    """
    value = load_json(text)
    json.loads(text, object_pairs_hook=_without_duplicates)
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise SpecificationError(f"a JSON object has the key {twice!r} more than once")


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        emit_json(plan)
        return
    to = console()
    endpoint, path = plan.destination.endpoint, plan.destination.path
    show_facts(
        to,
        [
            ("would move", f"{count(plan.num_files, 'file')}, {size(plan.num_bytes)}"),
            *(("from", f"{s.endpoint}: {count(s.num_files, 'file')}, {size(s.num_bytes)}") for s in plan.sources),
            ("to", f"{endpoint}: {path + '/' if path else ''}dts-<id>"),
            ("local user", plan.destination.username),
        ],
    )
    to.print(Text(""))
    show_listed(
        to, ("file", "size"), [(item.path or f"{item.id} (inline)", size(item.bytes)) for item in plan.descriptors]
    )

"""Questions about transfers: status, list, history, files, explain and journal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.text import Text

from dts_fsm.cli.arguments import ID, TEXT, stored_number
from dts_fsm.cli.options import Place, json_option, place_options
from dts_fsm.cli.outcome import reason
from dts_fsm.cli.shown import console, emit_json, printable, share, show_facts, show_table, size, styled, when
from dts_fsm.records import EventVerdict, Explanation, FileState, TransferStatusCode
from dts_fsm.serialization import unstructure
from dts_fsm.statechart.texts import duration

_WIDE = 110
"""From so many columns on there is room for what one can do without."""

_MAX_OPERATIONS = 5
"""Of how many operations it is shown what each of their events waits for."""

_id_argument = click.argument("transfer_id", metavar="ID", type=ID)


@click.command()
@place_options
@_id_argument
@json_option
def status(place: Place, transfer_id: str, as_json: bool) -> None:
    """Show how a transfer stands."""
    with place.opened() as dts:
        record = dts.transfer(transfer_id)
    now, asked = record.status, record.specification
    if as_json:
        emit_json({"id": record.id, **unstructure(now)})
        return
    skipped = f", {now.num_files_skipped} were there before" if now.num_files_skipped else ""
    show_facts(
        console(),
        [
            ("transfer", record.id),
            ("state", styled(now.code.value)),
            ("reason", now.reason),
            ("message", now.message),
            ("files", f"{share(now.num_files_transferred, now.num_files)}{skipped}"),
            ("bytes", f"{size(now.num_bytes_transferred)} of {size(now.num_bytes)}"),
            ("from", asked.source),
            ("to", asked.destination),
            ("folder", record.folder),
            ("asked by", " ".join(dict.fromkeys((asked.user.name, asked.user.orcid)))),
            ("description", asked.description),
            ("created", when(record.created_at)),
            ("updated", when(now.updated_at)),
            ("completed", when(now.completed_at)),
            ("retry of", record.retry_of),
            ("retried by", record.retried_by),
        ],
    )


@click.command("list")
@place_options
@click.option("--state", type=click.Choice([code.value for code in TransferStatusCode]), help="Only those in it.")
@click.option("--user", type=TEXT, metavar="ORCID", help="Only those that this user asked for.")
@click.option("--source", type=TEXT, help="Only those from this database.")
@click.option("--limit", type=stored_number(1), default=100, show_default=True, help="How many at most.")
@click.option("--after", type=ID, metavar="ID", help="The last one of the page before.")
@json_option
def list_transfers(
    place: Place,
    state: str | None,
    user: str | None,
    source: str | None,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """List transfers, the newest first."""
    with place.opened() as dts:
        records = dts.transfers(state=state, user=user, source=source, limit=limit, after=after)
    if as_json:
        emit_json(records)
        return
    to = console()
    wide = ("created", "source", "destination") if to.width >= _WIDE else ()
    show_table(
        to,
        ("id", "state", "files", "size", *wide),
        [
            (
                record.id,
                styled("canceled" if record.status.reason == "canceled" else record.status.code.value),
                share(record.status.num_files_transferred, record.status.num_files),
                size(record.status.num_bytes),
                *(
                    (when(record.created_at), record.specification.source, record.specification.destination)
                    if wide
                    else ()
                ),
            )
            for record in records
        ],
        whole=("id", "state", "created"),
    )


@click.command()
@place_options
@_id_argument
@json_option
def history(place: Place, transfer_id: str, as_json: bool) -> None:
    """Show every transition of a transfer and of its operations."""
    with place.opened() as dts:
        records = dts.history(transfer_id)
    if as_json:
        emit_json(records)
        return
    show_table(
        console(),
        ("time", "machine", "event", "state", "message"),
        [(when(r.time), r.machine, r.event, styled(r.target), r.message) for r in records],
        whole=("time", "machine", "event", "state"),
    )


@click.command(short_help="Show how each file of a transfer stands.")
@place_options
@_id_argument
@click.option("--state", type=click.Choice([state.value for state in FileState]), help="Only those in it.")
@json_option
def files(place: Place, transfer_id: str, state: str | None, as_json: bool) -> None:
    """Show how each file of a transfer stands; checksums are in the JSON."""
    with place.opened() as dts:
        records = [file for file in dts.files(transfer_id) if state in (None, file.state.value)]
    if as_json:
        emit_json(records)
        return
    show_table(
        console(),
        ("file", "state", "size", "attempts", "error"),
        [
            (file.path or file.id, styled(file.state.value), size(file.descriptor.bytes), file.attempts, reason(file))
            for file in records
        ],
        whole=("state",),
    )


@click.command(short_help="Say why a transfer is where it is.")
@place_options
@_id_argument
@json_option
def explain(place: Place, transfer_id: str, as_json: bool) -> None:
    """Say why a transfer is where it is: what could happen next, and what each of it waits for."""
    with place.opened() as dts:
        answer = dts.explain(transfer_id)
    if as_json:
        emit_json(answer)
    else:
        _show_explanation(answer)


def _show_explanation(answer: Explanation) -> None:
    to, now = console(), answer.asked_at
    scheduler = {True: "works on this store", False: "none works on this store: nothing happens", None: None}
    show_facts(
        to,
        [
            ("transfer", answer.transfer_id),
            ("state", styled(answer.state)),
            ("in short", Text(printable(answer.summary), style="bold")),
            ("which means", answer.description),
            ("asked for", answer.requested),
            ("last error", answer.last_error),
            ("looked at next", _when_and_how_far(answer.next_poll_at, now)),
            ("next deadline", _next_deadline(answer)),
            ("scheduler", scheduler[answer.scheduled] if answer.next_poll_at else None),
        ],
    )
    if answer.events:
        to.print(Text("\nwhat can happen here"))
        _show_events(to, answer.events)
    for waiting in answer.live_operations[:_MAX_OPERATIONS]:
        to.print(Text("\n" + printable(waiting.summary)))
        _show_events(to, waiting.events)
    if len(answer.live_operations) > _MAX_OPERATIONS:
        to.print(Text(f"\nwhat {len(answer.live_operations) - _MAX_OPERATIONS:,} more operations wait for: see --json"))
    if answer.operations:
        to.print(Text("\noperations"))
        show_table(
            to,
            ("kind", "endpoint", "state", "attempts", "next look", "message"),
            [
                (o.kind, o.endpoint, styled(o.state), o.attempts, when(o.next_poll_at), o.message)
                for o in answer.operations
            ],
            whole=("kind", "state"),
        )


def _show_events(to: Console, events: Sequence[EventVerdict]) -> None:
    show_facts(to, [(f"  {verdict.event} -> {verdict.target}", _said(verdict)) for verdict in events])


def _said(verdict: EventVerdict) -> str:
    if not verdict.possible:
        return f"no: {verdict.why}"
    return verdict.why or "yes: the next tick takes it"


def _when_and_how_far(time: datetime | None, now: datetime | None) -> str:
    if time is None or now is None:
        return when(time)
    away_s = (time - now).total_seconds()
    if abs(away_s) < 1:
        return f"{when(time)} (now)"
    return f"{when(time)} ({f'in {duration(away_s)}' if away_s > 0 else f'{duration(-away_s)} ago'})"


def _next_deadline(answer: Explanation) -> str:
    """The deadline that comes first: the state's, or that of a cancellation."""
    kinds = {operation.id: operation for operation in answer.operations}
    found = [
        (waiting.deadline_at, f"{kinds[waiting.id].kind} at {kinds[waiting.id].endpoint} is given up")
        for waiting in answer.live_operations
        if waiting.deadline_at is not None
    ]
    if answer.deadline_at is not None:
        found.append((answer.deadline_at, f"the transfer fails ({answer.deadline})"))
    if not found:
        return ""
    time, what = min(found)
    return f"{_when_and_how_far(time, answer.asked_at)}: {what}"


def _time(text: str) -> datetime:
    """Give the time that the text writes in ISO 8601; without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no time: write, for example, 2025-01-31 or 2025-01-31T12:00:00Z"
        raise click.BadParameter(message) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


@click.command(short_help="Show the permanent records of ended transfers.")
@place_options
@click.option("--since", type=_time, metavar="TIME", help="Only what ended then or later; UTC, unless it has a zone.")
@click.option("--until", type=_time, metavar="TIME", help="Only what ended before.")
@click.option("--status", "wanted", type=click.Choice(["succeeded", "failed", "canceled"]), help="Only those.")
@click.option("--limit", type=stored_number(1), help="How many at most, the oldest first.")
@json_option
def journal(
    place: Place, since: datetime | None, until: datetime | None, wanted: str | None, limit: int | None, as_json: bool
) -> None:
    """Show the permanent records of ended transfers; the manifests are in the JSON."""
    with place.opened() as dts:
        records = dts.journal(since, until, status=wanted, limit=limit)
    if as_json:
        emit_json(records)
        return
    to = console()
    wide = ("source", "destination", "user", "reason") if to.width >= _WIDE else ()
    show_table(
        to,
        ("ended", "id", "status", "files", "size", *wide),
        [
            (
                when(r.stop_time) if wide else r.stop_time.strftime("%m-%d %H:%M"),
                r.id,
                styled(r.status),
                r.num_files,
                size(r.payload_size),
                *((r.source, r.destination, r.orcid, r.reason or "") if wide else ()),
            )
            for r in records
        ],
        whole=("ended", "id", "status", "user"),
    )

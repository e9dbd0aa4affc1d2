"""``dts-fsm watch``: transitions as they come."""

from __future__ import annotations

import click
from rich.text import Text

from dts_fsm.cli.arguments import ID, stored_number
from dts_fsm.cli.interruption import INTERRUPTED, Interruption
from dts_fsm.cli.options import Place, json_option, place_options
from dts_fsm.cli.outcome import exit_status
from dts_fsm.cli.progress import Bars
from dts_fsm.cli.shown import STYLES, console, emit_json, printable, when
from dts_fsm.orchestrator import Orchestrator
from dts_fsm.records import Message, TransferStatus

_LISTEN_S = 0.2


@click.command(short_help="Show transitions as they come.")
@place_options
@click.argument("transfer_id", metavar="[ID]", type=ID, required=False)
@click.option("--after", type=stored_number(0), metavar="SEQ", help="Begin after the message of this number.")
@json_option
@click.pass_context
def watch(ctx: click.Context, place: Place, transfer_id: str | None, after: int | None, as_json: bool) -> None:
    """Show the transitions of transfers as they come, those of other processes as well.

    With an ID: all of that transfer's, from its beginning to its end, and the exit status tells the end: 0 succeeded,
    1 failed, 3 canceled. Without: from now on, until interrupted. JSON has one line for each message.
    """
    with Interruption() as interruption, place.opened() as dts:
        begin = _begin(dts, transfer_id) if after is None else after
        end = _follow(dts, transfer_id, begin, interruption, as_json=as_json)
    ctx.exit(INTERRUPTED if end is None else exit_status(end))


def _begin(dts: Orchestrator, transfer_id: str | None) -> int | None:
    """The number after which to begin: that before the transfer's first; None for now."""
    if transfer_id is None:
        return None
    return min((record.seq for record in dts.history(transfer_id)), default=1) - 1


def _follow(
    dts: Orchestrator, transfer_id: str | None, after: int | None, interruption: Interruption, *, as_json: bool
) -> TransferStatus | None:
    """Show messages until the transfer has ended, and give its status; None where somebody interrupts."""
    # somebody else's messages may come faster than a terminal takes them
    subscription = dts.subscribe(10_000, after=after, transfer_id=transfer_id)
    with subscription, Bars(quiet=as_json or transfer_id is None) as bars:
        while not interruption.requested:
            message = subscription.get(timeout_s=_LISTEN_S)
            if message is not None:
                _show(message, as_json=as_json)
            if transfer_id is None:
                continue
            if message is not None and message.status.final:
                return dts.status(transfer_id)
            status = dts.status(transfer_id)
            bars.moved(status)
            if message is None and status.final:
                return status
    return None


def _show(message: Message, *, as_json: bool) -> None:
    if as_json:
        emit_json(message)
        return
    line = Text(f"{when(message.time)} {printable(message.description)}")
    if message.status.final:
        line.stylize(STYLES["canceled" if message.status.reason == "canceled" else message.status.code.value])
    console().print(line, soft_wrap=True)

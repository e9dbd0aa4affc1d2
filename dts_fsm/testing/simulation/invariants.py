"""What must hold whatever happens: each invariant a function that says what contradicts it, or None.

They know no store and no provider: the oracle asks them about what it has seen. Their names are what a failing
simulation reports; ``GUARANTEES`` says which promise each of them is about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import attrs

from dts_fsm.records import TransferStatus
from dts_fsm.testing.fakes import FakeFile

Arrow = tuple[str, str, str]
"""One transition: event, source, target."""


@attrs.define(eq=False)
class Replayed:
    """A machine as its history leads to it."""

    state: str = ""
    length: int = 0
    events: Counter[str] = attrs.Factory(Counter)


def no_transfer_whose_id_was_given_is_lost(name: str, stored: bool, forgotten: bool) -> str | None:
    """A transfer whose id a user was given is in the store until its time after its end is over."""
    return None if stored or forgotten else f"{name} was promised, and the store does not know it"


def what_was_committed_is_stored(expected: int, found: int) -> str | None:
    """A commit that has returned is in the store, every transition of it, and nothing else was written meanwhile."""
    return None if expected == found else f"{expected} transitions were committed, and {found} are in the history"


def the_history_follows_the_chart(name: str, machine: Replayed, arrow: Arrow, arrows: Collection[Arrow]) -> str | None:
    """Every transition in the history is an arrow of its chart, and begins where the one before ended."""
    event, source, target = arrow
    if event == "create":
        return f"{name} was created twice" if machine.state else None
    if source != machine.state:
        return f"{name} was {machine.state}, and {event} left {source}"
    return None if arrow in arrows else f"{name}: no arrow {source} --{event}--> {target}"


def the_history_leads_to_the_state(name: str, replayed: str, stored: str) -> str | None:
    """The last transition in the history leads to the state in the store."""
    return None if replayed == stored else f"{name} is {stored}, and its history leads to {replayed!r}"


def a_transfer_that_has_ended_never_changes(name: str, ended: object, now: object) -> str | None:
    """State, reason, counters and time of an ended transfer stay as they are."""
    return None if ended == now else f"{name} had ended as {ended}, and is {now} now"


def an_ended_transfer_has_no_live_operation(name: str, states: Mapping[str, str], final: Collection[str]) -> str | None:
    """When a transfer ends, all of its operations have ended."""
    live = {operation: state for operation, state in states.items() if state not in final}
    return f"{name} has ended, and {live} have not" if live else None


def the_journal_has_each_end_once(
    name: str, expected: Sequence[object], found: Sequence[Sequence[object]]
) -> str | None:
    """An ended transfer has one record in the journal, which agrees with it; a live one has none."""
    return None if [tuple(row) for row in found] == list(expected) else f"{name}: {expected} expected, {found} found"


def the_journal_forgets_nothing(ends: int, records: int) -> str | None:
    """The journal has as many records as transfers have ended."""
    return None if ends == records else f"{ends} transfers have ended, and the journal has {records} records"


def the_intention_is_durable_before_the_call(submission: str, submits: int) -> str | None:
    """A provider sees a submission only after the operation's ``submit`` is in the store's history."""
    return None if submits else f"{submission} reached a provider, and no submit of it is in the history"


def a_submission_keeps_its_id(submission: str, known: bool) -> str | None:
    """A provider sees no submission under an id that is not its operation's present one."""
    return None if known else f"{submission} is not the id of any operation's submission"


def a_submission_makes_one_task(submission: str, tasks: int, again: bool) -> str | None:
    """A provider makes one task of each submission, unless it has forgotten it."""
    return None if again or tasks == 1 else f"{submission} made {tasks} tasks"


def a_move_writes_into_its_own_payload(submission: str, folder: str, paths: Sequence[str]) -> str | None:
    """What is moved for a transfer goes to its own folder, so that no two transfers write one path."""
    outside = [path for path in paths if not path.startswith(folder + "/")]
    return f"{submission} writes {outside[0]}" if outside else None


def an_arrived_file_keeps_its_content(
    path: str, right: bytes | None, before: FakeFile | None, after: FakeFile
) -> str | None:
    """A file at the destination that has the right content never gets another."""
    if before is None or before.content != right or after.content == right:
        return None
    return f"{path} was right, and was overwritten"


def a_manifest_appears_last(name: str, wrong: Sequence[str]) -> str | None:
    """When a manifest appears, every file that it speaks of is there with the right content."""
    return f"the manifest of {name} appeared before {', '.join(wrong)}" if wrong else None


def a_manifest_appears_once(name: str, before: bytes | None, present: bool, after: bytes | None) -> str | None:
    """A manifest appears at most once, and is never rewritten with another content."""
    if before is None:
        return None
    if not present:
        return f"the manifest of {name} appeared again after the payload had been taken away"
    return f"the manifest of {name} was rewritten with another content" if before != after else None


def success_means_that_all_was_delivered(name: str, manifest: bool, files: Mapping[str, str]) -> str | None:
    """A transfer that succeeds has a manifest at the destination, and every file has arrived there."""
    if not manifest:
        return f"{name} succeeded, and its manifest was never at the destination"
    left = {id_: state for id_, state in files.items() if state not in ("transferred", "skipped", "inline")}
    return f"{name} succeeded without {left}" if left else None


def the_source_is_told_after_the_delivery(name: str, manifest: bool) -> str | None:
    """The source database is told of a delivery only after the manifest has appeared."""
    return None if manifest else f"the source was told of {name} before its manifest was there"


def counters_agree_with_the_files(name: str, counters: Sequence[int], states: Sequence[str]) -> str | None:
    """The counters of an ended transfer are what its files say."""
    arrived = sum(state in ("transferred", "skipped") for state in states)
    skipped = sum(state == "skipped" for state in states)
    return None if tuple(counters) == (arrived, skipped) else f"{name}: {tuple(counters)}, but {arrived} and {skipped}"


def counters_stay_within_the_totals(name: str, status: TransferStatus) -> str | None:
    """Skipped files are among the transferred, and neither files nor bytes exceed their totals."""
    files = 0 <= status.num_files_skipped <= status.num_files_transferred <= status.num_files
    good = files and 0 <= status.num_bytes_transferred <= status.num_bytes
    return None if good else f"{name}: {status}"


def a_cancellation_is_carried_out(name: str, state: str, reason: str | None) -> str | None:
    """A transfer whose cancellation was accepted ends as canceled, unless everything had been delivered first."""
    return None if reason == "canceled" or state == "succeeded" else f"{name} was canceled, and {state}: {reason}"


def only_who_asked_is_canceled(name: str, reason: str | None, asked: bool) -> str | None:
    """A transfer ends as canceled only when its user asked for it."""
    return f"{name} was canceled, and nobody asked" if reason == "canceled" and not asked else None


def only_a_request_lifts_a_suspension(name: str, asked: bool) -> str | None:
    """A transfer that its user suspended goes on only when the user asks."""
    return None if asked else f"{name} was resumed, and its user had not asked"


def only_the_leader_writes(process: str, leader: str | None) -> str | None:
    """A tick is committed by the process that took office last, and by no other."""
    return None if process == leader else f"{process} committed a tick, and {leader} is the scheduler"


def who_was_replaced_knows_it(process: str, unawares: bool) -> str | None:
    """A process whose lease another had meanwhile forgets the calls that it had begun before it leads again."""
    return f"{process} leads again, and does not know that another did meanwhile" if unawares else None


def a_key_belongs_to_one_transfer(name: str, known: str | None) -> str | None:
    """The same idempotency key gives the same transfer."""
    return None if known in (None, name) else f"a key gave {known} first, and {name} now"


def every_attempt_is_recorded(name: str, counted: int, recorded: int) -> str | None:
    """Each attempt that failed and each loss is a transition in the history."""
    return None if counted == recorded else f"{name} counts {counted} attempts and losses, its history {recorded}"


def attempts_have_an_end(name: str, attempts: int, limit: int) -> str | None:
    """An operation is not tried oftener than the settings say."""
    return None if attempts <= limit else f"{name} was tried {attempts} times, and {limit} are allowed"


def every_file_of_a_failure_is_accounted_for(name: str, files: Mapping[str, tuple[str, Any]]) -> str | None:
    """Each file of a failed transfer has arrived, or has failed with an error."""
    silent = [id_ for id_, (state, error) in files.items() if state == "failed" and not error]
    left = [id_ for id_, (state, _) in files.items() if state not in ("transferred", "skipped", "inline", "failed")]
    return f"{name} failed, and nothing is said of {silent + left}" if silent or left else None


def nothing_due_is_left_out(process: str, waiting: Sequence[str]) -> str | None:
    """After a tick, or some where more is due than one takes, what is due is under way, rests, or has a full lane."""
    return f"{process} ticked, and left out {', '.join(waiting)}" if waiting else None


def a_tick_fails_only_with_the_store(process: str, error: str) -> str | None:
    """A tick raises nothing but the store's errors."""
    return f"{process}: {error}"


def every_change_can_be_decided(name: str, error: str) -> str | None:
    """The engine can take in every answer, request and deadline."""
    return f"{name}: {error}"


def everything_ends(late: Sequence[str]) -> str | None:
    """Once nothing goes wrong any more, every transfer ends before its deadlines are over."""
    return f"still alive: {', '.join(late)}" if late else None


GUARANTEES: Mapping[str, Sequence[Callable[..., str | None]]] = {
    "no transfer is lost": (no_transfer_whose_id_was_given_is_lost, what_was_committed_is_stored),
    "effects happen exactly once": (
        the_intention_is_durable_before_the_call,
        a_submission_keeps_its_id,
        a_submission_makes_one_task,
        an_arrived_file_keeps_its_content,
        a_manifest_appears_last,
        a_manifest_appears_once,
        success_means_that_all_was_delivered,
        the_source_is_told_after_the_delivery,
    ),
    "every transfer ends": (everything_ends, an_ended_transfer_has_no_live_operation),
    "cancel works in every state": (a_cancellation_is_carried_out, only_who_asked_is_canceled),
    "suspend and resume work in every state": (only_a_request_lifts_a_suspension,),
    "a sick provider delays nobody else": (
        nothing_due_is_left_out,
        a_tick_fails_only_with_the_store,
        every_change_can_be_decided,
    ),
    "one process schedules": (only_the_leader_writes, who_was_replaced_knows_it),
    "the same key gives the same transfer": (a_key_belongs_to_one_transfer,),
    "history and journal never contradict the state": (
        the_history_follows_the_chart,
        the_history_leads_to_the_state,
        a_transfer_that_has_ended_never_changes,
        the_journal_has_each_end_once,
        the_journal_forgets_nothing,
        counters_agree_with_the_files,
        counters_stay_within_the_totals,
    ),
    "destinations do not conflict": (a_move_writes_into_its_own_payload,),
    "attempts and failures are on record": (
        every_attempt_is_recorded,
        attempts_have_an_end,
        every_file_of_a_failure_is_accounted_for,
    ),
}
"""The eleven promises, and the invariants that are about them."""


def guarantee_of(invariant: Callable[..., str | None]) -> str:
    """The promise that an invariant is about."""
    return next(name for name, invariants in GUARANTEES.items() if invariant in invariants)

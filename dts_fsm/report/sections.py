"""The parts of the report, each from the numbers that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from dts_fsm.records import Explanation
from dts_fsm.records.statistics import StateStatistics, Statistics
from dts_fsm.report.bars import Series, bars
from dts_fsm.report.markup import Html, cut, element, folded, joined, paragraph, section, table, wide
from dts_fsm.statechart.texts import duration

_MAX_OPERATIONS = 5
"""Of one transfer that waits."""

_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def size(num_bytes: float) -> str:
    """The size in decimal units, with three digits."""
    for unit in _SIZES:
        if num_bytes < 999.5 or unit == _SIZES[-1]:
            break
        num_bytes /= 1000
    return f"{num_bytes:.3g} {unit}"


def number(value: int) -> str:
    """The number with its thousands separated."""
    return f"{value:,}"


def when(time: datetime | None) -> str:
    """The time in UTC to the second; "" for None."""
    return "" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(seconds: float | None) -> str:
    """The duration; "" for None."""
    return "" if seconds is None else duration(seconds)


def id_of(transfer_id: UUID) -> Html:
    """A transfer's id, which is not broken."""
    return element("code", str(transfer_id))


def summary(found: Statistics, *, working: bool) -> Html:
    """The few numbers that one looks at first."""
    live = sum(s.num_now for s in found.states if s.machine == "transfer" and s.longest_now_s is not None)
    since = "of all time" if found.since is None else f"since {when(found.since)[:16]}Z"
    tiles = [
        ("live now", number(live), "transfers that have not ended"),
        ("succeeded", number(found.num_succeeded), f"transfers, {since}"),
        ("failed", number(found.num_failed), f"transfers, {since}"),
        ("canceled", number(found.num_canceled), f"transfers, {since}"),
        ("moved", size(found.num_bytes), f"of transfers that succeeded, {since}"),
    ]
    cards = [
        element("div", joined([element("dt", name), element("dd", value), element("dd", note, class_="note")]))
        for name, value, note in tiles
    ]
    if working:
        state = "A scheduler works on the store."
    elif live:
        state = "No scheduler works on the store: nothing goes on until one is started."
    else:
        state = "No scheduler works on the store; nothing waits for one."
    overdue = f" {found.num_overdue:,} operations should have been looked at more than a minute ago."
    return joined(
        [
            element("dl", joined(cards), class_="tiles"),
            paragraph(state + (overdue if found.num_overdue else ""))
            if working and not found.num_overdue
            else element("p", state + (overdue if found.num_overdue else ""), class_="warning"),
        ]
    )


def throughput(found: Statistics) -> Html:
    """What ended when, and how many bytes succeeded."""
    about = paragraph(
        f"Each bar is {duration(found.period_s)}, from the time below it on, in UTC.",
        "A transfer counts when it ends, with all of its bytes if it succeeded.",
    )
    if not found.periods:
        return section("Throughput", "throughput", paragraph("No transfer has ended in this time."))
    starts = [period.start for period in found.periods]
    ended = (
        Series(name="succeeded", look="succeeded", values=[p.num_succeeded for p in found.periods]),
        Series(name="failed", look="failed", values=[p.num_failed for p in found.periods]),
        Series(name="canceled", look="canceled", values=[p.num_canceled for p in found.periods]),
    )
    moved = (
        Series(name="bytes of transfers that succeeded", look="bytes", values=[p.num_bytes for p in found.periods]),
    )
    rows = [
        (when(p.start), number(p.num_succeeded), number(p.num_failed), number(p.num_canceled), size(p.num_bytes))
        for p in found.periods
    ]
    numbers = ("succeeded", "failed", "canceled", "moved")
    return section(
        "Throughput",
        "throughput",
        about,
        wide(bars("ended", "How many transfers ended, by how they ended", starts, ended, number)),
        wide(bars("moved", "How many bytes succeeded", starts, moved, size)),
        folded("The same as a table", table(("from", *numbers), rows, numbers=numbers)),
    )


def stays(found: Statistics, order: Mapping[str, Sequence[str]]) -> Html:
    """How many are in each state, and how long they stay there; ``order``: the states of each machine's chart."""
    numbers = ("now", "longest now", "stays", "median", "95 %", "longest")
    parts: list[object] = [
        paragraph(
            "now: how many are in the state, and longest now: for how long the one that came first.",
            "stays: how many have left it; half of them after the median at the latest, 95 of 100 after the time",
            "below 95 %. Stays that last on are not among them.",
            "A final state has those that the store has not forgotten yet.",
        )
    ]
    for machine, title in (("transfer", "Transfers"), ("operation", "Operations")):
        rows = [
            (
                s.state,
                number(s.num_now),
                span(s.longest_now_s),
                number(s.num_stays),
                *map(span, (s.median_s, s.p95_s, s.longest_s)),
            )
            for s in sorted(found.states, key=partial(_place, order.get(machine, ())))
            if s.machine == machine
        ]
        steps = [(s.source or "(new)", s.event, s.target, number(s.count)) for s in found.steps if s.machine == machine]
        parts += [
            element("h3", title),
            table(("state", *numbers), rows, numbers=numbers),
            folded(
                "How often each transition was taken",
                table(("from", "event", "to", "times"), steps, numbers=("times",)),
            ),
        ]
    return section("Times in states", "stays", *parts)


def _place(order: Sequence[str], one: StateStatistics) -> tuple[int, str]:
    """Where a state stands in a table; those that the chart does not have are the last."""
    return (order.index(one.state) if one.state in order else len(order), one.state)


def waiting(found: Statistics, explanations: Mapping[UUID, Explanation]) -> Html:
    """The transfers that have been in their state the longest, and what they wait for."""
    rows = [
        (
            id_of(one.id),
            f"{one.state}, as its user asked" if one.suspended else one.state,
            span(one.waiting_s),
            _why(explanations[one.id], found.until) if one.id in explanations else "It has ended meanwhile.",
        )
        for one in found.waiting
    ]
    return section(
        "Waiting the longest",
        "waiting",
        paragraph(
            "Transfers that have not ended and have been in their state the longest, with what is known of why;",
            "those that their users have suspended come last.",
        ),
        table(("transfer", "state", "for", "why"), rows, stacked=True),
    )


def _why(answer: Explanation, now: datetime) -> Html:
    """What an explanation says, the most telling first."""
    facts = [
        *(("operation", one.summary) for one in answer.live_operations[:_MAX_OPERATIONS]),
        ("asked for", answer.requested),
        ("last error", answer.last_error),
        ("looked at next", _from_now(answer.next_poll_at, now)),
        ("fails after", _from_now(answer.deadline_at, now)),
    ]
    told = [element("li", joined([element("b", f"{name}:"), cut(value)])) for name, value in facts if value]
    return joined([cut(answer.summary or answer.description), element("ul", joined(told))])


def _from_now(time: datetime | None, now: datetime) -> str:
    if time is None:
        return ""
    left_s = (time - now).total_seconds()
    return f"{when(time)}, {f'in {span(left_s)}' if left_s >= 0 else f'{span(-left_s)} ago'}"


def slowest(found: Statistics) -> Html:
    """The transfers that took the longest."""
    rows = [
        (
            id_of(one.id),
            span(one.duration_s),
            one.status if one.reason is None else f"{one.status}: {one.reason}",
            number(one.num_files),
            size(one.num_bytes),
            one.source,
            one.destination,
        )
        for one in found.slowest
    ]
    return section(
        "Slowest",
        "slowest",
        paragraph("Transfers that have ended, by the time from their creation to their end."),
        table(("transfer", "took", "ended", "files", "size", "from", "to"), rows, numbers=("took", "files", "size")),
    )


def reasons(found: Statistics) -> Html:
    """Why transfers ended without all of their files."""
    rows = [(r.status, r.reason or "(none)", number(r.count), id_of(r.latest)) for r in found.reasons]
    return section(
        "Errors by reason",
        "reasons",
        paragraph("Transfers that failed, were canceled, or succeeded in part."),
        table(("ended", "reason", "transfers", "the latest of them"), rows, numbers=("transfers",)),
    )


def providers(found: Statistics) -> Html:
    """How the operations of each provider went, the failing ones first."""
    numbers = ("succeeded", "failed", "canceled", "retries", "live", "in trouble")
    ordered = sorted(found.providers, key=lambda p: (p.num_troubled, p.num_failed, p.num_retries), reverse=True)
    rows = [
        (
            _doubtful(p.name) if p.num_troubled or p.num_failed else p.name,
            p.kind,
            *map(number, (p.num_succeeded, p.num_failed, p.num_canceled, p.num_retries, p.num_live, p.num_troubled)),
            "" if p.last_error is None else f"{p.last_error} ({when(p.last_error_at)})",
        )
        for p in ordered
    ]
    return section(
        "Providers",
        "providers",
        paragraph(
            "Operations by who carries them out. retries: how often one was tried again;",
            "in trouble: how many of the live ones were tried again already.",
            "Those with a mark have failed operations, or some in trouble.",
        ),
        table(("provider", "work", *numbers, "last error"), rows, numbers=numbers),
    )


def _doubtful(name: str) -> Html:
    return joined([element("span", "!", class_="mark-wrong", title="failed, or in trouble"), name])


def chart_picture(title: str, picture: str, about: Sequence[str] = ()) -> Html:
    """A picture of a chart; it may be wider than the page."""
    return element(
        "figure",
        joined([element("figcaption", title), *map(paragraph, about), wide(Html(picture))]),
    )

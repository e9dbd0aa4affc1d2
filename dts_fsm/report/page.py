"""The page: what it is made of, and the whole of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from uuid import UUID

import attrs

from dts_fsm.records import Explanation, HistoryRecord, TransferRecord
from dts_fsm.records.statistics import Statistics
from dts_fsm.report import sections
from dts_fsm.report.markup import Html, element, folded, joined, paragraph, section, table, wide
from dts_fsm.report.sections import chart_picture, id_of, number, size, when
from dts_fsm.statechart import Chart
from dts_fsm.statechart.drawing.gantt import Gantt, gantt_svg
from dts_fsm.statechart.texts import duration

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Nothing is loaded and no script runs, whatever a text should smuggle in."""


@attrs.frozen(kw_only=True)
class Report:
    """What the page is made of.

    Attributes:
        place: the store, as its users know it.
        statistics: see ``read_statistics``.
        working: whether a scheduler works on the store.
        explanations: of the transfers that wait the longest; those that have ended meanwhile are missing.
        charts: of transfers and of operations.
        pictures: SVG of the charts with how many are where, by their names, and "way", of the chart with the way of the
            one transfer; those that are missing are left out, and ``without_pictures`` says why.
        transfer: the transfer that is shown in full, or None, with its ``history``, and its ``endpoints`` by operation.
    """

    place: str
    statistics: Statistics
    working: bool
    explanations: tuple[Explanation, ...] = ()
    charts: tuple[Chart, ...] = ()
    pictures: Mapping[str, str] = attrs.field(factory=dict)
    without_pictures: str = ""
    transfer: TransferRecord | None = None
    history: tuple[HistoryRecord, ...] = ()
    endpoints: Mapping[UUID, str] = attrs.field(factory=dict)


def page(report: Report) -> str:
    """Give the report as one HTML page, which needs no network and no scripts, and may be printed."""
    found = report.statistics
    explanations = {answer.transfer_id: answer for answer in report.explanations}
    parts = [
        _head(report),
        sections.throughput(found),
        _fleet(report),
        sections.stays(found, {chart.name: [state.name for state in chart.states] for chart in report.charts}),
        sections.waiting(found, explanations),
        sections.slowest(found),
        sections.reasons(found),
        sections.providers(found),
    ]
    if report.transfer is not None:
        parts.append(_transfer(report, report.transfer))
    style = files("dts_fsm.report").joinpath("page.css").read_text(encoding="utf-8")
    head = [
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("title", f"Transfers: {report.place}"),
        element("style", Html(f"\n{style}")),
    ]
    whole = [element("head", joined(head)), element("body", element("main", joined(parts)))]
    return f"<!doctype html>\n{element('html', joined(whole), lang='en')}\n"


def _head(report: Report) -> Html:
    found = report.statistics
    since = (
        "everything that the store remembers" if found.since is None else f"what was recorded since {when(found.since)}"
    )
    links = {
        "throughput": "Throughput",
        "fleet": "Where they are",
        "stays": "Times in states",
        "waiting": "Waiting the longest",
        "slowest": "Slowest",
        "reasons": "Errors by reason",
        "providers": "Providers",
        **({"transfer": "One transfer"} if report.transfer else {}),
    }
    return element(
        "header",
        joined(
            [
                element("h1", "Transfers"),
                element("p", report.place, class_="dim"),
                element(
                    "p",
                    f"As of {when(found.until)}, from {since}: {found.num_transitions:,} transitions. "
                    "A service may have gone on while it was read: the numbers are not all of the same instant.",
                    class_="dim",
                ),
                element("nav", joined(element("a", name, href=f"#{id_}") for id_, name in links.items())),
                sections.summary(found, working=report.working),
            ]
        ),
    )


def _fleet(report: Report) -> Html:
    drawn = [
        chart_picture(f"The {chart.name} chart", report.pictures[chart.name])
        for chart in report.charts
        if chart.name in report.pictures
    ]
    missing = [paragraph("There are pictures missing:", report.without_pictures)] if report.without_pictures else []
    return section("Where they are", "fleet", *drawn, *missing)


def _transfer(report: Report, record: TransferRecord) -> Html:
    gantt = Gantt.of(report.history, now=report.statistics.until, endpoints=report.endpoints)
    status, asked = record.status, record.specification
    facts = [
        ("state", status.code.value if status.reason is None else f"{status.code.value}: {status.reason}"),
        ("message", status.message),
        ("files", f"{number(status.num_files_transferred)} of {number(status.num_files)}"),
        ("bytes", f"{size(status.num_bytes_transferred)} of {size(status.num_bytes)}"),
        ("from", asked.source),
        ("to", asked.destination),
        ("created", when(record.created_at)),
        ("ended", when(status.completed_at)),
        ("description", asked.description),
    ]
    bars = [(row.name, bar.state, when(bar.start), duration(bar.seconds)) for row in gantt.rows for bar in row.bars]
    content: list[object] = [
        element("p", joined(["Transfer", id_of(record.id)])),
        table(("", "this transfer"), [fact for fact in facts if fact[1]]),
        element("h3", "Along the time"),
        paragraph("Lower bars are states in which nothing is done. Point at a bar for its times."),
        wide(Html(gantt_svg(gantt))),
        folded("The same as a table", table(("machine", "state", "from", "for"), bars, numbers=("for",))),
    ]
    if "way" in report.pictures:
        content.append(chart_picture("The way it went", report.pictures["way"]))
    return section("One transfer", "transfer", *content)

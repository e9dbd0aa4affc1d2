"""The control plane: what the orchestrator costs by itself, with fakes or with nothing at its ends.

Every target is an upper limit: "at least 0.35 of the floor's transitions per second" is "at most 2.9 times its cost".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report import Line, Runs, median

if TYPE_CHECKING:
    from benchmarks.suites import Bench

_MS, _US, _MB = 1e3, 1e6, 1e-6
_TICK = 1000
"""How many transitions the floor commits at once, as a full tick does."""

_DTS_CPU_MS = 3.75
"""DTS's own service: 3.3 to 4.2 ms of CPU for a transfer of 3 files. Measured elsewhere, once."""

_SLOW_SYNC_S = 0.005
_THREADS = 16


def live(bench: Bench) -> list[Line]:
    """Ticks in stores with many live transfers, of which some are due."""
    few, many = bench.sizes.live // 10, bench.sizes.live
    due = min(bench.sizes.due, few)
    over = due * (bench.sizes.repeat - 1)  # each turn ends so many, and the last is to find enough
    stores = {
        size: str(bench.run(f"a store with {size:,} live", "fleet.filled", live=size + over)) for size in (few, many)
    }
    names = {size: f"ticks with {size:,} live" for size in stores}
    floor = f"floor: raw transitions with {few:,} live"
    for turn in range(bench.sizes.repeat):
        for size, store in stores.items():
            bench.run(names[size], "fleet.ticks", store=store, due=due, skip=turn)
        bench.run(floor, "fleet.raw", store=stores[few], count=due, batch=_TICK)
        bench.run("floor: trigger", "floors.triggers", count=due)
    runs = {size: bench.runs[name] for size, name in names.items()}
    raw_us = _per_transition_us(bench.runs[floor])
    trigger_us = median(bench.runs["floor: trigger"], "cpu_s") * _US / due
    costs_us = {size: _per_transition_us(found) for size, found in runs.items()}
    suite = f"{few:,} and {many:,} live transfers, of which {due:,} are due"
    transition = "CPU of a durable transition with {:,} live"
    idle_ms, resident_mb = median(runs[many], "idle_s") * _MS, median(runs[many], "resident_bytes") * _MB
    return [
        Line(
            suite,
            transition.format(few),
            costs_us[few],
            "us",
            "one raw update and row of history there",
            raw_us,
            1 / 0.35,
        ),
        Line(suite, transition.format(few), costs_us[few], "us", "one machine.events[e].trigger(model)", trigger_us),
        Line(suite, transition.format(many), costs_us[many], "us", f"with {few:,}", costs_us[few], 1 / 0.8),
        Line(suite, f"CPU of a tick without work, {many:,} live", idle_ms, "ms", "the limit", 1.0, 1.0),
        Line(suite, f"resident memory with {many:,} live", resident_mb, "MB", "the limit", 150.0, 1.0),
        Line(
            suite,
            f"resident memory with {many:,} live",
            resident_mb,
            "MB",
            f"with {few:,}",
            median(runs[few], "resident_bytes") * _MB,
            1.1,
        ),
        Line(
            suite,
            f"CPU of taking office, {many:,} live",
            median(runs[many], "office_s"),
            "s",
            f"with {few:,}",
            median(runs[few], "office_s"),
        ),
    ]


def _per_transition_us(runs: Runs) -> float:
    return median(runs, "cpu_s") * _US / runs[0]["num_transitions"]


def transfers(bench: Bench) -> list[Line]:
    """Many small transfers through fakes, from creation to the manifest."""
    many = bench.sizes.transfers
    few = max(many // 10, 1)
    suite = f"{few:,} and {many:,} transfers of 3 files through fakes that end at once, durable"
    fewer, more, files = bench.in_turn(
        {
            f"{few:,} transfers": ("orchestration.transfers", {"count": few, "files": 3}),
            f"{many:,} transfers": ("orchestration.transfers", {"count": many, "files": 3}),
            "floor: small files": ("floors.small_files", {"count": many}),
        }
    )
    cpu_ms = {size: median(runs, "cpu_s") * _MS / size for size, runs in ((few, fewer), (many, more))}
    file_ms = median(files, "cpu_s") * _MS / many
    system_ms = median(more, "system_s") * _MS / many
    what = "CPU of a transfer, one of {:,}"
    return [
        Line(suite, what.format(few), cpu_ms[few], "ms", "the limit", 0.8, 1.0),
        Line(suite, what.format(many), cpu_ms[many], "ms", "the limit", 0.8, 1.0),
        Line(suite, what.format(many), cpu_ms[many], "ms", "DTS's own service (measured elsewhere)", _DTS_CPU_MS),
        Line(suite, what.format(many), cpu_ms[many], "ms", "making one small file, as its manifest is", file_ms),
        Line(suite, "of it in the kernel", system_ms, "ms", "all of it", cpu_ms[many]),
        Line(suite, what.format(many), cpu_ms[many], "ms", f"one of {few:,}", cpu_ms[few], 1.1),
    ]


def creation(bench: Bench) -> list[Line]:
    """Transfers that are created one by one, by one thread and by many."""
    count = max(bench.sizes.running // 10, 1)
    suite = f"{count:,} transfers of 3 files, created one by one, durable"
    arguments = {"count": count}
    slow = arguments | {"sync_s": _SLOW_SYNC_S}
    one, all_, one_slow, all_slow = bench.in_turn(
        {
            "one thread": ("orchestration.creations", {"threads": 1, **arguments}),
            f"{_THREADS} threads": ("orchestration.creations", {"threads": _THREADS, **arguments}),
            "one thread, slow disk": ("orchestration.creations", {"threads": 1, **slow}),
            f"{_THREADS} threads, slow disk": ("orchestration.creations", {"threads": _THREADS, **slow}),
        }
    )
    here, there = "time of a creation", f"time of a creation where a sync takes {_SLOW_SYNC_S * _MS:g} ms more"
    of_one, of_all = "one thread, a commit for each", f"{_THREADS} threads: "
    walls_ms = [median(runs, "wall_s") * _MS / count for runs in (one, all_, one_slow, all_slow)]
    return [
        Line(suite, of_all + here, walls_ms[1], "ms", of_one, walls_ms[0], 1 / 3),
        Line(suite, of_all + there, walls_ms[3], "ms", of_one, walls_ms[2], 1 / 3),
    ]


def statuses(bench: Bench) -> list[Line]:
    """``status()`` while transfers run."""
    running, count = bench.sizes.running, 2 * bench.sizes.running
    suite = f"status() while {running:,} transfers run"
    asked, raw = bench.in_turn(
        {
            suite: ("orchestration.statuses", {"running": running, "count": count}),
            "floor: selects": ("floors.selects", {"items": running, "count": count}),
        }
    )
    cpu_us, raw_us = (median(runs, "cpu_s") * _US / count for runs in (asked, raw))
    slow_ms, slow_cpu_ms = median(asked, "slow_s") * _MS, median(asked, "slow_cpu_s") * _MS
    return [
        Line(suite, "CPU of a call", cpu_us, "us", "a raw select by id", raw_us),
        Line(suite, "CPU of the slowest in 100", slow_cpu_ms, "ms", "the limit", 5.0, 1.0),
        Line(suite, "time of the slowest in 100", slow_ms, "ms", "its CPU", slow_cpu_ms),
    ]


def subscribers(bench: Bench) -> list[Line]:
    """What it costs that many hear of everything."""
    count = max(bench.sizes.transfers // 5, 1)
    suite = f"{count:,} transfers while 100 hear of everything"
    nobody, idle, some = bench.in_turn(
        {
            "nobody hears": ("orchestration.heard", {"count": count, "subscribers": 0, "reading": 0}),
            "100 hear, none reads": ("orchestration.heard", {"count": count, "subscribers": 100, "reading": 0}),
            "100 hear, 10 read": ("orchestration.heard", {"count": count, "subscribers": 100, "reading": 10}),
        }
    )
    base_s = median(nobody, "cpu_s")
    return [
        Line(suite, "CPU, if none of them reads", median(idle, "cpu_s"), "s", "with nobody", base_s, 1.05),
        Line(suite, "CPU, if 10 of them read", median(some, "cpu_s"), "s", "with nobody", base_s, 1.05),
    ]


def starts(bench: Bench) -> list[Line]:
    """How long Python needs for the package and the command, itself included."""
    suite = "starting"
    imported, helped = bench.in_turn(
        {
            "import dts_fsm": ("orchestration.starts", {"command": ["-c", "import dts_fsm"]}),
            "dts-fsm --help": ("orchestration.starts", {"command": ["-m", "dts_fsm.cli", "--help"]}),
        }
    )
    return [
        Line(suite, "import dts_fsm, CPU", median(imported, "cpu_s") * _MS, "ms", "the limit", 150.0, 1.0),
        Line(suite, "dts-fsm --help, CPU", median(helped, "cpu_s") * _MS, "ms", "the limit", 300.0, 1.0),
    ]

"""A scenario, carried out once for each point at which its process can be killed.

    python -m tests.crash.enumeration plain
    python -m tests.crash.enumeration staged --matching 'before COMMIT, 7$'

For each point a process lives in a fresh folder and is killed there, perhaps another is killed at some point of what it
does next, and a last one that nothing disturbs goes on to the end. Whatever then is not as it should be is printed.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import attrs
import click

from tests.crash.broken import DEFECTS
from tests.crash.forks import ended, fork, warm_up
from tests.crash.judge import Witness, findings, left
from tests.crash.points import Points, install, note_submissions
from tests.crash.site import LONGEST_S, SCENARIOS, Gate, Site

_AT_ONCE = 4
"""Most of their time these processes wait."""

_ATTEMPTS = 5
"""So often a point is tried to be reached: how often a provider is asked for news differs from run to run."""

Kill = str | int


@attrs.define
class Report:
    """What came of a scenario.

    Attributes:
        killed: the points at which a process was killed.
        killed_again: how often the next one was killed as well.
        findings: what was wrong, by point.
        left: unfinished files that were left for ever, by point.
    """

    killed: list[str] = attrs.Factory(list)
    killed_again: int = 0
    findings: dict[str, list[str]] = attrs.Factory(dict)
    left: dict[str, list[str]] = attrs.Factory(dict)


class Enumeration:
    """Carries out a scenario again and again.

    Args:
        folder: for the sites; those where something was wrong stay.
        defect: see ``tests.crash.broken``.
    """

    def __init__(self, scenario: str, folder: Path, defect: str = "") -> None:
        self._scenario, self._folder, self._defect = SCENARIOS[scenario], folder, defect
        self._num_sites = 0
        warm_up(Site(folder / "warm-up", self._scenario).config)

    def passed(self) -> list[str]:
        """Give the points that a process passes that nothing disturbs, in their order."""
        name, file = self._new_name(), self._folder / "passed"
        work = partial(self._count, self._folder / name, file)
        assert ended(fork(work, self._folder / f"{name}.log")) == 0, (self._folder / f"{name}.log").read_text()
        return list(json.loads(file.read_text()))

    def _count(self, folder: Path, file: Path) -> None:
        points = Points()
        site = Site(folder, self._scenario)
        self._live(site, points, gated=bool(site.scenario.acts))
        file.write_text(json.dumps(points.passed))

    def _live(self, site: Site, points: Points, *, gated: bool) -> None:
        DEFECTS[self._defect]()
        gate = Gate() if gated else None
        note_submissions(site.told)
        install(points)
        site.live(gate)

    def suffer(self, series: Iterable[Sequence[Kill]]) -> Report:
        """Give what came of it when processes were killed at the points of each of the series, one after the other."""
        waiting = [(kills, 1) for kills in series][::-1]
        under_way: dict[int, tuple[Sequence[Kill], int, Path]] = {}
        report = Report()
        while waiting or under_way:
            while waiting and len(under_way) < _AT_ONCE:
                kills, attempt = waiting.pop()
                folder = self._folder / self._new_name()
                process = fork(partial(self._carry_out, folder, kills), _beside(folder, "log"), longest_s=9 * LONGEST_S)
                under_way[process] = kills, attempt, folder
            process, status = os.wait()
            kills, attempt, folder = under_way.pop(process)
            reached, found, litter = _outcome(folder, status)
            name = ", then ".join(map(str, kills))
            report.findings.update({name: found} if found else {})
            report.left.update({name: litter} if litter else {})
            if not (found or litter):
                shutil.rmtree(folder)
            report.killed_again += all(reached[1:]) and len(reached) > 1
            if reached and reached[0]:
                report.killed.append(str(kills[0]))
            elif not found and attempt < _ATTEMPTS:
                waiting.append((kills, attempt + 1))
        return report

    def _carry_out(self, folder: Path, kills: Sequence[Kill]) -> None:
        site = Site(folder, self._scenario)
        witness, found, reached = Witness(site), list[str](), list[bool]()
        for number, kill in enumerate(kills):
            gated = number == 0 and bool(site.scenario.acts)
            status = ended(fork(partial(self._live, site, Points(kill), gated=gated), _beside(folder, "log")))
            reached.append(status == -signal.SIGKILL)
            found += witness.look()
            if status not in (0, -signal.SIGKILL):
                found.append(f"a process ended with {status}")
        found += last_life(site, witness)
        _beside(folder, "outcome").write_text(json.dumps([reached, found, list(left(site))]))

    def _new_name(self) -> str:
        self._num_sites += 1
        return f"site-{self._num_sites}"


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}.{suffix}")


def last_life(site: Site, witness: Witness) -> list[str]:
    """A process that nothing disturbs goes on to the end; gives what is wrong then."""
    judged, log = _beside(site.folder, "judged"), _beside(site.folder, "log")
    status = ended(fork(partial(_live_and_judge, site, judged), log))
    found = [f"the last process ended with {status}"] if status else list[str](json.loads(judged.read_text()))
    found += witness.look()
    return [*found, log.read_text()[-5000:]] if found else []


def _live_and_judge(site: Site, judged: Path) -> None:
    site.live()
    judged.write_text(json.dumps(list(findings(site))))


def _outcome(folder: Path, status: int) -> tuple[list[bool], list[str], list[str]]:
    if status != 0:
        return [], [f"it could not be carried out: {status}", _beside(folder, "log").read_text()], []
    reached, found, litter = json.loads(_beside(folder, "outcome").read_text())
    return reached, found, litter


@click.command()
@click.argument("scenario", type=click.Choice(list(SCENARIOS)))
@click.option("--stride", default=1, show_default=True, help="Take every n-th point only.")
@click.option("--offset", default=0, show_default=True, help="Leave out so many points at the beginning.")
@click.option("--twice", is_flag=True, help="Kill the next process, too, at some point.")
@click.option("--matching", default="", help="Take only points whose names have this regular expression.")
@click.option("--defect", default="", type=click.Choice(list(DEFECTS)), help="With a defect that should be found.")
@click.option("--keep", is_flag=True, help="Leave the folders of what was wrong.")
def main(scenario: str, stride: int, offset: int, twice: bool, matching: str, defect: str, keep: bool) -> None:
    """Kill the process of a scenario at each of its points, one after the other, and print what came of it."""
    memory = Path("/dev/shm")  # a kill does not show whether the disk was waited for
    folder = Path(tempfile.mkdtemp(prefix="dts-crash-", dir=memory if memory.is_dir() else None))
    try:
        enumeration = Enumeration(scenario, folder, defect)
        passed = enumeration.passed()
        points = [point for point in passed if re.search(matching, point)][offset::stride]
        seconds = [(random.Random(point).randint(1, len(passed)),) if twice else () for point in points]
        report = enumeration.suffer([(point, *second) for point, second in zip(points, seconds, strict=True)])
        click.echo(json.dumps({"passed": passed, "taken": points} | attrs.asdict(report), indent=1))
    finally:
        if not keep:
            shutil.rmtree(folder)
    sys.exit(bool(report.findings or report.left))


if __name__ == "__main__":
    main()

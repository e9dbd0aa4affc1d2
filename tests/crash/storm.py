"""A service that is killed at random times, again and again, until all that it was asked for has ended.

python -m tests.crash.storm --kills 300 --seed 1
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import click

from tests.crash.enumeration import last_life
from tests.crash.forks import ended, fork, warm_up
from tests.crash.judge import Witness, left
from tests.crash.site import Scenario, Site

_FILES_EACH = 40
_LARGE_BYTES = 8 << 20
_MOST_KILLS = 40
"""After so many in one installation its service is left in peace, and must come to an end."""

_LONGEST_LIFE_S = 0.4


def weather(seed: int) -> Scenario:
    """Give a scenario of several transfers with files of all sizes; one is canceled, and one suspended for a while."""
    chance = random.Random(seed)
    orders: dict[str, tuple[str, ...]] = {}
    sizes: dict[str, int] = {}
    for key in ("first", "staged", "canceled", "suspended", "last"):
        paths = [f"{key}/{chance.choice(['', 'inner/', 'inner/most/'])}{number}" for number in range(_FILES_EACH)]
        sizes.update({path: int(2 ** chance.uniform(0, 17)) - 1 for path in paths})
        sizes[paths[chance.randrange(_FILES_EACH)]] = chance.randrange(_LARGE_BYTES // 2, _LARGE_BYTES)
        orders[key] = tuple(paths)
    return Scenario(
        sizes=sizes,
        orders=orders,
        archived=frozenset(orders["staged"]),
        acts={"canceled": ("cancel",), "suspended": ("suspend", "resume")},
    )


def round_of(folder: Path, seed: int, kills_wanted: int) -> tuple[int, list[str], list[str]]:
    """One installation has been through its lives; gives the number of kills, what was wrong, and what was left."""
    chance = random.Random(seed)
    site = Site(folder, weather(seed))
    witness, log = Witness(site), folder.with_name(f"{folder.name}.log")
    kills, found = 0, list[str]()
    while kills < min(kills_wanted, _MOST_KILLS):
        process = fork(site.live, log)
        status = _lived(process, chance.uniform(0.0, _LONGEST_LIFE_S))
        found += witness.look()
        if status != -signal.SIGKILL:
            found += [f"a process ended with {status}: {log.read_text()[-5000:]}"] if status else []
            break
        kills += 1
    return kills, found + last_life(site, witness), list(left(site))


def _lived(process: int, time_s: float) -> int:
    """Kill the process after this time, unless it ends before; gives how it ended."""
    kill_at = time.monotonic() + time_s
    while time.monotonic() < kill_at:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    return ended(process)


@click.command()
@click.option("--kills", default=20, show_default=True, help="At least so many.")
@click.option("--seed", default=1, show_default=True, help="Of the first installation.")
def main(kills: int, seed: int) -> None:
    """Kill services at random times, so often, and print what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="dts-storm-"))
    try:
        warm_up(Site(folder / "warm-up", weather(0)).config)
        done, findings, litter = 0, dict[int, list[str]](), dict[int, list[str]]()
        while done < kills:
            killed, found, unfinished = round_of(folder / f"site-{seed}", seed, kills - done)
            findings.update({seed: found} if found else {})
            litter.update({seed: unfinished} if unfinished else {})
            shutil.rmtree(folder / f"site-{seed}")
            done, seed = done + killed, seed + 1
    finally:
        shutil.rmtree(folder)
    click.echo(json.dumps({"kills": done, "last_seed": seed - 1, "findings": findings, "left": litter}, indent=1))
    sys.exit(bool(findings or litter))


if __name__ == "__main__":
    main()

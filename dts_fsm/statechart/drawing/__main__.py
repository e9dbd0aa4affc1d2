"""Draws the package's charts.

python -m dts_fsm.statechart.drawing FOLDER            writes their pictures
python -m dts_fsm.statechart.drawing --check FOLDER    fails where they are not current
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.drawing.files import stale_diagrams, write_diagrams


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pictures, as the command line asks; give the exit status: 1 for stale ones, or for none."""
    parser = argparse.ArgumentParser(
        prog="python -m dts_fsm.statechart.drawing", description="Draw the statecharts of dts_fsm."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a picture is not current")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    if not options.check:
        try:
            write_diagrams(options.folder)
        except StatechartError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        return 0
    stale = stale_diagrams(options.folder)
    for name in stale:
        sys.stderr.write(f"{options.folder / name} is not current: run {parser.prog} {options.folder}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

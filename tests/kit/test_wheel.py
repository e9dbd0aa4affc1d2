"""The wheel has the whole test kit: with it and what its extra ``testing`` asks for the suites run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[2]
SUITES = ("test_fakes.py", "test_handler_suite.py", "test_stores.py")
"""Of the conformance tests: these need the package and pytest alone, and have all four suites."""

TESTS = """
from dts_fsm import testing


def test_the_wheel_has_all_that_is_public():
    assert testing.__file__.startswith({folder!r})
    assert [name for name in testing.__all__ if getattr(testing, name, None) is None] == []


def test_the_fixtures_of_the_plug_in_are_there(dts_rig):
    dts_rig.source.add("a", b"content of a")
    assert dts_rig.run(dts_rig.create("a")).code == "succeeded"
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def needed(requirements: Iterable[str], extra: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """Give what is installed here of these requirements, and of theirs, by name."""
    for text in requirements:
        one = Requirement(text)
        if (one.marker is None or one.marker.evaluate({"extra": extra})) and one.name not in found:
            found[one.name] = distribution(one.name)
            needed(found[one.name].requires or (), "", found)
    return found


def test_the_suites_run_from_a_wheel_with_what_its_extra_asks_for(tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir")
    build = ("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path, CHECKOUT)
    run(*pip, *build, cwd=tmp_path)
    (wheel,) = tmp_path.glob("dts_fsm-*.whl")
    home = tmp_path / "fresh"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", "--no-compile", wheel, cwd=tmp_path)
    (site,) = home.glob("lib/python*/site-packages")
    (installed,) = Distribution.discover(path=[str(site)])
    # nothing is fetched from anywhere: what is asked for is there, in the environment that runs this
    for one in needed(installed.requires or (), "testing", {}).values():
        for top in {file.parts[0] for file in one.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (site / top).symlink_to(Path(str(one.locate_file(top))).resolve())
    for name in SUITES:
        shutil.copy(CHECKOUT / "tests" / "conformance" / name, tmp_path)
    (tmp_path / "test_kit.py").write_text(TESTS.format(folder=str(site)), encoding="utf-8")
    options = ("-q", "-W", "error", "-p", "no:cacheprovider", "--dts-fsm-coverage=1")
    shown = run(python, "-m", "pytest", *options, *SUITES, "test_kit.py", cwd=tmp_path)
    assert "chart transfer" in shown
    assert " passed in " in shown

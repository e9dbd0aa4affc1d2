"""The command ``lint``, by hand and as a pre-commit hook."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from dts_fsm.cli.main import main
from dts_fsm.statechart import chart_text

CHECKOUT = Path(__file__).parents[2]
DOOR = """
[chart]
name = "door"
initial = "open"
description = "A door."

[states.open]
description = "Everybody can pass."
enter = "bell.ring"
deadline = "patience"

[states.gone]
description = "There is a hole in the wall."
final = true

[guards.loose]
description = "the hinges are loose"

[[transitions]]
event = "remove"
from = ["open"]
to = "gone"
guard = "loose"
description = "A carpenter takes it away."
"""
SLOW = DOOR.replace('deadline = "patience"\n', "")


def lint(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["lint", *map(str, arguments)], catch_exceptions=False)


def charts(folder: Path, *texts: str) -> list[Path]:
    files = [folder / f"{number}.toml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, encoding="utf-8")
    return files


def test_a_finding_is_shown_with_its_file_line_and_severity(tmp_path: Path) -> None:
    files = charts(tmp_path, SLOW, DOOR.replace('to = "gone"', 'to = "away"'), DOOR)
    result = lint(*files)
    assert result.stdout.splitlines() == [
        f"{files[0]}:7: warning: SC016 live state 'open' without a deadline: a machine may stay there for ever",
        f"{files[1]}:19: error: SC001 unknown state 'away': [[transitions]] number 1 ('remove' to 'away') leads there",
        f"{files[1]}:12: error: SC004 unreachable state 'gone': no way leads there from 'open'",
        f"{files[1]}:7: error: SC005 no way from state 'open' to a final state",
        "3 charts checked, 3 errors, 1 warning",
    ]


@pytest.mark.parametrize(("text", "plain", "strict"), [(DOOR, 0, 0), (SLOW, 0, 1), ("[chart]", 1, 1)])
def test_errors_tell_the_exit_status_and_warnings_where_it_is_strict(
    tmp_path: Path, text: str, plain: int, strict: int
) -> None:
    (file,) = charts(tmp_path, text)
    for how in ([], ["--json"]):
        assert (plain, strict) == (lint(file, *how).exit_code, lint(file, "--strict", *how).exit_code)


def test_findings_are_objects_in_json(tmp_path: Path) -> None:
    slow, broken = charts(tmp_path, SLOW, "[chart\n")
    assert json.loads(lint(slow, broken, "--json").stdout) == [
        {
            "code": "SC016",
            "severity": "warning",
            "message": "live state 'open' without a deadline: a machine may stay there for ever",
            "file": str(slow),
            "line": 7,
        },
        {
            "code": "SC000",
            "severity": "error",
            "message": "Expected ']' at the end of a table declaration (at line 1, column 7)",
            "file": str(broken),
            "line": 1,
        },
    ]


def test_a_chart_of_another_name_is_held_against_what_a_machine_needs_only_if_it_is_used_so(tmp_path: Path) -> None:
    (file,) = charts(tmp_path, DOOR)
    assert lint(file).exit_code == 0
    codes = re.findall("SC[0-9]+", lint(file, "--as", "transfer").stdout)
    assert codes == ["SC017", "SC017", "SC010", "SC018", "SC011"]
    offers = ("--offer", "bell.ring", "--offer", "loose")
    assert re.findall("SC[0-9]+", lint(file, "--as", "transfer", *offers).stdout) == ["SC017", "SC017", "SC018"]
    assert re.findall("SC[0-9]+", lint(file, "--as", "operation").stdout) == ["SC010", "SC018", "SC011"]


def test_a_transfer_that_cannot_be_canceled_is_an_error_whether_or_not_its_chart_says_so(tmp_path: Path) -> None:
    text = chart_text("transfer").replace('everywhere = ["cancel", "fail"]\n', "", 1)
    (file,) = charts(tmp_path, text.replace('"inactive", "finalizing"]', '"finalizing"]', 1))
    result = lint(file)
    assert "SC017 event 'cancel' is missing from the live state 'inactive'" in result.stdout
    assert result.stdout.endswith("1 chart checked, 1 error\n")


# As pre-commit runs it: https://pre-commit.com/#creating-new-hooks


def hook() -> dict[str, str]:
    (found,) = yaml.safe_load((CHECKOUT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_the_hook_runs_a_command_that_the_package_installs() -> None:
    command = shlex.split(hook()["entry"])[0]
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (hook()["language"], project["scripts"][command]) == ("python", "dts_fsm.cli.main:main")
    (script,) = entry_points(group="console_scripts", name=command)
    assert script.load() is main


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose commits real pre-commit checks with the hook, by the command of this installation."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "PRE_COMMIT"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\nname = somebody\nemail = somebody@example.org\n", encoding="utf-8")
    folder = tmp_path / "repository"
    for charts_of_it in ("statecharts", "lab/statecharts", "letters"):
        (folder / charts_of_it).mkdir(parents=True)
    # language: python would install the package from an index first
    local = {"repo": "local", "hooks": [{**hook(), "language": "system"}]}
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [local]}), encoding="utf-8")
    monkeypatch.chdir(folder)
    for command in ("git init -q", "pre-commit install"):
        subprocess.run(command.split(), check=True, capture_output=True)
    return folder


def commit() -> tuple[int, str]:
    """Commit everything: the exit status, and what was said."""
    subprocess.run(["git", "add", "-A"], check=True, capture_output=True)
    done = subprocess.run(["git", "commit", "-m", "Charts"], text=True, capture_output=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_hook_stops_a_commit_with_a_broken_chart_and_checks_no_other_files(repository: Path) -> None:
    (repository / "statecharts" / "door.toml").write_text(DOOR, encoding="utf-8")
    (repository / "statecharts" / "README.md").write_text("The chart of a door.", encoding="utf-8")
    (repository / "letters" / "broken.toml").write_text("[chart", encoding="utf-8")
    (repository / "lab" / "statecharts" / "slow.toml").write_text(SLOW, encoding="utf-8")
    status, said = commit()
    assert (status, re.findall(r"dts-fsm lint\.+(\w+)", said)) == (0, ["Passed"])
    broken = repository / "lab" / "statecharts" / "broken.toml"
    broken.write_text(DOOR.replace("gone", "away", 1), encoding="utf-8")
    status, said = commit()
    assert status == 1
    assert "lab/statecharts/broken.toml:19: error: SC001 unknown state 'gone'" in said
    assert "1 chart checked, 3 errors" in said
    broken.write_text(DOOR, encoding="utf-8")
    assert commit()[0] == 0


def test_a_command_is_imported_when_it_is_asked_for() -> None:
    program = (
        "import sys; from dts_fsm.cli.main import main\n"
        "main(['lint'], standalone_mode=False)\n"
        "print(*sorted(name for name in sys.modules if name in {f'dts_fsm.cli.{n}' for n in sys.argv[1:]}))"
    )
    modules = ("charts", "diagrams", "exchange", "report", "requests", "service", "stores", "transfer")
    done = subprocess.run([sys.executable, "-c", program, *modules], text=True, capture_output=True, check=True)
    assert done.stdout == "2 charts checked, nothing is wrong\ndts_fsm.cli.charts\n"


def test_every_command_is_found_by_its_own_name() -> None:
    assert list(main.commands) == [command.name for command in main.commands.values()]

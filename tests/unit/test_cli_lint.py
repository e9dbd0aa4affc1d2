"""The command ``lint``, by hand and as a pre-commit hook."""

from __future__ import annotations

import json
import re
import shlex
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


def test_the_hook_takes_the_files_of_charts_and_no_others() -> None:
    files = ["statecharts/transfer.toml", "lab/statecharts/door.toml", "pyproject.toml", "statecharts/README.md"]
    taken = [file for file in files if re.search(hook()["files"], file)]
    assert taken == ["statecharts/transfer.toml", "lab/statecharts/door.toml"]


def test_the_hook_passes_good_files_and_stops_a_commit_with_a_broken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good, slow, broken = (file.name for file in charts(tmp_path, DOOR, SLOW, DOOR.replace("gone", "away", 1)))
    arguments = shlex.split(hook()["entry"])[1:]
    outcomes = [CliRunner().invoke(main, [*arguments, *files]) for files in ([good], [good, slow], [good, broken])]
    assert [outcome.exit_code for outcome in outcomes] == [0, 0, 1]
    assert "2.toml:19: error: SC001 unknown state 'gone'" in outcomes[2].stdout

"""The command in this process: what its options mean, what its answers look like, and what its errors do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dts_fsm.cli.main import main
from dts_fsm.cli.transfer import NOBODY
from dts_fsm.orchestrator import Orchestrator
from dts_fsm.records import TransferRecord
from dts_fsm.serialization import structure
from dts_fsm.statechart import CHARTS, chart_text, load_chart
from dts_fsm.statechart.drawing import WRITERS, Picture

ORCID = "0000-0002-1825-0097"
UNKNOWN_ID = "11111111-1111-4111-8111-111111111111"
UUID_LENGTH = 36

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    env = {"XDG_STATE_HOME": str(tmp_path / "state"), "DTS_FSM_CONFIG": None, "DTS_FSM_DATA_DIR": None}

    def run(*arguments: object, variables: dict[str, str] | None = None, **options: Any) -> Result:
        result = CliRunner(env=env | {"DTS_FSM_ORCID": None} | (variables or {})).invoke(
            main, [str(argument) for argument in arguments], **options
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def done(run: Run, tmp_path: Path, genomes: Path) -> dict[str, Any]:
    """A transfer that succeeded, as the command tells it."""
    told: dict[str, Any] = json.loads(run("transfer", genomes / "plasmid", tmp_path / "dst", "--json").stdout)
    return told


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of one database, whose catalog lists the file "a"."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a").write_text("a")
    resources = [{"id": "a", "path": "a", "bytes": 1}]
    (tmp_path / "disk" / "datapackage.json").write_text(json.dumps({"resources": resources}))
    file = tmp_path / "dts.yaml"
    file.write_text(
        f"service: {{endpoint: disk, data_dir: data, manifest_dir: {tmp_path}/disk}}\n"
        f"endpoints: {{disk: {{provider: local, root: {tmp_path}/disk}}}}\n"
        "databases: {files: {endpoint: disk}}\n"
    )
    return file


class TestPlaces:
    def test_a_store_must_be_named(self, run: Run) -> None:
        result = run("list")
        assert (result.exit_code, "say where the store is" in result.stderr) == (2, True)

    @pytest.mark.parametrize("name", ["status", "history", "files", "explain", "watch"])
    def test_a_folder_without_a_store_is_an_error_and_stays_empty(self, run: Run, tmp_path: Path, name: str) -> None:
        (tmp_path / "empty").mkdir()
        result = run(name, UNKNOWN_ID, "--data-dir", tmp_path / "empty")
        assert (result.exit_code, result.stderr.count("\n"), list((tmp_path / "empty").iterdir())) == (1, 1, [])

    @pytest.mark.parametrize("name", ["status", "history", "files", "explain", "watch", "cancel"])
    def test_an_unknown_transfer_is_one_line(self, run: Run, done: dict[str, Any], name: str) -> None:
        for unknown in (UNKNOWN_ID, "nonsense\x1b[2J"):
            options = ["--orcid", ORCID] if name == "cancel" else []
            result = run(name, unknown, "--data-dir", done["state_dir"], *options)
            assert (result.exit_code, result.stderr.count("\n"), "\x1b" in result.stderr) == (1, 1, False)
            assert result.stderr.startswith("Error: there is no transfer ")

    def test_the_environment_names_a_store(self, run: Run, done: dict[str, Any]) -> None:
        result = run("status", done["id"], "--json", variables={"DTS_FSM_DATA_DIR": done["state_dir"]})
        assert json.loads(result.stdout)["code"] == "succeeded"

    def test_an_option_goes_before_the_environment(self, run: Run, done: dict[str, Any], config: Path) -> None:
        run("create", "--config", config, "--source", "files", "--destination", "files", "a", "--orcid", ORCID)
        listed = run("list", "--json", "--config", config, variables={"DTS_FSM_DATA_DIR": done["state_dir"]})
        assert [record["specification"]["source"] for record in json.loads(listed.stdout)] == ["files"]
        listed = run("list", "--json", "--data-dir", done["state_dir"], variables={"DTS_FSM_CONFIG": str(config)})
        assert [record["id"] for record in json.loads(listed.stdout)] == [done["id"]]

    def test_what_is_no_regular_file_is_refused_before_it_is_opened(
        self, run: Run, tmp_path: Path, config: Path
    ) -> None:
        (tmp_path / "data").mkdir()
        os.mkfifo(tmp_path / "data" / "dts.db")
        place = ("--data-dir", tmp_path / "data")
        for arguments in (
            *(("list", *place), ("store", "check", *place), ("store", "vacuum", *place)),
            *(("store", "backup", tmp_path / "copy", *place), ("create", "--config", config), ("run", config)),
        ):
            result = run(*arguments)
            assert (result.exit_code, "is not a regular file" in result.stderr) == (1, True)

    @pytest.mark.parametrize(
        "arguments",
        [
            *(("transfer", "", "dst"), ("transfer", ".", ""), ("transfer", ".", "../dst", "--data-dir", "")),
            *(("list", "--data-dir", ""), ("list", "--config", ""), ("catalog", ""), ("lint", ""), ("run", "")),
            *(("store", "backup", ""), ("diagram", "--output", "")),
            *(("status", ""), ("watch", ""), ("list", "--after", ""), ("diagram", "--transfer", "")),
        ],
    )
    def test_an_empty_path_or_id_is_wrong_usage(self, run: Run, arguments: tuple[str, ...]) -> None:
        result = run(*arguments)
        assert (result.exit_code, "must not be empty" in result.stderr) == (2, True)

    @pytest.mark.parametrize(
        "arguments",
        [
            *(("list", "--limit", 2**63), ("journal", "--limit", 2**63), ("watch", "--after", 2**63)),
            *(("list", "--user", "\udcff"), ("list", "--source", "\udcff"), ("status", "\udcff")),
        ],
    )
    def test_what_no_store_can_have_is_wrong_usage(
        self, run: Run, done: dict[str, Any], arguments: tuple[object, ...]
    ) -> None:
        result = run(*arguments, "--data-dir", done["state_dir"])
        assert (result.exit_code, "Error: Invalid value for " in result.stderr) == (2, True)

    def test_the_largest_numbers_are_taken(self, run: Run, done: dict[str, Any]) -> None:
        for name in ("list", "journal"):
            answer = run(name, "--limit", 2**63 - 1, "--json", "--data-dir", done["state_dir"])
            assert [record["id"] for record in json.loads(answer.stdout)] == [done["id"]]
        watched = run("watch", done["id"], "--after", 2**63 - 1, "--data-dir", done["state_dir"])
        assert (watched.exit_code, watched.stdout) == (0, "")

    def test_a_lack_of_memory_is_one_line(
        self, run: Run, done: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lacking(*_: object, **__: object) -> None:
            raise MemoryError

        monkeypatch.setattr(Orchestrator, "transfers", lacking)
        result = run("list", "--data-dir", done["state_dir"])
        assert (result.exit_code, result.stderr) == (1, "Error: there is not enough memory for this\n")


class TestAnswers:
    def test_json_reads_back_as_the_record(self, run: Run, done: dict[str, Any]) -> None:
        (listed,) = json.loads(run("list", "--json", "--data-dir", done["state_dir"]).stdout)
        record = structure(listed, TransferRecord)
        assert (str(record.id), record.specification.user.orcid) == (done["id"], NOBODY)

    @pytest.mark.parametrize("name", ["list", "journal"])
    def test_ids_are_whole_at_eighty_columns(self, run: Run, done: dict[str, Any], name: str) -> None:
        shown = run(name, "--data-dir", done["state_dir"], variables={"COLUMNS": "80"}).stdout
        assert done["id"] in shown
        assert max(map(len, shown.splitlines())) <= 80

    @pytest.mark.parametrize("name", ["list", "journal", "status", "history", "explain"])
    def test_ids_and_states_are_whole_where_columns_are_few(self, run: Run, done: dict[str, Any], name: str) -> None:
        of, of_all = ([], [done["id"]]) if name in ("list", "journal") else ([done["id"]], [])
        shown = run(name, *of, "--data-dir", done["state_dir"], variables={"COLUMNS": "40"}).stdout
        words = ["succeeded", *of_all, *(of if name != "history" else [])]
        assert [word for word in words if re.search(rf"\b{word}\b", shown) is None] == []

    @pytest.mark.parametrize("name", ["status", "history", "files", "explain", "watch"])
    def test_every_answer_has_a_form_for_people_and_one_for_programs(
        self, run: Run, done: dict[str, Any], name: str
    ) -> None:
        people = run(name, done["id"], "--data-dir", done["state_dir"])
        programs = run(name, done["id"], "--data-dir", done["state_dir"], "--json")
        assert (people.exit_code, programs.exit_code, "succeeded" in people.stdout or name == "files") == (0, 0, True)
        assert [json.loads(line) for line in programs.stdout.splitlines()] != []
        assert [line for line in people.stdout.splitlines() if line != line.rstrip()] == []

    def test_times_of_the_journal_without_a_zone_are_utc(self, run: Run, done: dict[str, Any]) -> None:
        for bound, found in (("2000-01-01", 1), ("2999-01-01T00:00:00", 0), ("2000-01-01T00:00:00+14:00", 1)):
            result = run("journal", "--since", bound, "--json", "--data-dir", done["state_dir"])
            assert len(json.loads(result.stdout)) == found
        result = run("journal", "--since", "yesterday", "--data-dir", done["state_dir"])
        assert (result.exit_code, "is no time" in result.stderr) == (2, True)

    def test_files_can_be_chosen_by_state(self, run: Run, done: dict[str, Any]) -> None:
        chosen = [
            len(
                json.loads(run("files", done["id"], "--state", state, "--json", "--data-dir", done["state_dir"]).stdout)
            )
            for state in ("transferred", "failed")
        ]
        assert chosen == [4, 0]


class TestRequests:
    def create(self, run: Run, config: Path, *arguments: object, **options: Any) -> Result:
        return run("create", "--config", config, "--dry-run", "--json", *arguments, **options)

    def test_options_go_before_the_document(self, run: Run, config: Path) -> None:
        document = {
            "source": "nowhere",
            "destination": "files",
            "file_ids": ["b"],
            "user": {"name": "Grace", "orcid": ORCID},
            "instructions": [],
        }
        result = self.create(
            run, config, "--from", "-", "--source", "files", "--name", "Ada", "a", input=json.dumps(document)
        )
        asked = json.loads(result.stdout)["specification"]
        assert asked == document | {
            "source": "files",
            "file_ids": ["a"],
            "description": "",
            "user": {"name": "Ada", "orcid": ORCID, "email": "", "organization": ""},
        }

    @pytest.mark.parametrize(
        ("document", "status", "message"),
        [
            ('{"user": {"orcid": "1"}, "source": "a", "source": "b"}', 1, "has the key 'source' more than once"),
            (
                f'{{"source": "files", "destination": "files", "user": {{"orcid": "{ORCID}"}}, "file_ids": "a"}}',
                1,
                "file_ids of a specification must be a JSON array, not str",
            ),
            ("[]", 1, "a specification must be a JSON object"),
            ("{", 1, "not JSON"),
            ('{"user": 3}', 1, "the user of a specification must be a JSON object"),
            ('{"user": {"orcid": "0000-0002-1825-0097"}}', 2, "give --source"),
            ("{}", 2, "say who asks"),
            (
                '{"source": "files", "destination": "files", "user": {"orcid": "0000-0002-1825-0097"}, "speed": 9}',
                1,
                "speed",
            ),
            ('{"source": "files", "destination": "files", "user": {"orcid": "0000-0002-1825-0097"}}', 1, "no files"),
        ],
    )
    def test_a_wrong_document_is_one_line(
        self, run: Run, config: Path, document: str, status: int, message: str
    ) -> None:
        result = self.create(run, config, "--from", "-", input=document)
        assert (result.exit_code, message in result.stderr, result.stdout) == (status, True, "")

    def test_a_document_that_is_not_utf8_is_an_error(self, run: Run, config: Path, tmp_path: Path) -> None:
        (tmp_path / "document").write_bytes(b'{"source": "\xff"}')
        result = self.create(run, config, "--from", tmp_path / "document")
        assert (result.exit_code, "is not UTF-8 text" in result.stderr) == (1, True)

    def test_the_same_key_gives_the_same_transfer(self, run: Run, config: Path) -> None:
        asked = ("--config", config, "--source", "files", "--destination", "files", "a", "--idempotency-key", "k")
        ids = [run("create", *asked, variables={"DTS_FSM_ORCID": ORCID}).stdout for _ in range(2)]
        assert (ids[0] == ids[1], len(ids[0].strip())) == (True, UUID_LENGTH)

    def test_only_whoever_asked_may_act_on_a_transfer(self, run: Run, config: Path) -> None:
        asked = ("--config", config, "--source", "files", "--destination", "files", "a")
        transfer_id = run("create", *asked, "--orcid", ORCID).stdout.strip()
        for name in ("cancel", "suspend", "resume"):
            assert run(name, transfer_id, "--config", config, "--orcid", NOBODY).exit_code == 1
            result = run(name, transfer_id, "--config", config, "--orcid", ORCID)
            assert (result.exit_code, "no service runs on this store" in result.stderr) == (0, True)
        assert run("cancel", transfer_id, "--config", config).exit_code == 2


class TestCatalog:
    def test_a_second_run_reads_only_what_has_changed(self, run: Run, tmp_path: Path) -> None:
        for name in ("a", "b", "c"):
            (tmp_path / name).write_text(name)
        first = json.loads(run("catalog", tmp_path, "--json").stdout)
        (tmp_path / "b").write_text("bb")
        (tmp_path / "c").unlink()
        second = json.loads(run("catalog", tmp_path, "--json").stdout)
        assert [(told["num_resources"], told["num_hashed"], told["gone"]) for told in (first, second)] == [
            (3, 3, []),
            (2, 1, ["c"]),
        ]

    def test_what_is_left_out_is_listed_with_the_reason(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("a")
        (tmp_path / "bell\a").write_text("")
        result = run("catalog", tmp_path)
        assert (result.exit_code, "\a" in result.output) == (4, False)
        assert re.search(r"^link +it is a symbolic link", result.stderr, re.MULTILINE)
        assert re.search(r"^bell\\x07 +the path .* control characters", result.stderr, re.MULTILINE)

    def test_files_that_are_missed_are_named_even_quietly_and_have_an_exit_status(
        self, run: Run, tmp_path: Path
    ) -> None:
        (tmp_path / "good").write_text("")
        (tmp_path / "link").symlink_to("good")
        assert (run("catalog", "-q", tmp_path).exit_code, run("catalog", "-q", tmp_path).output) == (0, "")
        (tmp_path / "bell\a").write_text("")
        result = run("catalog", "-q", tmp_path)
        assert (result.exit_code, result.stdout, "link" in result.stderr) == (4, "", False)
        assert re.search(r"^bell\\x07 +the path", result.stderr, re.MULTILINE)
        told = json.loads(run("catalog", "--json", tmp_path).stdout)["skipped"]
        assert [(item["path"], item["missed"]) for item in told] == [("bell\\x07", True), ("link", False)]


class TestCharts:
    @pytest.mark.parametrize("name", CHARTS)
    @pytest.mark.parametrize("theme", ["auto", "light", "dark"])
    @pytest.mark.parametrize("form", list(WRITERS))
    def test_each_chart_is_drawn_in_each_form_and_theme(self, run: Run, name: str, form: str, theme: str) -> None:
        expected = WRITERS[form](Picture.of(load_chart(name)), theme=theme)
        assert run("diagram", name, "--format", form, "--theme", theme).stdout == expected

    def test_a_transfer_and_its_operations_are_marked(self, run: Run, done: dict[str, Any], tmp_path: Path) -> None:
        place = ("--transfer", done["id"], "--data-dir", done["state_dir"])
        assert "class unknown,active,finalizing walked" in run("diagram", *place).stdout
        told = json.loads(run("explain", done["id"], "--json", "--data-dir", done["state_dir"]).stdout)
        file = tmp_path / "operation.mmd"
        run("diagram", *place, "--operation", told["operations"][1]["id"], "--output", file)
        assert "class pending,submitting,running walked" in file.read_text()

    def test_an_unknown_operation_is_an_error(self, run: Run, done: dict[str, Any]) -> None:
        for unknown in (UNKNOWN_ID, "nonsense"):
            place = ("--transfer", done["id"], "--data-dir", done["state_dir"], "--operation", unknown)
            assert run("diagram", *place).exit_code == 1

    @pytest.mark.parametrize("options", [["--operation", UNKNOWN_ID], ["--transfer", UNKNOWN_ID]])
    def test_a_picture_without_what_it_is_of_is_wrong_usage(self, run: Run, options: list[str]) -> None:
        assert run("diagram", *options).exit_code == 2

    def test_our_own_charts_have_no_findings(self, run: Run) -> None:
        result = run("lint")
        assert (result.exit_code, result.stdout) == (0, "2 charts checked, nothing is wrong\n")

    @pytest.mark.parametrize(
        ("old", "new", "finding"),
        [
            ('enter = "mover.begin"', 'enter = "mover.go"', "SC010 callback 'mover.go'"),
            ('deadline = "active_deadline"', 'deadline = "lunch_deadline"', "SC018 deadline 'lunch_deadline'"),
            ('initial = "unknown"', 'initial = "nowhere"', "SC001 unknown state 'nowhere'"),
            ("[chart]", "[chart", "broken.toml"),
        ],
    )
    def test_findings_are_listed_and_tell_the_exit_status(
        self, run: Run, tmp_path: Path, old: str, new: str, finding: str
    ) -> None:
        file = tmp_path / "broken.toml"
        file.write_text(chart_text("transfer").replace(old, new, 1))
        result = run("lint", file)
        assert (result.exit_code, finding in result.stdout) == (1, True)
        assert json.loads(run("lint", file, "--json").stdout) != []

    def test_a_missing_chart_is_a_finding(self, run: Run, tmp_path: Path) -> None:
        result = run("lint", tmp_path / "none.toml")
        assert (result.exit_code, "it cannot be read: No such file" in result.stdout) == (1, True)


class TestHelp:
    @pytest.mark.parametrize("name", sorted(main.commands))
    def test_every_command_explains_itself(self, run: Run, name: str) -> None:
        result = run(name, "--help")
        assert (result.exit_code, result.stdout.startswith(f"Usage: main {name}")) == (0, True)

    def test_the_list_of_commands_says_of_each_what_it_says_of_itself(self, run: Run) -> None:
        listed = " ".join(run("--help").stdout.partition("Commands:")[2].split())
        said = [f"{name} {command.get_short_help_str(limit=1000)}" for name, command in main.commands.items()]
        assert listed == " ".join(" ".join(said).split())

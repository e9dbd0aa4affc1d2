"""``dts-fsm run`` as a service, and the other commands beside it, each a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dts_fsm.databases.scan import update_catalog
from dts_fsm.store import SqliteStore
from tests.acceptance.conftest import Command, until

ADA, GRACE = "0000-0002-1825-0097", "0000-0001-5109-3700"


class Site:
    """An installation: a source whose files come from an archive, and a destination.

    Attributes:
        delay_s: how long the archive takes, from the next start of a service on.
    """

    def __init__(self, folder: Path, command: Command, genomes: Path) -> None:
        self.folder, self.command = folder, command
        for name in ("disk", "archive", "delivered"):
            (folder / name).mkdir()
        for file in genomes.glob("plasmid/*"):
            (folder / "archive" / file.name).write_bytes(file.read_bytes())
        update_catalog(folder / "archive")
        (folder / "archive" / "datapackage.json").rename(folder / "disk" / "datapackage.json")
        self.config = folder / "dts.yaml"
        self.delay_s = 0.0

    def write(self) -> None:
        self.config.write_text(
            f"""
service: {{endpoint: outbox, data_dir: state, manifest_dir: state, poll_interval: 100, retry_delay: 0.1}}
endpoints:
  disk: {{provider: local, root: {self.folder}/disk}}
  delivered: {{provider: local, root: {self.folder}/delivered}}
  outbox: {{provider: local, root: {self.folder}}}
databases:
  genomes: {{endpoint: disk, archive: {self.folder}/archive, staging_delay: {self.delay_s}}}
  lab: {{endpoint: delivered}}
"""
        )

    def serve(self) -> tuple[subprocess.Popen[str], str]:
        """Start a service, and give it with its line of readiness."""
        self.write()
        log = (self.folder / f"log-{len(list(self.folder.glob('log-*')))}").open("w")
        with log:
            env = self.command.env | {"PYTHONFAULTHANDLER": "1"}
            process = self.command.start("run", self.config, stderr=log, env=env)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready: 2 databases, store "), (self.folder / log.name).read_text()
        return process, line

    def stops(self, service: subprocess.Popen[str]) -> None:
        """Wait until the service has ended, and in order; where it hangs, its log says in what."""
        try:
            assert service.wait(60) == 0
        except subprocess.TimeoutExpired:
            service.send_signal(signal.SIGABRT)
            service.wait(30)
            pytest.fail("\n".join(log.read_text() for log in sorted(self.folder.glob("log-*"))))

    def ask(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        env = self.command.env | {"DTS_FSM_CONFIG": str(self.config), "DTS_FSM_ORCID": ADA}
        return self.command.run(*arguments, env=env, **options)

    def told(self, *arguments: object, **options: Any) -> Any:
        """Give the JSON that a command writes; it must succeed."""
        done = self.ask(*arguments, "--json", **options)
        assert (done.returncode, done.stderr if done.returncode else "") == (0, "")
        return json.loads(done.stdout)

    def create(self, *arguments: object) -> str:
        return str(self.told("create", "--source", "genomes", "--destination", "lab", *arguments)["id"])

    def becomes(self, transfer_id: str, code: str) -> None:
        """Wait until the transfer has the status; asked here, since a command for every look would take its time."""
        with closing(SqliteStore(self.folder / "state" / "dts.db", create=False)) as store:
            until(lambda: store.status(UUID(transfer_id)).code == code, f"{transfer_id} is {code}")


@pytest.fixture
def site(tmp_path: Path, command: Command, genomes: Path) -> Site:
    site = Site(tmp_path, command, genomes)
    site.write()
    return site


class TestService:
    def test_what_another_process_creates_is_carried_out_and_can_be_asked_about(self, site: Site) -> None:
        service, _ = site.serve()
        specification = {
            "source": "genomes",
            "destination": "lab",
            "file_ids": ["NC_005816.gb"],
            "user": {"name": "Ada", "orcid": ADA},
            "instructions": {"objects": []},
        }
        done = site.ask("create", "--from", "-", "--wait", "--json", input=json.dumps(specification))
        assert done.returncode == 0
        ended = json.loads(done.stdout)
        folder = site.folder / "delivered" / ADA / f"dts-{ended['id']}"
        assert (folder / "NC_005816.gb").stat().st_size == 31838
        assert json.loads((folder / "manifest.json").read_text())["instructions"] == {"objects": []}
        listed, journal, files, history, explanation, watched, drawn = self.asked_at_once(
            site,
            ("list", "--state", "succeeded", "--user", ADA, "--json"),
            ("journal", "--since", "2000-01-01", "--json"),
            *((name, ended["id"], "--json") for name in ("files", "history", "explain", "watch")),
            ("diagram", "--transfer", ended["id"]),
        )
        assert [record["id"] for record in json.loads(listed)] == [ended["id"]]
        assert [record["id"] for record in json.loads(journal)] == [ended["id"]]
        assert [file["state"] for file in json.loads(files)] == ["transferred"]
        steps = [record["target"] for record in json.loads(history) if record["machine"] == "transfer"]
        assert steps == ["unknown", "staging", "active", "finalizing", "succeeded"]
        assert json.loads(explanation)["events"] == []
        assert [json.loads(line)["status"]["code"] for line in watched.splitlines()] == steps
        assert "class succeeded current" in drawn
        service.send_signal(signal.SIGINT)
        site.stops(service)

    def asked_at_once(self, site: Site, *questions: tuple[str, ...]) -> list[str]:
        """Give what the commands write, all of them run at the same time."""
        started = [site.command.start(*question, "--data-dir", site.folder / "state") for question in questions]
        answers = [process.communicate(timeout=30)[0] for process in started]
        assert [process.returncode for process in started] == [0] * len(started)
        return answers

    def test_a_transfer_is_suspended_resumed_and_canceled_by_its_user_only(self, site: Site) -> None:
        site.delay_s = 600
        site.serve()
        transfer_id = site.create("NC_005816.gb")
        site.becomes(transfer_id, "staging")
        refused = site.ask("cancel", transfer_id, "--orcid", GRACE)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert refused.stderr.startswith("Error: only the user who asked for the transfer")
        assert site.ask("suspend", transfer_id).returncode == 0
        site.becomes(transfer_id, "inactive")
        assert site.ask("resume", transfer_id).returncode == 0
        site.becomes(transfer_id, "staging")
        watcher = site.command.start("watch", transfer_id, "--data-dir", site.folder / "state")
        assert watcher.stdout is not None
        assert "created" in watcher.stdout.readline()
        assert site.ask("cancel", transfer_id).returncode == 0
        rest, _ = watcher.communicate(timeout=30)
        assert (watcher.returncode, "staging -> failed" in rest) == (3, True)
        assert site.told("status", transfer_id)["reason"] == "canceled"
        assert site.told("journal")[0]["status"] == "canceled"
        again = site.ask("cancel", transfer_id)
        assert (again.returncode, "has ended already" in again.stderr) == (0, True)

    def test_a_stop_is_clean_and_unfinished_transfers_go_on_at_the_next_start(self, site: Site) -> None:
        site.delay_s = 600
        service, _ = site.serve()
        transfer_id = site.create("NC_005816.gb")
        site.becomes(transfer_id, "staging")
        service.send_signal(signal.SIGTERM)
        site.stops(service)
        log = (site.folder / "log-0").read_text().splitlines()
        assert [line.split(" ", 1)[1] for line in log[-2:]] == ["INFO stopping action=stop", "INFO stopped action=stop"]
        site.delay_s = 0
        site.serve()
        site.becomes(transfer_id, "succeeded")

    def test_a_second_service_stands_by_and_takes_over_from_a_killed_one(self, site: Site) -> None:
        site.delay_s = 0.3
        first, line = site.serve()
        assert "standby" not in line
        second, line = site.serve()
        assert "; standby: another process carries out the transfers now" in line
        transfer_id = site.create("NC_005816.gb")
        first.kill()
        site.becomes(transfer_id, "succeeded")
        second.send_signal(signal.SIGTERM)
        site.stops(second)
        assert "leading action=lead" in (site.folder / "log-1").read_text()

    def test_a_failed_transfer_is_retried_with_what_did_not_arrive(self, site: Site) -> None:
        site.serve()
        away = site.folder / "away"
        (site.folder / "archive" / "NC_005816.gb").rename(away)
        done = site.ask("create", "--source", "genomes", "--destination", "lab", "NC_005816.gb", "--wait")
        assert (done.returncode, "failed" in done.stderr, "NC_005816.gb" in done.stderr) == (1, True, True)
        failed = done.stdout.split()[0]
        away.rename(site.folder / "archive" / "NC_005816.gb")
        retried = site.told("retry", failed, "--wait")
        assert retried["code"] == "succeeded"
        refused = site.ask("retry", failed)
        assert (refused.returncode, "has been retried already" in refused.stderr) == (1, True)

    def test_the_store_is_backed_up_beside_the_service_and_vacuumed_without_it(self, site: Site) -> None:
        service, _ = site.serve()
        copy = site.folder / "copy.db"
        assert site.ask("store", "backup", copy).returncode == 0
        assert oct(copy.stat().st_mode & 0o777) == "0o600"
        assert site.ask("store", "backup", copy).returncode == 1
        assert site.told("store", "check") == []
        refused = site.ask("store", "vacuum")
        assert (refused.returncode, "stop it first" in refused.stderr) == (1, True)
        service.send_signal(signal.SIGTERM)
        site.stops(service)
        assert site.ask("store", "vacuum").returncode == 0


class TestWithoutService:
    def test_a_transfer_waits_for_a_service_and_the_command_says_so(self, site: Site) -> None:
        done = site.ask("create", "--source", "genomes", "--destination", "lab", "NC_005816.gb")
        assert (done.returncode, "no service runs" in done.stderr) == (0, True)
        transfer_id = done.stdout.strip()
        assert site.told("status", transfer_id)["code"] == "unknown"
        site.serve()
        site.becomes(transfer_id, "succeeded")

    def test_a_dry_run_shows_what_would_be_moved_and_stores_nothing(self, site: Site) -> None:
        ids = site.folder / "ids.txt"
        ids.write_text("NC_005816.gb\n\nNC_005816.fna\n")
        common = ("create", "--source", "genomes", "--destination", "lab", "--ids-from", ids, "--dry-run")
        assert "2 files, 41.7 kB" in site.ask(*common).stdout
        assert (site.told(*common)["num_files"], site.told("list")) == (2, [])

    def test_a_wrong_configuration_names_file_line_and_key(self, command: Command, tmp_path: Path) -> None:
        config = tmp_path / "dts.yaml"
        config.write_text(
            "service:\n  endpoint: a\n  prot: 1\nendpoints: {a: {provider: local}}\ndatabases: {a: {endpoint: a}}\n"
        )
        done = command.run("run", config)
        assert done.returncode == 1
        assert done.stderr.startswith(f"Error: {config}:3: service.prot: ")

"""``dts-fsm database``: whether an organization's service does what it should."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import click

from dts_fsm.cli.arguments import TEXT, FilePath
from dts_fsm.cli.options import json_option, orcid_option
from dts_fsm.cli.shown import console, emit_json, printable, show_table
from dts_fsm.config import Config, DatabaseConfig, Secret
from dts_fsm.databases.http.conformance import Probe, Verdict, examined
from dts_fsm.databases.http.database import dialect_and_client
from dts_fsm.errors import DatabaseNotFoundError

_TOKEN_VARIABLE = "DTS_FSM_DATABASE_TOKEN"  # noqa: S105 - a name
_COLORS = {Verdict.PASSED: "green", Verdict.FAILED: "red", Verdict.NOT_CHECKED: "yellow"}


@click.group(short_help="Try a database's service.")
def database() -> None:
    """Try a database's service."""


@database.command()
@click.argument("service", type=TEXT)
@click.option(
    "--config",
    "config_file",
    type=FilePath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A configuration file: SERVICE is then the name of one of its databases.",
)
@orcid_option
@click.option("--stage", is_flag=True, help="Have a file staged, too.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), default=60.0, help="How long that may take, in s."
)
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    service: str,
    config_file: Path | None,
    orcid: str | None,
    stage: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Check whether the web service at the URL SERVICE does what DTS's integration guide says.

    Nothing is changed there without --stage. The token that the service wants is taken from the environment variable
    DTS_FSM_DATABASE_TOKEN; paths, fields and words of its own from a configuration file.

    Exit status: 0 where no check fails, else 1.
    """
    dialect, client = dialect_and_client(_described(service, config_file), retries=0)
    findings = examined(Probe(client=client, dialect=dialect, orcid=orcid or "", stage=stage, timeout_s=timeout_s))
    client.close()
    if as_json:
        emit_json(findings)
    else:
        rows = [(finding.verdict.value, finding.name, finding.reason or finding.says) for finding in findings]
        show_table(console(), ("result", "check", "what the guide says, or what is wrong"), rows)
        counts = Counter(finding.verdict for finding in findings)
        click.echo(printable(", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)))
    ctx.exit(1 if any(finding.verdict is Verdict.FAILED for finding in findings) else 0)


def _described(service: str, config_file: Path | None) -> DatabaseConfig:
    if config_file is None:
        token = os.environ.get(_TOKEN_VARIABLE)
        return DatabaseConfig(
            key="service",
            endpoints={"": "endpoint"},
            secret=Secret(token) if token else None,
            options={"url": service},
        )
    config = Config.load(config_file)
    if service not in config.databases:
        raise DatabaseNotFoundError(service, config.databases)
    return config.databases[service]

"""The schema of the store, as migrations of sqlite-utils.

Times are seconds since 1970 UTC, sizes are bytes, ids of transfers and operations are UUIDs as text; the integer keys
are the store's own, for hot updates. An operation or transfer with ``due_at`` is looked at by the scheduler from that
time on.
"""

from __future__ import annotations

import sqlite3

import sqlite_utils
from sqlite_utils import Migrations

from dts_fsm.errors import StoreForeignError

APPLICATION_ID = 0x44545346
"""What ``PRAGMA application_id`` of a store says: "DTSF"."""

migrations = Migrations("dts_fsm")

_FIRST = """
-- AUTOINCREMENT: a row id that was forgotten is never given again, so what is remembered by it stays true.
CREATE TABLE transfers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL,
  version INTEGER NOT NULL,
  chart TEXT NOT NULL,
  due_at REAL,
  deadline_at REAL,
  updated_at REAL NOT NULL,
  completed_at REAL,
  suspended_from TEXT NOT NULL DEFAULT '',
  wanted TEXT NOT NULL DEFAULT '',
  reason TEXT,
  message TEXT NOT NULL DEFAULT '',
  num_unstaged INTEGER NOT NULL DEFAULT 0,
  files_transferred INTEGER NOT NULL DEFAULT 0,
  files_skipped INTEGER NOT NULL DEFAULT 0,
  bytes_transferred INTEGER NOT NULL DEFAULT 0,
  num_files INTEGER NOT NULL,
  num_bytes INTEGER NOT NULL,
  created_at REAL NOT NULL,
  source TEXT NOT NULL,
  destination TEXT NOT NULL,
  orcid TEXT NOT NULL,
  idempotency_key TEXT UNIQUE,
  retry_of TEXT,
  retried_by TEXT
) STRICT;
CREATE INDEX transfers_due ON transfers (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX transfers_state ON transfers (state);
CREATE INDEX transfers_orcid ON transfers (orcid);
CREATE INDEX transfers_source ON transfers (source);
CREATE INDEX transfers_completed ON transfers (completed_at) WHERE completed_at IS NOT NULL;

-- What never changes of a transfer, apart from its hot row: rewriting a row rewrites all of it.
CREATE TABLE specifications (
  transfer INTEGER PRIMARY KEY REFERENCES transfers (id),
  record TEXT NOT NULL
) STRICT;

CREATE TABLE operations (
  id INTEGER PRIMARY KEY,
  uuid TEXT NOT NULL UNIQUE,
  transfer INTEGER NOT NULL REFERENCES transfers (id),
  handler TEXT NOT NULL,
  kind TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  phase TEXT NOT NULL,
  began_at REAL NOT NULL,
  state TEXT NOT NULL,
  version INTEGER NOT NULL,
  chart TEXT NOT NULL,
  due_at REAL,
  changed_at REAL NOT NULL,
  progressed_at REAL NOT NULL,
  submitted INTEGER NOT NULL DEFAULT 0,
  generation INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  losses INTEGER NOT NULL DEFAULT 0,
  handle TEXT,
  message TEXT NOT NULL DEFAULT '',
  reason TEXT,
  files_transferred INTEGER NOT NULL DEFAULT 0,
  files_skipped INTEGER NOT NULL DEFAULT 0,
  bytes_transferred INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX operations_due ON operations (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX operations_transfer ON operations (transfer);

CREATE TABLE files (
  transfer INTEGER NOT NULL REFERENCES transfers (id),
  file_id TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  state TEXT NOT NULL,
  observed_bytes INTEGER,
  observed_hash TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  descriptor TEXT NOT NULL,
  PRIMARY KEY (transfer, file_id)
) STRICT, WITHOUT ROWID;

-- Every transition of every machine. AUTOINCREMENT: a number is never given twice, so it can be replayed from.
CREATE TABLE history (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  transfer INTEGER NOT NULL REFERENCES transfers (id),
  operation INTEGER REFERENCES operations (id),
  event TEXT NOT NULL,
  source TEXT NOT NULL,
  target TEXT NOT NULL,
  at REAL NOT NULL,
  message TEXT NOT NULL DEFAULT '',
  reason TEXT,
  files_transferred INTEGER,
  files_skipped INTEGER,
  bytes_transferred INTEGER
) STRICT;
CREATE INDEX history_transfer ON history (transfer);

CREATE TABLE journal (
  id INTEGER PRIMARY KEY,
  uuid TEXT NOT NULL UNIQUE,
  source TEXT NOT NULL,
  destination TEXT NOT NULL,
  orcid TEXT NOT NULL,
  start_time REAL NOT NULL,
  stop_time REAL NOT NULL,
  status TEXT NOT NULL,
  reason TEXT,
  payload_size INTEGER NOT NULL,
  num_files INTEGER NOT NULL,
  description TEXT NOT NULL,
  manifest BLOB
) STRICT;
CREATE INDEX journal_stop_time ON journal (stop_time);

-- Manifests that were delivered, until the journal has them.
CREATE TABLE manifests (
  transfer INTEGER PRIMARY KEY REFERENCES transfers (id),
  manifest BLOB NOT NULL
) STRICT;

-- What users ask of live transfers, from any process; the scheduler takes them from here.
CREATE TABLE requests (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  transfer INTEGER NOT NULL REFERENCES transfers (id),
  kind TEXT NOT NULL,
  at REAL NOT NULL
) STRICT;
CREATE INDEX requests_transfer ON requests (transfer);

-- The one row says which process is the scheduler; its epoch grows with every change of hands.
CREATE TABLE lease (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  owner TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  expires_at REAL NOT NULL
) STRICT;
INSERT INTO lease VALUES (1, '', 0, 0.0);
"""


def statements(script: str) -> list[str]:
    """The single statements of a script; ``executescript`` would commit the migration's transaction."""
    found, statement = [], ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            found.append(statement.strip())
            statement = ""
    return found


@migrations()
def tables_of_the_first_version(db: sqlite_utils.Database) -> None:
    for statement in statements(_FIRST):
        db.execute(statement)


_FAILED_FILES = """
ALTER TABLE files ADD COLUMN reason TEXT;
CREATE INDEX files_failed ON files (transfer) WHERE state = 'failed';
ALTER TABLE journal ADD COLUMN failed_files BLOB;
"""


@migrations()
def reasons_of_failed_files(db: sqlite_utils.Database) -> None:
    for statement in statements(_FAILED_FILES):
        db.execute(statement)


_PRUNED = """
-- Transfers that are forgotten, while some of their rows in other tables are still to be deleted.
CREATE TABLE pruned (
  transfer INTEGER PRIMARY KEY
) STRICT;
"""


@migrations()
def transfers_that_are_being_forgotten(db: sqlite_utils.Database) -> None:
    for statement in statements(_PRUNED):
        db.execute(statement)


_UNSUCCESSFUL = """
-- Few of many: whoever asks for those that failed does not look at all that succeeded.
CREATE INDEX journal_unsuccessful ON journal (status, stop_time) WHERE status <> 'succeeded';
"""


@migrations()
def index_of_what_did_not_succeed(db: sqlite_utils.Database) -> None:
    for statement in statements(_UNSUCCESSFUL):
        db.execute(statement)


def migrate(connection: sqlite3.Connection, file: str) -> None:
    """Bring the store to the present schema, in one transaction; several processes may try at once.

    Raises:
        StoreForeignError: the file is some other program's database, or was written by a newer version.
    """
    # an empty file becomes WAL before the transaction: the journal mode cannot change inside one
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not is_current(connection, file):
            migrations.apply(sqlite_utils.Database(connection))
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        # a full disk has ended the transaction already
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def is_current(connection: sqlite3.Connection, file: str) -> bool:
    """True for a store of the present schema, False for an older one, an empty file, and a copy without a log.

    Raises:
        StoreForeignError: the file is some other program's database, or was written by a newer version.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (num_tables,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()
    if num_tables == 0 and application_id == 0:
        return False
    if application_id != APPLICATION_ID:
        raise StoreForeignError(
            f"{file} is a database of another program and was left as it is: give another file or data_dir"
        )
    known = {migration.name for migration in migrations._migrations}
    applied = {migration.name for migration in migrations.applied(sqlite_utils.Database(connection))}
    if newer := applied - known:
        raise StoreForeignError(
            f"{file} was written by a newer version of dts_fsm ({', '.join(sorted(newer))}) and was left as it is: "
            "install that version"
        )
    (journal_mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return applied == known and journal_mode == "wal"

"""What `ocrfarm batch` knows of the files of a folder: a small SQLite database beside the results.

It is written before a file is sent and after its result lies in its place, so that whoever is killed in between goes on from there: a file
keeps its key until its content or the options change, and the farm adds nothing twice under one key. It lives on the disk: ten thousand
files cost no memory.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrfarm_shared.errors import BadOption

NAME = ".ocrfarm-batch.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime INTEGER NOT NULL, content TEXT NOT NULL, options TEXT NOT NULL,
    attempt INTEGER NOT NULL, key TEXT NOT NULL UNIQUE, state TEXT NOT NULL, batch TEXT, job TEXT, code TEXT, message TEXT,
    run INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS by_state ON files (run, state);
"""


@dataclass(frozen=True)
class Row:
    """One file; `path` is under the folder that was named.

    `state`: new (to be sent, or it is not known whether it was), sent, done, failed, lost (the farm forgot it: to be sent again).
    """

    path: str
    size: int
    mtime: int
    content: str
    options: str
    attempt: int
    key: str
    state: str
    batch: str | None
    job: str | None
    code: str | None
    message: str | None
    run: int


_COLUMNS = ", ".join(Row.__dataclass_fields__)


class Manifest:
    """Raises BadOption where another process works with it, or it is of another folder or no database at all."""

    def __init__(self, folder: Path, source: Path, options: Mapping[str, Any]) -> None:
        path = folder / NAME
        self._lock = (folder / f"{NAME}.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise BadOption(
                f"Another `ocrfarm batch` is at work in {folder}; wait for it, or name another --out."
            ) from None
        self._db = sqlite3.connect(path)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_TABLES)
            self.id = self._fact("id") or self._set("id", secrets.token_hex(16))
            known = self._fact("source") or self._set("source", str(source.resolve()))
            self.run = int(self._fact("run") or "0") + 1
            self._set("run", str(self.run))
            self._db.commit()
        except sqlite3.DatabaseError as err:
            self.close()
            raise BadOption(f"{path} cannot be used ({err}); name another --out, or remove it to begin anew.") from None
        if known != str(source.resolve()):
            self.close()
            raise BadOption(f"{folder} holds the results of {known}; name another --out for {source}.")
        self.options = hashlib.sha256(json.dumps(dict(options), sort_keys=True, default=str).encode()).hexdigest()

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    def commit(self) -> None:
        self._db.commit()

    # ------------------------------------------------------------------ facts
    def _fact(self, name: str) -> str | None:
        found = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(found[0]) if found else None

    def _set(self, name: str, value: str) -> str:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
        return value

    @property
    def batch(self) -> str | None:
        """The batch that files are added to."""
        return self._fact(f"batch:{self.options}")

    def next_batch_key(self) -> str:
        """The Idempotency-Key of the batch to be opened now: the same until it is known to be open."""
        return f"{self.id}:{self.options[:16]}:{self._fact('generation') or '0'}"

    def opened(self, batch: str) -> None:
        self._set(f"batch:{self.options}", batch)
        self._set("generation", str(int(self._fact("generation") or "0") + 1))
        self.commit()

    # ------------------------------------------------------------------ files
    def row(self, path: str) -> Row | None:
        found = self._db.execute(f"SELECT {_COLUMNS} FROM files WHERE path = ?", (path,)).fetchone()  # noqa: S608 - names of ours
        return Row(*found) if found else None

    def by_key(self, key: str) -> Row | None:
        found = self._db.execute(f"SELECT {_COLUMNS} FROM files WHERE key = ?", (key,)).fetchone()  # noqa: S608
        return Row(*found) if found else None

    def add(self, path: str, size: int, mtime: int, content: str, attempt: int) -> Row:
        """A file to be sent, under a key that its path, its content, the options and the attempt make."""
        text = "\n".join((self.id, path, content, self.options, str(attempt)))
        key = hashlib.sha256(text.encode("utf8", "surrogateescape")).hexdigest()
        row = Row(path, size, mtime, content, self.options, attempt, key, "new", None, None, None, None, self.run)
        marks = ", ".join("?" * len(Row.__dataclass_fields__))
        values = tuple(getattr(row, name) for name in Row.__dataclass_fields__)
        self._db.execute(f"INSERT OR REPLACE INTO files ({_COLUMNS}) VALUES ({marks})", values)  # noqa: S608
        return row

    def seen(self, path: str, mtime: int) -> None:
        self._db.execute("UPDATE files SET run = ?, mtime = ? WHERE path = ?", (self.run, mtime, path))

    def mark(
        self,
        key: str,
        state: str,
        *,
        batch: str | None = None,
        job: str | None = None,
        code: str | None = None,
        message: str | None = None,
    ) -> None:
        self._db.execute(
            "UPDATE files SET state = ?, batch = coalesce(?, batch), job = coalesce(?, job), code = ?, message = ? WHERE key = ?",
            (state, batch, job, code, message, key),
        )

    def counts(self) -> dict[str, int]:
        """Files of this run by state."""
        return dict(self._db.execute("SELECT state, count(*) FROM files WHERE run = ? GROUP BY state", (self.run,)))

    def batches_under_way(self) -> list[str]:
        """Batches with files that were sent and have no result yet."""
        found = self._db.execute(
            "SELECT DISTINCT batch FROM files WHERE state = 'sent' AND batch IS NOT NULL ORDER BY batch"
        )
        return [str(one[0]) for one in found]

    def unknown(self, batch: str) -> None:
        """The farm knows nothing of that batch any more: what has no result is to be sent again."""
        self._db.execute("UPDATE files SET state = 'lost' WHERE batch = ? AND state = 'sent'", (batch,))
        self.commit()

    def unsure(self) -> bool:
        """Whether files are noted of which it is not known if they were sent."""
        return self._db.execute("SELECT 1 FROM files WHERE state = 'new' LIMIT 1").fetchone() is not None

    def failed(self) -> Iterator[Row]:
        """Files of this run that were not read whole, by path."""
        where = "WHERE run = ? AND state = 'failed' ORDER BY path"
        for found in self._db.execute(f"SELECT {_COLUMNS} FROM files {where}", (self.run,)):  # noqa: S608
            yield Row(*found)

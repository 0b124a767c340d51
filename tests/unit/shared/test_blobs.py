from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ocrfarm_shared.blobs import BlobStore

HASH = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    store = BlobStore(tmp_path / "blobs")
    store.prepare()
    return store


def put(store: BlobStore, blob: str, data: bytes = b"x") -> Path:
    temporary = store.incoming / "one"
    temporary.write_bytes(data)
    return store.keep(temporary, blob)


def test_kept_whole_and_found_by_name(store: BlobStore) -> None:
    blob = store.name("ann", HASH)
    assert put(store, blob, b"hello").read_bytes() == b"hello"
    assert store.path(blob).read_bytes() == b"hello"
    assert not list(store.incoming.iterdir())
    store.remove(blob)
    store.remove(blob)
    assert not store.path(blob).exists()


@pytest.mark.parametrize(
    "name",
    [
        "../etc/passwd",
        "ann/../bob/" + HASH,
        "ann/" + HASH + "/..",
        "ann/xyz",
        "/" + HASH,
        HASH,
        "Ann/" + HASH,
        "ann/" + HASH + "\n",
    ],
)
def test_no_name_leads_out_of_the_folder(store: BlobStore, name: str) -> None:
    with pytest.raises(ValueError, match="not a blob name"):
        store.path(name)


def test_tenants_share_no_file(store: BlobStore) -> None:
    assert store.path(store.name("ann", HASH)) != store.path(store.name("bob", HASH))


def test_orphans_are_found_by_age(store: BlobStore) -> None:
    blob = store.name("ann", HASH)
    path = put(store, blob)
    (store.incoming / "left").write_bytes(b"")
    assert list(store.older_than(60)) == []
    assert store.sweep_incoming(60) == 0
    old = time.time() - 100
    os.utime(path, (old, old))
    os.utime(store.incoming / "left", (old, old))
    assert list(store.older_than(60)) == [blob]
    assert store.sweep_incoming(60) == 1

"""API keys: how one looks, what it may do, how much of it.

A key is `ocr_` + its id (16 hexadecimal digits) + `_` + a secret of 256 random bits (`secrets.token_urlsafe(32)`). The ledger keeps the
id in the clear and the sha256 of the whole key. A slow hash (argon2, scrypt) defends a secret that people choose, which can be guessed
from a list. 2**256 random ones cannot be tried, whatever the hash costs: a fast one loses nothing, and no request waits for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from ocrfarm_shared.contracts import Incoming, Travelling

DEFAULT_TENANT = "default"
"""Whose jobs are those of a farm without keys."""

NO_KEYS = (
    "{host} can be reached from other machines, and this farm has no API keys, so everybody could read and delete everything. Make a key "
    "first (`ocrfarm keys create --tenant NAME`), or leave OCRFARM_HOST at 127.0.0.1, or, if everybody may, say so with "
    "OCRFARM_OPEN_TO_ALL=yes-anyone-may-read-and-send."
)

_KEY = re.compile(r"ocr_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")


class Role(StrEnum):
    """`submit`: send, retry, cancel and delete the tenant's jobs. `read`: look at them and at the farm. `admin`: make and revoke keys, of
    any tenant. `node`: for worker nodes, no documents over this interface. A key does what its roles say and no more: an admin's key
    reads no document unless it has `read`, and then its own tenant's alone."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"
    NODE = "node"


# A tenant's name is part of Redis keys and of file paths. `incoming` is the blob store's own folder.
TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
KeyName = Annotated[str, StringConstraints(max_length=100)]


class Quota(Incoming):
    """What a tenant may do. Counted for the tenant, over all its keys; the key that is shown says how much. 0: what the farm is set to."""

    jobs_per_minute: int = Field(
        0, ge=0, le=10_000_000, description="Submissions a minute; that many may come at once."
    )
    bytes_per_day: int = Field(0, ge=0, le=2**50, description="Bytes of documents sent in 24 hours.")
    pages_per_day: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="Pages read in 24 hours, cached ones not counted. A document that goes beyond is read to its end; the next is refused.",
    )
    queued: int = Field(0, ge=0, le=10_000_000, description="Jobs under way at once.")


class NewKey(Incoming):
    """What is asked for when a key is made."""

    tenant: TenantName = Field(DEFAULT_TENANT, description="Whose jobs its holder sends and sees.")
    name: KeyName = Field("", description="A note for people: who holds it, what for.")
    roles: tuple[Role, ...] = Field((Role.SUBMIT, Role.READ), min_length=1, max_length=4)
    quota: Quota = Quota()
    expires_in_s: float | None = Field(
        None, gt=0, le=100 * 365 * 86400, allow_inf_nan=False, description="Seconds from now; left out: never."
    )

    @field_validator("tenant")
    @classmethod
    def _no_reserved_name(cls, tenant: str) -> str:
        if tenant == "incoming":
            raise ValueError("this name is taken by the farm itself; choose another")
        return tenant

    @field_validator("roles")
    @classmethod
    def _each_once(cls, roles: tuple[Role, ...]) -> tuple[Role, ...]:
        return tuple(role for role in Role if role in roles)


class KeyView(Travelling):
    """A key as it may be shown: without its secret. Times are seconds since the epoch, by the ledger's clock."""

    id: str
    tenant: str
    name: str = ""
    roles: tuple[str, ...] = Field(description="A role that this release does not know gives nothing.")
    quota: Quota = Quota()
    created_at: float
    expires_at: float | None = None
    expired: bool = False


class MadeKey(KeyView):
    """A new key. `key` is the secret itself: shown this once, kept nowhere."""

    key: str


class KeyList(Travelling):
    keys: list[KeyView]
    total: int = Field(description="How many there are in all, of every tenant.")


def new_key() -> tuple[str, str]:
    """A new key's id, and the key."""
    key_id = secrets.token_hex(8)
    return key_id, f"ocr_{key_id}_{secrets.token_urlsafe(32)}"


def key_id_of(key: str) -> str | None:
    """The id in a key; None for what is no key of ours."""
    match = _KEY.fullmatch(key)
    return match[1] if match else None


def is_key_id(text: str) -> bool:
    return _KEY_ID.fullmatch(text) is not None


def digest(key: str) -> str:
    """What is kept of a key: its sha256, 64 hexadecimal digits."""
    return hashlib.sha256(key.encode("utf8", "surrogatepass")).hexdigest()


def matches(key: str, kept: str | None) -> bool:
    """Whether this is the key of which `kept` is the digest, in constant time; with None, the same time for a no."""
    return hmac.compare_digest(digest(key), kept or digest("")) and kept is not None

"""Who may do what in Redis: one user a role, with the least commands and keys that its part of the farm lives on.

A Lua script runs with the rights of whoever calls it (redis.io, ACL, "Lua scripts"), so a role needs every command and every key of the
scripts that it calls, `SCRIPTS`. Redis 6.2 knows no rights by key and command together (selectors came with 7.0): a role that may DEL
and may touch a key may DEL that key. What that leaves open stands in SECURITY.md.

tests/unit/shared/test_redis_users.py holds the lists against the scripts, and runs the ledger's state machine with one user a role.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["gateway", "dispatcher", "worker", "flower"]
ROLES: tuple[Role, ...] = ("gateway", "dispatcher", "worker", "flower")
ADMIN = "admin"

# The ledger's scripts that a role calls (ocrfarm_shared/ledger/scripts). The gateway is the only one that meets people.
SCRIPTS: Mapping[Role, tuple[str, ...]] = {
    "gateway": (
        *("submit", "cancel", "delete", "view", "list", "pages", "done", "farm", "attempts", "admit", "charge"),
        *("key_create", "key_find", "key_list", "key_revoke", "keys_open", "ask"),
        *("batch_create", "batch_refuse", "batch_view", "batch_list", "batch_items"),
        *("batch_close", "batch_stop", "batch_stopping"),
        *("node_join", "node_list", "node_drain", "holding"),
    ),
    "dispatcher": ("sweep", "reap", "lead", "batch_tend", "hook_take", "hook_done", "processes", "leave"),
    "worker": ("claim", "heartbeat", "farewell", "finish", "plan", "fail", "give_back", "pages", "made"),
    "flower": (),
}


@dataclass(frozen=True)
class Rights:
    """Keys and channels are Redis' glob patterns; `{ns}` stands for the farm's namespace, `{db}` for its database's number."""

    commands: tuple[str, ...]
    keys: tuple[str, ...]
    channels: tuple[str, ...] = ()


def _all(*groups: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for group in groups for word in group))


_CONNECT = ("ping", "hello", "select", "client|setname", "client|id")
_SUBSCRIBE = ("subscribe", "unsubscribe", "publish")

# ---------------------------------------------------------------------------------------------------- the ledger

# What prelude.lua does on the way of every transition: hand units out, end runs and the jobs that follow them.
_LEDGER = (
    *("evalsha", "eval", "time", "del", "exists", "expire", "ttl", "get", "set", "incr", "publish"),
    *("hget", "hgetall", "hmget", "hset", "hsetnx", "hincrby", "hexists"),
    *("sadd", "srem", "smembers", "srandmember"),
    *("lpush", "rpush", "lpop", "lindex", "lrange", "lrem", "ltrim"),
    *("zadd", "zrem", "zcard", "zcount", "zscore", "zrank"),
)
_UNITS = (
    *("{ns}:unit:*", "{ns}:run:*", "{ns}:lane:*", "{ns}:turn:*", "{ns}:queued:*", "{ns}:published:*", "{ns}:leases:*"),
    *(
        "{ns}:q:*",
        "{ns}:-",
        "{ns}:handed",
        "{ns}:messages",
        "{ns}:profiles",
        "{ns}:delayed",
        "{ns}:slots",
        "{ns}:resting",
        "{ns}:drained",
        "{ns}:stats",
        "{ns}:making:*",
        "{ns}:readers:*",
        "{ns}:riding:*",
        "{ns}:made:*",
    ),
)
_ENDS = (
    *("{ns}:job:*", "{ns}:active", "{ns}:active:*", "{ns}:deadlines", "{ns}:expiry", "{ns}:idem:*", "{ns}:outbox"),
    *("{ns}:flight:*", "{ns}:cache:*", "{ns}:dead:*", "{ns}:results:*", "{ns}:ends:*"),
    *("{ns}:batch:*", "{ns}:batches_open", "{ns}:batches_live", "{ns}:idembatch:*", "{ns}:hook:*", "{ns}:hooks"),
)
_UPLOADS = ("{ns}:blob:*", "{ns}:blob_gc", "{ns}:pins", "{ns}:reaping:*")
_LISTS = ("{ns}:jobs:*", "{ns}:tag:*", "{ns}:batches:*", "{ns}:batches_stopping", "{ns}:refused_items:*")
_GAUGES = ("{ns}:process:*", "{ns}:rate:*")
_API_KEYS = ("{ns}:key:*", "{ns}:keys", "{ns}:keys_on")  # hashed; the gateway's alone
_QUOTAS = ("{ns}:quota:*", "{ns}:refused:*")
_PAGES = ("{ns}:pages:*",)  # how many a tenant had read, by hours
_NODES = ("{ns}:nodes",)  # those that joined, by id
_EVENTS = ("{ns}:events",)

# ---------------------------------------------------------------------------------------------------- Celery

# Of kombu's Redis transport: deliveries under way, the bindings of its exchanges, the queues for answers to remote control. The names
# with a namespace in them are set in queue.py. Its bindings hold names of queues alone, and whoever comes sweeps those of all farms.
_CELERY = (
    *("brpop", "rpop", "lpush", "llen", "sadd", "srem", "smembers", "exists", "del", "get", "set", "pexpire"),
    *("zadd", "zrem", "zrange", "zrangebyscore", "zrevrangebyscore", "hset", "hget", "hdel", "multi", "exec", "watch"),
    *("unwatch", "psubscribe", "punsubscribe"),
    *("evalsha", "script|load", "script|exists", "time"),  # its locks and bindings are kept by scripts
)
_CELERY_KEYS = ("_kombu.binding*", "*.{ns}:control.pidbox*", "{ns}:celeryev*")
# 6.2 compares what PSUBSCRIBE asks for with these to the letter.
_CELERY_CHANNELS = ("/{db}.{ns}:control.pidbox", "/{db}.{ns}:celeryev/*")

RIGHTS: Mapping[Role, Rights] = {
    "gateway": Rights(
        _all(
            _CONNECT,
            _SUBSCRIBE,
            _LEDGER,
            (
                "hdel",
                "hkeys",
                "hlen",
                "incrby",
                "llen",
                "scard",
                "zrange",
                "zrangebyscore",
                "zrevrange",
                "zrevrank",
                "zrevrangebyscore",
                "zremrangebyscore",
            ),
            ("info",),  # how full it is, so that a farm that has no room says so
        ),
        _all(_UNITS, _ENDS, _UPLOADS, _LISTS, _GAUGES, _API_KEYS, _QUOTAS, _PAGES, _NODES),
        _EVENTS,
    ),
    "dispatcher": Rights(
        _all(_CONNECT, _LEDGER, ("llen", "zrange", "zrangebyscore", "zremrangebyscore")),
        _all(_UNITS, _ENDS, _UPLOADS, _LISTS, ("{ns}:leader", "{ns}:process:*", "{ns}:spare:*")),
        _EVENTS,
    ),
    "worker": Rights(
        _all(_CONNECT, _SUBSCRIBE, _LEDGER, _CELERY, ("hkeys", "incrby")),
        _all(_UNITS, _ENDS, _GAUGES, _PAGES, ("{ns}:tokens", "{ns}:spare:*", "{ns}:unacked*"), _CELERY_KEYS),
        _EVENTS + _CELERY_CHANNELS,
    ),
    # Sees what workers say of themselves, and how long the queues are.
    "flower": Rights(_all(_CONNECT, _SUBSCRIBE, _CELERY), _all(("{ns}:q:*",), _CELERY_KEYS), _CELERY_CHANNELS),
}


def new_passwords() -> dict[str, str]:
    """A random password for every role and for the admin."""
    return {name: secrets.token_urlsafe(32) for name in (*ROLES, ADMIN)}


def acl_file(namespace: str, passwords: Mapping[str, str], database: int = 0) -> str:
    """Redis' `aclfile` for one farm: a user a role, the admin, and nobody without a name. Passwords are in it as SHA-256 alone.

    `passwords`: by role, and the admin's. Raises KeyError where one is missing.
    """
    # Nobody comes in as the default user: it is off and has no password, so that a connection can say who it is (AUTH, HELLO) and nothing
    # else. It has all rights, because Redis 7 replays its append-only file in its name, and leaves out every transaction that it may not
    # do: all that our scripts ever wrote would be gone after a restart (redis/redis issue 14541).
    lines = [
        "user default reset off allkeys allchannels +@all",
        f"user {ADMIN} reset on {_hash(passwords[ADMIN])} allkeys allchannels +@all",
    ]
    for role in ROLES:
        rights = RIGHTS[role]
        words = [_hash(passwords[role])]
        words += [f"~{key.format(ns=namespace)}" for key in rights.keys]
        words += [f"&{channel.format(ns=namespace, db=database)}" for channel in rights.channels]
        words += [f"+{command}" for command in rights.commands]
        lines.append(f"user {role} reset resetchannels on {' '.join(words)}")
    return "\n".join(lines) + "\n"


def _hash(password: str) -> str:
    return "#" + hashlib.sha256(password.encode()).hexdigest()

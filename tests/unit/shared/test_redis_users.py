"""One Redis user a role: enough for its work, and nothing beside it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from tests.conftest import RedisServer
from tests.unit.shared.redis_with_users import LedgerByRole, Users
from tests.unit.shared.test_ledger_machine import Farm

from ocrfarm_shared.contracts import OcrOptions, Submission
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.scripts import SHARED, parts
from ocrfarm_shared.queue import queue_name
from ocrfarm_shared.redis_users import ADMIN, RIGHTS, ROLES, SCRIPTS, Role, acl_file, new_passwords
from ocrfarm_shared.settings import read_settings

SCRIPT_FOLDER = Path(__file__).parents[3] / "shared/ocrfarm_shared/ledger/scripts"
# Commands of Redis that a role calls by itself, besides those of its scripts.
BY_ITSELF: dict[Role, set[str]] = {
    "gateway": {"evalsha", "eval", "ping", "hello", "select", "subscribe", "unsubscribe", "client", "info"},
    "dispatcher": {"evalsha", "eval", "ping", "hello", "select", "client"},
}


@pytest.fixture
def users(make_redis: Callable[..., RedisServer]) -> Users:
    return Users(make_redis(), "of")


def test_every_script_is_somebodys() -> None:
    named = {name for scripts in SCRIPTS.values() for name in scripts}
    assert named == {path.stem for path in SCRIPT_FOLDER.glob("*.lua")} - {*SHARED, "taking"}


@pytest.mark.parametrize("role", ["gateway", "dispatcher", "worker"])
def test_a_role_has_the_commands_of_its_scripts_and_no_others(users: Users, role: Role) -> None:
    """All roles call through one prelude, so that its commands are every role's."""
    with users.connect(ADMIN) as connection:
        known = {str(name) for name in connection.command()}
    # redis-py answers names in lower case; in Lua commands stand in capitals.
    called = {
        word.lower()
        # quota.lua and items.lua stand in every script, and are called where jobs are taken.
        for name in (
            {part for script in SCRIPTS[role] for part in parts(script)}
            - (set() if role == "gateway" else {"quota", "items"})
        )
        for word in re.findall(r"'([A-Z]+)'", (SCRIPT_FOLDER / f"{name}.lua").read_text("utf8"))
        if word.lower() in known and word not in ("LIMIT", "WITHSCORES")
    } | {"time"}
    held = {command.partition("|")[0] for command in RIGHTS[role].commands}
    assert called <= held, f"{role} lacks {sorted(called - held)}"
    if role in BY_ITSELF:
        assert held <= called | BY_ITSELF[role], f"{role} needs no {sorted(held - called - BY_ITSELF[role])}"


@pytest.mark.parametrize("role", ["gateway", "dispatcher", "worker"])
def test_a_role_has_the_keys_that_its_scripts_name(role: Role) -> None:
    """What no run of them may meet by chance, such as a record that expires a second time."""
    elsewhere = {"gateway": set(), "dispatcher": {"quota", "items"}, "worker": {"quota", "items", "forget"}}[role]
    for name in {part for script in SCRIPTS[role] for part in parts(script)} - elsewhere:
        for word in re.findall(r"key\('([a-z_-]+)'", (SCRIPT_FOLDER / f"{name}.lua").read_text("utf8")):
            if word == "events":  # the channel
                continue
            wanted = {f"{{ns}}:{word}", f"{{ns}}:{word}:*"}
            assert wanted & set(RIGHTS[role].keys), f"{role} calls {name}.lua, which names {word}"


def test_the_ledger_lives_on_these_rights(users: Users) -> None:
    """Its state machine, each script called by the role that calls it in a farm; Redis writes down whatever it refused."""

    class ByRole(Farm):
        url = users.server.url

        def namespace(self) -> str:
            return users.namespace

        def open_ledger(self) -> Ledger:
            return LedgerByRole(users)

    run_state_machine_as_test(
        ByRole,
        settings=settings(
            max_examples=25, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert users.denied() == []


NOBODY_MAY = [
    ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "appendonly", "no"), ("KEYS", "*"), ("SCAN", "0"),
    ("SCRIPT", "FLUSH"), ("SCRIPT", "KILL"), ("DEBUG", "SLEEP", "0"), ("MONITOR",), ("SHUTDOWN", "NOSAVE"), ("SAVE",),
    ("BGREWRITEAOF",), ("REPLICAOF", "127.0.0.1", "1"), ("ACL", "LIST"), ("ACL", "SETUSER", "worker", "+@all"), ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"), ("MIGRATE", "h", "1", "k", "0", "1"), ("MODULE", "LIST"), ("SLOWLOG", "GET"), ("RANDOMKEY",),
    ("SWAPDB", "0", "1"), ("LATENCY", "LATEST"), ("DUMP", "of:job:x"), ("SORT", "of:q:x"), ("ROLE",), ("CLUSTER", "INFO"),
    ("GET", "somebody:elses"), ("GET", "of2:unit:x"), ("SET", "of2:unit:x", "1"), ("PUBLISH", "of2:events", "x"),
]  # fmt: skip


def refused(connection: redis.Redis, *command: str) -> bool:
    try:
        connection.execute_command(*command)
    except NoPermissionError:
        return True
    except ResponseError as err:  # inside a script, the reason is in the text
        return "NOPERM" in str(err) or "can't run this command" in str(err) or "can't access" in str(err)
    return False


@pytest.mark.parametrize("role", ROLES)
def test_what_no_role_may(users: Users, role: Role) -> None:
    with users.connect(role) as connection:
        assert connection.ping()
        assert [command for command in NOBODY_MAY if not refused(connection, *command)] == []
        if "eval" in RIGHTS[role].commands:  # a script is no way round
            for body in ("return redis.call('FLUSHALL')", "return redis.call('GET', 'somebody:elses')"):
                assert refused(connection, "EVAL", body, "0"), body
    with users.connect(ADMIN) as connection:
        assert connection.config_get("appendonly")["appendonly"] == "yes"


# What the ledger keeps, by who may not touch it. `key:` and what follows it are the gateway's: hashes of API keys, quotas, limits.
SECRETS = ["of:key:abc", "of:keys", "of:keys_on", "of:quota:ann:jobs_per_minute", "of:refused:ann:1"]
OTHERS: dict[Role, list[str]] = {
    "gateway": ["of:leader", "of:tokens", "of:unacked", "_kombu.binding.of:control.pidbox"],
    "dispatcher": [*SECRETS, "of:tokens", "of:unacked"],
    "worker": [*SECRETS, "of:leader", "of:jobs:ann", "of:tag:ann:t", "of:blob:b", "of:blob_gc", "of:pins", "of:reaping:b"],
    "flower": [
        *(*SECRETS, "of:leader", "of:tokens", "of:job:j", "of:run:r", "of:run:r:p", "of:unit:u", "of:cache:c", "of:idem:ann:k"),
        *("of:jobs:ann", "of:blob:b", "of:outbox", "of:process:p", "of:stats", "of:active"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_what_is_another_roles(users: Users, role: Role) -> None:
    with users.connect(role) as connection:
        for key in OTHERS[role]:
            for command in (("GET", key), ("SET", key, "1"), ("DEL", key), ("EXISTS", key)):
                assert refused(connection, *command), command
        channels = {"gateway": "/0.of:control.pidbox", "dispatcher": "/0.of:control.pidbox", "flower": "of:events"}
        if role in channels:
            assert refused(connection, "PUBLISH", channels[role], "x")
    assert users.denied() != []


def test_the_user_without_a_name_has_all_rights_and_nobody_can_be_him(users: Users) -> None:
    """The rights are for reading the append-only file. Spoken to the wire: redis-py would say a name first."""
    commands = [
        "PING",
        "GET of:job:x",
        "SET x 1",
        'EVAL "return 1" 0',
        "CONFIG GET *",
        "SUBSCRIBE of:events",
        "ACL WHOAMI",
        "HELLO 3",
    ]
    refused = ["AUTH x", "AUTH default x", 'AUTH default ""', "HELLO 3 AUTH default x"]
    with socket.create_connection(("127.0.0.1", users.server.port), 10) as stranger, stranger.makefile("rwb") as wire:
        for command in [*commands, *refused, *commands]:
            wire.write(f"{command}\r\n".encode())
            wire.flush()
            answer = wire.readline()
            assert answer.startswith((b"-NOAUTH", b"-WRONGPASS", b"-NOPERM")), (command, answer)


def test_nobody_without_a_name_and_nobody_with_anothers(users: Users) -> None:
    with redis.Redis(port=users.server.port) as stranger, pytest.raises((AuthenticationError, NoPermissionError)):
        stranger.ping()
    wrong = f"redis://gateway:{users.passwords['worker']}@127.0.0.1:{users.server.port}/0"
    with redis.Redis.from_url(wrong) as thief, pytest.raises(AuthenticationError):
        thief.ping()


def test_passwords_are_kept_as_hashes_and_all_are_needed() -> None:
    passwords = new_passwords()
    assert len(set(passwords.values())) == len(ROLES) + 1
    text = acl_file("of", passwords)
    assert not [p for p in passwords.values() if p in text]
    assert "nopass" not in text
    assert "{ns}" not in text
    with pytest.raises(KeyError):
        acl_file("of", {name: value for name, value in passwords.items() if name != "flower"})


def test_a_thief_with_flowers_password_costs_no_job(users: Users) -> None:
    """It may empty the queues of messages (6.2 has no rights by key and command); the ledger publishes them again."""
    conf = read_settings({}, redis_url=users.server.url, heartbeat_s=0.01, lease_s=0.05)
    ledger = LedgerByRole(users)
    ledger(calls.heartbeat("node:1", {}, lease_s=60))
    upload = calls.Upload("ann/" + "a" * 64, "image/png", 1, plan=False)
    wanted = Submission(ocr=OcrOptions(profile="accurate"))
    ledger(calls.submit(tenant="ann", upload=upload, submission=wanted, cache_key="k", settings=conf))
    queue = queue_name("of", "accurate")
    with users.connect("flower") as thief:
        assert thief.delete(queue) == 1
    limit = SimpleNamespace(rounds=200)
    while not ledger.redis.llen(queue):
        ledger(calls.sweep(conf))
        limit.rounds -= 1
        assert limit.rounds, "the message never came back"
    ledger.close()

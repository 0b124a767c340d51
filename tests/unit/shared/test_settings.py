from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrfarm_shared.settings import PREFIX, Settings, SettingsError, read_settings, unknown_variables

ROOT = Path(__file__).resolve().parents[3]


def test_defaults_keep_the_order_that_the_promise_rests_on() -> None:
    conf = read_settings({})
    assert 3 * conf.heartbeat_s <= conf.lease_s < conf.hard_time_limit_s < conf.visibility_timeout_s < conf.result_ttl_s


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEASE_S", "10"),
        ("HARD_TIME_LIMIT_S", "15"),
        ("SOFT_TIME_LIMIT_S", "120"),
        ("VISIBILITY_TIMEOUT_S", "120"),
        ("RESULT_TTL_S", "100"),
    ],
)
def test_a_broken_order_refuses_to_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match="could be lost or run twice"):
        read_settings({PREFIX + name: value})


def test_a_wrong_value_is_named() -> None:
    with pytest.raises(SettingsError, match="OCRFARM_PORT"):
        read_settings({"OCRFARM_PORT": "eighty"})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PORT", "eighty", "OCRFARM_PORT is 'eighty'; it takes a whole number, 0 at least and 65535 at most."),
        ("PORT", "70000", "OCRFARM_PORT is '70000'; it takes a whole number, 0 at least and 65535 at most."),
        ("LEASE_S", "0", "OCRFARM_LEASE_S is '0'; it takes a number, more than 0."),
        ("LEASE_S", "nan", "OCRFARM_LEASE_S is 'nan'; it takes a number, more than 0."),
        ("MAX_UPLOAD_MB", "inf", "OCRFARM_MAX_UPLOAD_MB is 'inf'; it takes a number, more than 0."),
        ("FLOWER", "perhaps", "OCRFARM_FLOWER is 'perhaps'; it takes 1 or 0."),
        ("LOG_LEVEL", "loud", "OCRFARM_LOG_LEVEL is 'loud'; it takes one of DEBUG, INFO, WARNING, ERROR."),
        ("NAMESPACE", "A farm", "OCRFARM_NAMESPACE is 'A farm'; it takes 1 to 32 small letters, digits, - and _."),
        ("OPEN_TO_ALL", "yes", "OCRFARM_OPEN_TO_ALL is 'yes'; it takes `yes-anyone-may-read-and-send`, or nothing."),
        ("LEASE_S", "10", "3 x OCRFARM_HEARTBEAT_S (15) must be <= OCRFARM_LEASE_S (10), else a page could be lost or run twice."),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_in_plain_words(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings({PREFIX + name: value})
    assert str(raised.value) == told


def test_variables_that_nobody_reads() -> None:
    given = {"OCRFARM_PROT": "1", "OCRFARM_PORT": "1", "OCRFARM_XYZZY": "1", "HOME": "/", "MY_OCRFARM_PORT": "1"}
    assert unknown_variables(given) == {"OCRFARM_PROT": "OCRFARM_PORT", "OCRFARM_XYZZY": None}


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert read_settings({"OCRFARM_PORT": ""}).port == 8000


def test_no_redis_says_what_to_do() -> None:
    with pytest.raises(SettingsError, match="ocrfarm up"):
        _ = read_settings({}).broker_url


def test_a_password_goes_into_the_address() -> None:
    conf = read_settings({}, redis_url="redis://127.0.0.1:1/0", redis_password="p@ss/word")
    assert conf.broker_url == "redis://:p%40ss%2Fword@127.0.0.1:1/0"
    assert read_settings({}, redis_url="redis://:x@h:1/0", redis_password="y").broker_url == "redis://:x@h:1/0"


@given(
    port=st.integers(0, 65535),
    workers=st.integers(0, 512),
    flower=st.booleans(),
    state=st.from_regex(r"/[a-z0-9/ ]{1,20}", fullmatch=True),
    megapixels=st.floats(0.5, 1000),
)
def test_children_read_the_same_settings(port: int, workers: int, flower: bool, state: str, megapixels: float) -> None:
    conf = Settings(port=port, workers=workers, flower=flower, state=Path(state), max_megapixels=megapixels)
    assert read_settings(conf.environment()) == conf


def test_only_settings_reads_the_environment() -> None:
    guilty = [
        str(path.relative_to(ROOT))
        for room in ("api", "worker", "shared", "models", "client")
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"\bos\.environ\b|\bgetenv\b", path.read_text("utf8")) and path.name != "settings.py"
    ]
    assert guilty == []


def test_two_redis_users_at_once_are_refused() -> None:
    """The URL's would win, and a part would run with its rights instead of its own few."""
    both = read_settings({"OCRFARM_REDIS_URL": "redis://:secret@host:6379/0", "OCRFARM_REDIS_USER": "worker"})
    with pytest.raises(SettingsError, match="OCRFARM_REDIS_USER"):
        _ = both.broker_url


def test_every_setting_says_what_it_is() -> None:
    """docs/reference/settings.md and the error of a wrong one are made of this."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("of the gateway\n", "utf8")
    named = {"OCRFARM_REDIS_URL": "redis://redis:6379/0", "OCRFARM_REDIS_PASSWORD_FILE": str(secret)}
    conf = read_settings(named)
    assert conf.redis_password == "of the gateway"
    assert "of%20the%20gateway@redis" in conf.broker_url
    assert read_settings(named | {"OCRFARM_REDIS_PASSWORD": "said outright"}).redis_password == "said outright"
    assert read_settings(named, redis_password="an argument").redis_password == "an argument"
    assert unknown_variables(named) == {}


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"\n", "is empty"), (b"\xff\xfe", "no text")])
def test_a_secret_that_cannot_be_read_is_a_sentence(tmp_path: Path, content: bytes | None, why: str) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(SettingsError, match=why) as raised:
        read_settings({"OCRFARM_API_KEY_FILE": str(secret)})
    assert str(raised.value).startswith(f"OCRFARM_API_KEY_FILE names {secret}, which")


def test_a_child_process_is_given_the_secret_and_not_the_file_of_its_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "password"
    secret.write_text("of the parent", "utf8")
    monkeypatch.setenv("OCRFARM_REDIS_PASSWORD_FILE", str(secret))
    parent = read_settings()
    own = parent.model_copy(update={"redis_password": "of the child"}).child_environment()
    assert read_settings(own).redis_password == "of the child"
    nobody = parent.model_copy(update={"redis_password": None}).child_environment()
    assert read_settings(nobody).redis_password is None

"""The owner's door: keys are made in the farm's Redis itself, because the first one is needed before anybody listens.

Whoever has Redis' password owns the farm. That of the embedded Redis lies in the state folder, readable by its user alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ocrfarm.farm import CannotStart, StateHeld
from ocrfarm.farm.children import Child, Program
from ocrfarm.farm.embedded_redis import EmbeddedRedis, find_server
from ocrfarm.farm.ports import LOOPBACK, claim
from ocrfarm.farm.supervisor import hold_state
from ocrfarm_shared.addresses import is_loopback
from ocrfarm_shared.keys import NO_KEYS, KeyList, MadeKey, NewKey
from ocrfarm_shared.ledger import Ledger, key_calls
from ocrfarm_shared.settings import Settings


class Owner:
    """The keys in the ledger. Every method raises redis.exceptions.RedisError where Redis does not answer."""

    def __init__(self, settings: Settings, redis_url: str) -> None:
        # The address carries its own user and password.
        own = {"redis_url": redis_url, "redis_user": None, "redis_password": None}
        self._ledger = Ledger.open(settings.model_copy(update=own))

    def create(self, asked: NewKey) -> MadeKey | None:
        return self._ledger(key_calls.create_key(asked))

    def list(self, tenant: str | None) -> KeyList:
        return self._ledger(key_calls.list_keys(tenant=tenant, limit=key_calls.MOST_KEYS))

    def revoke(self, key_id: str) -> bool:
        return self._ledger(key_calls.revoke_key(key_id))

    def no_key_holds(self) -> bool:
        """Whether there is no key, or none that has not expired."""
        return self._ledger(key_calls.no_key_holds())

    def open(self) -> int | None:
        """Ask nobody for a key any more. Answers how many keys there are, where there are some and nothing was changed; else None."""
        return self._ledger(key_calls.open_farm())

    def close(self) -> None:
        self._ledger.close()


@contextmanager
def door(settings: Settings) -> Iterator[Owner]:
    """To this farm's Redis: one's own, or the embedded one, started for this moment where the farm does not run. Raises CannotStart."""
    if settings.redis_url:
        with _to(settings, settings.broker_url) as owner:
            yield owner
        return
    folder = settings.state.expanduser().resolve()
    try:
        with hold_state(folder), _embedded(settings) as url, _to(settings, url) as owner:
            yield owner
        return
    except StateHeld:
        pass
    with _to(settings, (folder / "redis" / "url").read_text("ascii").strip()) as owner:
        yield owner


@contextmanager
def _to(settings: Settings, redis_url: str) -> Iterator[Owner]:
    owner = Owner(settings, redis_url)
    try:
        yield owner
    finally:
        owner.close()


@contextmanager
def _embedded(settings: Settings) -> Iterator[str]:
    """The state folder's Redis, for as long as this is open; its address with the password."""
    folder = settings.state.expanduser().resolve()
    port = claim(LOOPBACK, 0, "Redis", "OCRFARM_REDIS_PORT")
    limit, name, fsync = settings.redis_maxmemory_mb, settings.namespace, settings.redis_fsync
    redis = EmbeddedRedis.prepare(find_server(), folder / "redis", port, limit, name, fsync)
    (folder / "logs").mkdir(exist_ok=True)
    child = Child(
        Program("redis", redis.argv, settings.child_environment(), grace_s=30), folder / "logs" / "redis-keys.log"
    )
    child.start()
    try:
        redis.wait(child)
        yield (folder / "redis" / "url").read_text("ascii").strip()
    finally:
        child.end()


def check_door(settings: Settings) -> None:
    """Raises CannotStart where the farm would listen beyond this machine without a key, and nobody said that everybody may come in."""
    if is_loopback(settings.host) or settings.open_to_all:
        return
    from redis.exceptions import RedisError

    try:
        with _to(settings, settings.broker_url) as owner:
            without = owner.no_key_holds()
    except RedisError as err:
        raise CannotStart(f"Redis does not answer ({err}), so nobody can say whether this farm has API keys.") from None
    if without:
        raise CannotStart(NO_KEYS.format(host=settings.host))

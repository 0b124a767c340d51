"""What `ocrfarm keys` does: at the farm's own Redis, or over HTTP with a key of the role `admin`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError
from rich.console import Console
from rich.table import Column, Table

from ocrfarm.cli.show import PATIENCE_S, PIPED_WIDTH, data
from ocrfarm_shared.errors import BadOption, FarmUnavailable, NotFound, RequestError
from ocrfarm_shared.keys import KeyList, KeyView, MadeKey, NewKey, Quota, is_key_id, key_id_of
from ocrfarm_shared.settings import read_settings

if TYPE_CHECKING:
    from ocrfarm.farm.owner import Owner

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True)
class Wish:
    """A key as it was asked for on the command line."""

    tenant: str
    roles: tuple[str, ...]
    name: str
    expires: str
    quota: Mapping[str, int]

    def checked(self) -> NewKey:
        """Raises BadOption, naming the option."""
        told = {"roles": self.roles} if self.roles else {}
        try:
            return NewKey(
                tenant=self.tenant,
                name=self.name,
                quota=Quota(**self.quota),
                expires_in_s=seconds(self.expires),
                **told,
            )
        except ValidationError as err:
            first = err.errors(include_url=False)[0]
            option = {"roles": "--role", "expires_in_s": "--expires"}.get(str(first["loc"][0]), f"--{first['loc'][0]}")
            said = first["msg"].removeprefix("Value error, ")
            if option == "--tenant" and first["type"] == "string_pattern_mismatch":
                said = "a name of small letters, digits, - and _, 63 at most"
            raise BadOption(f"{option}: {said}.") from None


def seconds(text: str) -> float | None:
    """`90d`, `12h`, `30m`, `2w` as seconds; None for an empty text. Raises BadOption."""
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip())
    if not match or int(match[1]) == 0:
        raise BadOption(f"--expires: {text!r} is no time; write it like 90d, 12h or 30m.")
    return float(int(match[1]) * _UNITS[match[2]])


class Keeper(Protocol):
    """Where keys are kept: the ledger itself (ocrfarm.farm.owner.Owner), or a farm elsewhere."""

    def create(self, asked: NewKey) -> MadeKey | None: ...
    def list(self, tenant: str | None) -> KeyList: ...
    def revoke(self, key_id: str) -> bool: ...


@contextmanager
def keeper(url: str | None, key: str | None, *, making: bool = False) -> Iterator[Keeper]:
    """Raises FarmUnavailable where neither can be reached."""
    settings = read_settings(url=url, api_key=key)
    if settings.url or key:
        from ocrfarm.client import Client

        with Client(settings.url, settings.api_key, retry_for_s=PATIENCE_S) as client:
            yield client.keys
        return
    with _own_door(making=making) as door:
        yield door


@contextmanager
def _own_door(*, making: bool) -> Iterator[Owner]:
    """To the Redis of the farm here. Raises RequestError where there is no farm, FarmUnavailable where Redis cannot be reached."""
    settings = read_settings()
    from redis.exceptions import RedisError

    from ocrfarm.farm import CannotStart, owner

    if not settings.redis_url and not making and not (settings.state / "redis").is_dir():
        raise RequestError(
            f"There is no farm in {settings.state}; name its folder with OCRFARM_STATE, or it with --url."
        )
    try:
        with owner.door(settings) as door:
            yield door
    except CannotStart as err:
        raise FarmUnavailable(str(err)) from None
    except RedisError as err:
        raise FarmUnavailable(f"The farm's Redis does not answer ({err}); see OCRFARM_REDIS_URL.") from None


def make(wish: Wish, url: str | None, key: str | None, *, quiet: bool, use: str = "") -> None:
    """`use`: a sentence on what to do with it, in place of the usual one."""
    asked = wish.checked()
    with keeper(url, key, making=True) as keys:
        # Asked before: over HTTP, whoever needed no key until now may list none any more once the first is made.
        first = not quiet and keys.list(None).total == 0
        made = keys.create(asked)
    if made is None:
        raise RequestError("There are too many keys already; `ocrfarm keys list` shows them, revoke some.")
    print(made.key)
    if quiet:
        return
    console = Console(stderr=True)  # the key alone goes to stdout
    console.print(_facts(made))
    console.print(
        f"This is the only time that the key is shown. {use or 'Send it as `X-API-Key: …`, or set OCRFARM_API_KEY.'}"
    )
    if first:
        console.print("It is the first one: from now on this farm asks everybody for a key.", style="yellow")


def show(tenant: str | None, url: str | None, key: str | None) -> None:
    with keeper(url, key) as keys:
        found = keys.list(tenant)
    table = Table(
        *(Column(name, no_wrap=True) for name in ("id", "tenant", "roles", "expires")),
        *(Column(name, overflow="fold") for name in ("quota", "name")),
        box=None,
        padding=(0, 1),
    )
    for view in found.keys:
        style = "dim" if view.expired else None
        row = [view.id, view.tenant, ",".join(view.roles), _until(view), _quota(view), data(view.name)]
        table.add_row(*row, style=style)
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table if found.keys else "No such keys; `ocrfarm keys create --tenant NAME` makes one.")


def revoke(named: list[str], url: str | None, key: str | None) -> int:
    """Exit code: 1 if any was not there."""
    failed = 0
    with keeper(url, key) as keys:
        for text in named:
            key_id = text if is_key_id(text) else key_id_of(text)
            if key_id is not None and _gone(keys.revoke, key_id):
                print(f"{key_id}: revoked")
                continue
            failed = 1
            said = "there is no such key" if key_id else "no key and no key's id; `ocrfarm keys list` shows the ids"
            print(f"{key_id or repr(text[:8])}: {said}", file=sys.stderr)
        if not failed and _none_left(keys):
            print(
                "No key is left, and this farm goes on asking everybody for one; `ocrfarm keys create --tenant NAME` makes another, and "
                "`ocrfarm keys open` lets everybody on this machine in again.",
                file=sys.stderr,
            )
    return failed


def open_farm(*, sure: bool) -> None:
    """At the farm's own Redis alone: over HTTP nobody without a key may say so. Raises RequestError, FarmUnavailable."""
    with _own_door(making=False) as door:
        if not sure and not _meant():
            raise RequestError(
                "Nothing was changed. Say `ocrfarm keys open --yes` where everybody on this machine may come in."
            )
        left = door.open()
    if left:
        raise RequestError(
            f"This farm has {left} key{'s' if left > 1 else ''}, which `ocrfarm keys list` shows; revoke them first."
        )
    print(
        "This farm asks for no key any more: every user and program of this machine may send, read and delete documents, and make keys. "
        "`ocrfarm keys create` closes it again."
    )


def _meant() -> bool:
    if not sys.stdin.isatty():
        return False
    asked = "Everybody on this machine may then read and delete every document of the farm. Open it? [y/N] "
    return input(asked).strip().lower() in ("y", "yes")


def _none_left(keys: Keeper) -> bool:
    try:
        return keys.list(None).total == 0
    except RequestError:  # the key that was shown is itself among the revoked
        return False


def _gone(revoke: Callable[[str], bool], key_id: str) -> bool:
    try:
        return revoke(key_id)
    except NotFound:
        return False


def _facts(view: KeyView) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_row("id", view.id)
    facts.add_row("tenant", view.tenant)
    facts.add_row("may", ", ".join(view.roles))
    facts.add_row("quota", _quota(view))
    facts.add_row("expires", _until(view))
    return facts


def _quota(view: KeyView) -> str:
    quota = view.quota
    parts = [
        f"{quota.jobs_per_minute} jobs a minute" if quota.jobs_per_minute else "",
        f"{quota.bytes_per_day / 1e6:g} MB a day" if quota.bytes_per_day else "",
        f"{quota.pages_per_day} pages a day" if quota.pages_per_day else "",
        f"{quota.queued} at once" if quota.queued else "",
    ]
    return ", ".join(part for part in parts if part) or "the farm's"


def _until(view: KeyView) -> str:
    if view.expires_at is None:
        return "never"
    then = datetime.fromtimestamp(view.expires_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{then} (over)" if view.expired else then

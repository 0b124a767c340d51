"""Sends webhooks: a thread of the dispatcher with an event loop of its own, so that no target holds up a sweep.

The ledger lends what is due (`hook_take`), so that several dispatchers may send, and one that dies leaves its hooks to the others: a
hook is sent at least once. A target has some seconds for all of it, may have few under way, and is given no redirect, no proxy, no second
look-up of its name. What it answers beyond its status is not read.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
from redis.exceptions import RedisError

from ocrfarm_api.hook_signing import signed, tenant_secret
from ocrfarm_api.hook_targets import Target, Targets, addresses_of
from ocrfarm_shared.errors import BadOption
from ocrfarm_shared.ledger import AsyncLedger, hook_calls
from ocrfarm_shared.ledger.calls import Call
from ocrfarm_shared.ledger.hook_calls import FIRST_WAIT_S, LONGEST_WAIT_S, Hook
from ocrfarm_shared.settings import Settings
from ocrfarm_shared.telemetry import log_context
from ocrfarm_shared.version import version

log = logging.getLogger(__name__)

AT_ONCE, OF_A_HOST, OF_A_TENANT = 32, 4, 16
LOOK_S = 1.0
GONE = 410  # the receiver wants no more of them

Resolve = Callable[[str, int], list[str]]


class Undeliverable(Exception):
    """Why a target was not reached, as a sentence."""


def resolve(host: str, port: int) -> list[str]:
    """Addresses of a name, as the system finds them."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def links(hook: Hook) -> dict[str, str]:
    here = f"/v1/{'jobs' if hook.kind == 'job' else 'batches'}/{hook.id}"
    return {
        "self": here,
        "result" if hook.kind == "job" else "results": f"{here}/result{'' if hook.kind == 'job' else 's'}",
    }


class Sender:
    """`start` and `stop` are a dispatcher's; nothing is sent where the settings name no secret or no hosts."""

    def __init__(self, settings: Settings, lookup: Resolve = resolve) -> None:
        self._settings = settings
        self._targets = Targets.of(settings.webhook_hosts)
        self._resolve = lookup
        self._names = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="names")
        self._busy: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._tls = httpx.create_ssl_context()

    def start(self) -> None:
        if self._settings.webhook_secret and self._settings.webhook_hosts:
            self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), name="webhooks", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._settings.webhook_timeout_s + 5)
        self._names.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        ledger = AsyncLedger.open(self._settings)
        trouble = False
        while not self._stop.is_set():
            try:
                taken = await ledger(self._due())
                if trouble:
                    log.info("webhooks: Redis answers again")
                trouble = False
            except RedisError as err:
                if not trouble:
                    log.warning("webhooks wait: Redis does not answer (%s)", err)
                trouble, taken = True, []
            except Exception:
                log.exception("webhooks: a round failed; the next one comes all the same")
                taken = []
            for hook in taken:
                self._busy.update(hook.busy)
                task = asyncio.create_task(self._send(ledger, hook))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0.05 if taken else LOOK_S)
        for task in self._tasks:
            task.cancel()  # its lease runs out, and another sends it
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await ledger.close()

    def _due(self) -> Call[list[Hook]]:
        return hook_calls.take(
            limit=max(1, AT_ONCE - len(self._tasks)),
            lease_s=2 * self._settings.webhook_timeout_s + 10,
            busy=+self._busy,
            most_host=OF_A_HOST,
            most_tenant=OF_A_TENANT,
        )

    # ------------------------------------------------------------------ one hook
    async def _send(self, ledger: AsyncLedger, hook: Hook) -> None:
        status, error, final, asked = None, None, False, 0.0
        try:
            async with asyncio.timeout(self._settings.webhook_timeout_s):
                status, asked = await self._post(hook)
            if not 200 <= status < 300:
                error = f"It answered {status}{'; redirects are not followed' if 300 <= status < 400 else ''}."
                final = status == GONE
        except TimeoutError:
            error = f"It did not answer within {self._settings.webhook_timeout_s:g} s."
        except BadOption as err:
            error, final = str(err), True
        except Undeliverable as err:
            error = str(err)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as err:
            error = f"The connection failed ({type(err).__name__})."
        except Exception:
            log.exception("webhook of %s", hook.id)
            error = "The farm could not send it; its log has the details."
        finally:
            self._busy.subtract(hook.busy)
        call = hook_calls.done(
            hook,
            delivered=error is None,
            give_up_s=self._settings.webhook_give_up_s,
            wait_s=max(self._pause(hook.attempts), min(asked, LONGEST_WAIT_S)),
            final=final,
            status=status,
            error=error,
        )
        with suppress(RedisError):  # then its lease runs out, and it is sent again
            outcome = await ledger(call)
            with log_context(**{hook.kind: hook.id}):
                log.log(logging.INFO if error is None else logging.WARNING, "webhook: %s %s", outcome, error or "")

    @staticmethod
    def _pause(attempts: int) -> float:
        """Doubling, each drawn from its upper half, so that what failed together does not come back together."""
        longest: float = min(FIRST_WAIT_S * 2 ** min(attempts, 20), LONGEST_WAIT_S)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing

    async def _post(self, hook: Hook) -> tuple[int, float]:
        """The answer's status, and the seconds that it asks to be left alone for."""
        target = self._targets.check(hook.url)  # the list may have changed since it was taken
        url = await self._pinned(target)
        body = json.dumps({"id": hook.id, "state": hook.state, "links": links(hook)}).encode()
        secret = tenant_secret(self._settings.webhook_secret or "", hook.tenant)
        headers = {
            "Host": target.url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": f"ocrfarm/{version()}",
            "Accept-Encoding": "identity",
            "Connection": "close",
        } | signed(secret, hook.id, int(time.time()), body)
        async with httpx.AsyncClient(
            verify=self._tls, trust_env=False, follow_redirects=False, timeout=self._settings.webhook_timeout_s
        ) as client:
            request = client.build_request(
                "POST", url, content=body, headers=headers, extensions={"sni_hostname": target.host}
            )
            answer = await client.send(request, stream=True)
            await answer.aclose()  # its body is not wanted, however long it is
            again = answer.headers.get("retry-after", "")
            return answer.status_code, float(again) if again.isascii() and again.isdigit() else 0.0

    async def _pinned(self, target: Target) -> httpx.URL:
        """The URL at an address that was looked up and looked at once: a name that answers otherwise later changes nothing."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._names, self._resolve, target.host, target.port
            )
        except (OSError, UnicodeError):
            raise Undeliverable(f"The name {target.host[:100]!r} is not known.") from None
        for address in addresses_of(found):
            if target.may_be(address):
                return target.at(address)
        raise Undeliverable(
            f"{target.host[:100]!r} is at no public address; name it in OCRFARM_WEBHOOK_HOSTS if it may be private."
        )

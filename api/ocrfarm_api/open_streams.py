"""How many answers of a kind that is held long (event streams, large results) are open in this process, and whose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ocrfarm_shared.errors import FarmFull, OverQuota

RETRY_S = 5.0


class OpenStreams:
    """`most`: in this process; half of them at most are one tenant's where there are keys. `what` they are, in words."""

    def __init__(self, most: int, what: str = "event streams") -> None:
        self._most, self._what = most, what
        self.by_tenant: Counter[str] = Counter()

    @contextmanager
    def one_more(self, tenant: str, *, keyed: bool) -> Iterator[None]:
        """Room for a stream as long as it is held. Raises FarmFull, OverQuota."""
        again = "Try again after Retry-After seconds."
        if self.by_tenant.total() >= self._most:
            raise FarmFull(f"This gateway holds as many {self._what} as it can. {again}", retry_after=RETRY_S)
        if keyed and self.by_tenant[tenant] >= max(1, self._most // 2):
            raise OverQuota(
                f"You hold as many {self._what} as you may; take one to its end or close it. {again}",
                retry_after=RETRY_S,
            )
        self.by_tenant[tenant] += 1
        try:
            yield
        finally:
            self.by_tenant[tenant] -= 1
            if not self.by_tenant[tenant]:
                del self.by_tenant[tenant]

"""How long this process takes over its pages: what it tells the farm, and how many small pictures it reads at a time."""

from __future__ import annotations

from dataclasses import dataclass

# The mean forgets: what was read so many pages ago counts a third of what is read now.
_MEMORY = 32
# Small pictures are read so many seconds long at a time, so that whoever waits behind them waits no longer, and a process that is killed
# takes no more with it; never more than MOST of them.
TOGETHER_S = 0.4
MOST = 16
_FIRST_GUESS_S = 0.1


@dataclass
class Mean:
    """Of the last values, in seconds; of all of them while they are few."""

    value: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.count += 1
        self.value += (value - self.value) / min(self.count, _MEMORY)


class Pace:
    """Of one worker process, since it began."""

    def __init__(self) -> None:
        self._pages: dict[str, Mean] = {}
        self._picture = Mean(_FIRST_GUESS_S, 1)

    def page(self, profile: str, seconds: float) -> None:
        """A page was read by itself."""
        self._pages.setdefault(profile, Mean()).add(seconds)

    def pictures(self, count: int, seconds: float) -> None:
        """So many small pictures were read together, in so many seconds each."""
        for _ in range(count):
            self._picture.add(seconds)

    def most_pictures(self) -> int:
        """How many small pictures this process takes at a time."""
        return max(1, min(MOST, int(TOGETHER_S / max(self._picture.value, 1e-6))))

    def told(self) -> dict[str, list[float]]:
        """By profile: seconds that a page takes, and how many were read."""
        return {name: [round(mean.value, 4), mean.count] for name, mean in list(self._pages.items())}

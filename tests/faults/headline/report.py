"""A storm as a table that a person reads, and as a picture."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from tests.faults.headline.checks import Check
from tests.faults.headline.killer import Kill
from tests.faults.headline.storm import Storm

COLOURS = {
    "worker process": "#e07b39", "pool's parent": "#b5482a", "whole pool": "#7d1f1f", "Redis": "#7b3fa0", "gateway": "#2a7fb8",
    "dispatcher": "#3a8f5c", "connections": "#888888",
}  # fmt: skip
HARMLESS = {"gateway", "dispatcher"}  # to a page that is being read


@dataclass(frozen=True)
class Recovery:
    """Seconds after kills of one kind: until the part was back, until the pages it held ran elsewhere, until the next job was accepted,
    until the next job ended."""

    what: str
    kills: int
    back: list[float]
    rerun: list[float]
    accepted: list[float]
    ended: list[float]


def reruns(storm: Storm) -> list[tuple[str, float, Kill]]:
    """(unit, seconds from the kill to its next claim, the kill) for each page that was begun again."""
    kills = [kill for kill in storm.kills if kill.what not in HARMLESS]
    times = [kill.at for kill in kills]
    out = []
    for unit, claims in storm.history.claims.items():
        for before, after in pairwise(claims):
            # The first after it was begun is what lost it; later ones only delayed it.
            first = bisect_right(times, before)
            if first < bisect_right(times, after):
                out.append((unit, after - times[first], kills[first]))
    return out


def recoveries(storm: Storm) -> list[Recovery]:
    accepted = sorted(one.at for one in storm.accepted)
    ended = storm.history.ended([one.job for one in storm.accepted])
    again = reruns(storm)

    def following(times: list[float], at: float) -> list[float]:
        place = bisect_right(times, at)
        return [times[place] - at] if place < len(times) else []

    out = []
    for what in COLOURS:
        kills = [kill for kill in storm.kills if kill.what == what]
        out.append(
            Recovery(
                what,
                len(kills),
                [kill.back_s for kill in kills if kill.back_s is not None],
                [seconds for _, seconds, by in again if by.what == what],
                [s for kill in kills for s in following(accepted, kill.at)],
                [s for kill in kills for s in following(ended, kill.at)],
            )
        )
    return out


def each_kill(storm: Storm) -> list[list[object]]:
    """A row for each: when, what, until it was back, pages that were begun again and the longest of them, next accepted, next ended."""
    accepted = sorted(one.at for one in storm.accepted)
    ended = storm.history.ended([one.job for one in storm.accepted])
    begun = [claims[0] for claims in storm.history.claims.values()]
    again = {kill.at: [] for kill in storm.kills}  # type: dict[float, list[float]]
    for _, seconds, kill in reruns(storm):
        again[kill.at].append(seconds)
    begun.sort()
    rows: list[list[object]] = []
    for number, kill in enumerate(storm.kills, 1):
        following = [times[bisect_right(times, kill.at) :][:1] for times in (accepted, begun, ended)]
        cells = [f"{times[0] - kill.at:.1f}" if times else "–" for times in following]
        back = "–" if kill.back_s is None or kill.what == "connections" else f"{kill.back_s:.1f}"
        longest = f"{len(again[kill.at])}, {max(again[kill.at]):.1f}" if again[kill.at] else "–"
        rows.append([number, f"{kill.at - storm.begun:.1f}", kill.what, back, longest, *cells])
    return rows


def _range(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} / {max(values):.1f}" if values else "–"


def _table(head: list[str], rows: list[list[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in lines)


def markdown(storm: Storm, checks: list[Check], command: str, about: str) -> str:
    history, accepted = storm.history, [one.job for one in storm.accepted]
    units = history.units_of(accepted)
    attempts = Counter(len(history.claims[unit]) for unit in units)
    processes = sum(1 for kill in storm.kills if kill.what != "connections")
    facts: list[list[object]] = [
        ["seed", storm.seed],
        ["jobs sent", len(storm.sent)],
        ["accepted", len(accepted)],
        ["ended", sum(1 for job in accepted if history.ends[job])],
        ["as", ", ".join(f"{n} {s}" for s, n in Counter(v["state"] for v in storm.views.values()).most_common())],
        ["kills of processes; cuts of connections", f"{processes}; {len(storm.kills) - processes}"],
        ["from the first job to the last end", f"{max(history.ended(accepted)) - storm.begun:.0f} s"],
        ["pages and plans worked on", len(units)],
        ["attempts", ", ".join(f"{n} with {a}" for a, n in sorted(attempts.items()))],
        ["executed twice or more", sum(n for a, n in attempts.items() if a > 1)],
        ["pages recorded; of them twice", f"{len(history.recorded)}; {sum(1 for n in history.recorded.values() if n > 1)}"],
        ["writes of a stale worker, refused", history.stale_writes],
        ["failed attempts by cause (the reading in peace too)", dict(history.failed_attempts)],
        ["requests that broke off; were answered 503, and were sent again", f"{storm.refused[0]}; {storm.refused[503]}"],
        ["commands in Redis' file", history.commands],
    ]  # fmt: skip
    rows: list[list[object]] = [
        [r.what, r.kills, _range(r.back), len(r.rerun), _range(r.rerun), _range(r.accepted), _range(r.ended)]
        for r in recoveries(storm)
        if r.kills
    ]
    return "\n\n".join(
        [
            "# The headline run",
            f"`{command}`, {datetime.fromtimestamp(storm.begun, UTC):%Y-%m-%d}, {about}. Made by that command; do not edit.",
            "![accepted, ended, kills](timeline.svg)",
            _table(["", ""], facts),
            "What must hold. Counted are the commands in Redis' append-only file, over all of its lives (`history.py`).",
            _table(["", "found", ""], [[c.name, c.found, "holds" if c.holds else "**BROKEN**"] for c in checks]),
            "Seconds after a kill, median / longest. A page that was begun again counts for the first kill after its beginning. Kills come "
            "while the farm still mends the last ones.",
            _table(
                ["killed", "times", "back", "pages begun again", "after", "next job accepted", "next job ended"], rows
            ),
            "## Each kill",
            "Seconds: into the run; until the part was back; pages begun again because of it and the longest wait of one; until the next "
            "job was accepted, the next page begun for the first time, the next job ended.",
            _table(["", "at", "killed", "back", "begun again", "accepted", "begun", "ended"], each_kill(storm)),
            "",
        ]
    )


# ---------------------------------------------------------------------------------------------------- the picture

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1000, 460, 60, 20, 46, 90


def timeline(storm: Storm) -> str:
    """SVG: jobs accepted and ended over time, a line for each kill."""
    accepted = sorted(one.at - storm.begun for one in storm.accepted)
    ended = [at - storm.begun for at in storm.history.ended([one.job for one in storm.accepted])]
    last = max(accepted[-1], ended[-1], storm.over - storm.begun)
    most = len(accepted)

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / last

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / most

    def curve(times: list[float], colour: str, width: float) -> str:
        points = [f"{x(0):.1f},{y(0):.1f}"]
        for number, seconds in enumerate(times, 1):
            if number % max(1, most // 800) == 0 or number == len(times):
                points.append(f"{x(seconds):.1f},{y(number):.1f}")
        return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="{width}"/>'

    def text(px: float, py: float, said: str, anchor: str = "middle", colour: str = "#333") -> str:
        return f'<text x="{px:.1f}" y="{py:.1f}" text-anchor="{anchor}" fill="{colour}">{said}</text>'

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(
            LEFT, 24, f"{most} jobs accepted, {len(ended)} ended, {len(storm.kills)} blows, seed {storm.seed}", "start"
        ),
    ]
    step = next(s for s in (10, 20, 30, 60, 120, 300, 600, 1200) if last / s <= 12)
    for seconds in range(0, int(last) + 1, step):
        out += [
            f'<line x1="{x(seconds):.1f}" x2="{x(seconds):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#eee"/>',
            text(x(seconds), HEIGHT - BOTTOM + 18, f"{seconds} s"),
        ]
    for part in range(5):
        out.append(text(LEFT - 8, y(most * part / 4) + 4, f"{most * part // 4}", "end"))
    for kill in storm.kills:
        at = x(kill.at - storm.begun)
        out.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{COLOURS[kill.what]}" '
            f'stroke-width="1.4" opacity="0.75"><title>{kill.what} at {kill.at - storm.begun:.1f} s</title></line>'
        )
    out += [curve(accepted, "#111", 2.2), curve(ended, "#1a9850", 2.2)]
    counts = Counter(kill.what for kill in storm.kills)
    keys = [("accepted", "#111", 3.0), ("ended", "#1a9850", 3.0)]
    keys += [(f"{what} ({counts[what]})", colour, 2.0) for what, colour in COLOURS.items()]
    for number, (said, colour, width) in enumerate(keys):
        px, py = LEFT + 185 * (number % 5), HEIGHT - 40 + 22 * (number // 5)
        out += [_key(px, py, colour, width), text(px + 28, py + 4, said, "start")]
    return "\n".join([*out, "</svg>", ""])


def _key(px: float, py: float, colour: str, width: float) -> str:
    return f'<line x1="{px:.1f}" x2="{px + 22:.1f}" y1="{py}" y2="{py}" stroke="{colour}" stroke-width="{width}"/>'

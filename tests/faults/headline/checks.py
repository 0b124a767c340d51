"""What must hold after a storm, each as one line that is true or says what is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.faults.headline.storm import TAG, Storm

TERMINAL = {"succeeded", "partial", "failed", "cancelled"}
MOST_ATTEMPTS = 3


@dataclass(frozen=True)
class Check:
    name: str
    found: str
    wrong: list[str]

    @property
    def holds(self) -> bool:
        return not self.wrong


def all_of(storm: Storm) -> list[Check]:
    accepted = {one.job for one in storm.accepted}
    history = storm.history
    in_ledger = {job for job in history.created if history.tags.get(job) == TAG}
    return [
        _check(
            "every job that was accepted is in the ledger, and no other",
            f"{len(accepted)} accepted, {len(in_ledger)} in the ledger",
            [f"{job} only with {'us' if job in accepted else 'the ledger'}" for job in accepted ^ in_ledger],
        ),
        _check(
            "every accepted job reached one terminal state, written once",
            f"{len(accepted)} accepted, {sum(1 for j in accepted if history.ends[j])} ended",
            [f"{job}: {history.ends[job]}" for job in accepted if len(history.ends[job]) != 1],
        ),
        _check(
            "what the gateway tells is what was written",
            f"{len(storm.views)} views",
            [
                f"{job}: {view['state']} told, {history.ends[job]} written"
                for job, view in storm.views.items()
                if [view["state"]] != [state for _, state in history.ends[job]] or view["state"] not in TERMINAL
            ],
        ),
        _recorded_once(storm),
        _texts(storm),
        _failures(storm),
        _check(
            "a request repeated with its Idempotency-Key is answered with the same job",
            f"{sum(1 for one in storm.sent if one.same_again is not None)} repeated",
            [one.job for one in storm.sent if one.same_again is False],
        ),
        _check(
            "what is no document was refused, all else accepted",
            f"{dict(sorted(Counter(one.status for one in storm.sent).items()))}",
            [
                f"{one.paper.number} {one.paper.kind}: {one.status}"
                for one in storm.sent
                if (one.paper.kind == "no document") != (one.status == 415) or (one.status != 415 and not one.job)
            ],
        ),
        _check(
            "no unit was tried more often than allowed",
            f"most: {max((len(c) for c in history.claims.values()), default=0)}",
            [f"{unit}: {len(c)}" for unit, c in history.claims.items() if len(c) > MOST_ATTEMPTS],
        ),
    ]


def _check(name: str, found: str, wrong: list[str]) -> Check:
    return Check(name, found, sorted(wrong)[:20])


def _recorded_once(storm: Storm) -> Check:
    history = storm.history
    runs: dict[str, int] = {}
    for one in storm.accepted:
        if storm.views[one.job]["state"] == "succeeded":
            runs[history.runs[one.job]] = one.paper.pages
    wrong = [
        f"{run}:{page} recorded {history.recorded[f'{run}:{page}']} times"
        for run, pages in runs.items()
        for page in range(1, pages + 1)
        if history.recorded[f"{run}:{page}"] != 1
    ]
    wrong += [f"{page} recorded {times} times" for page, times in history.recorded.items() if times != 1]
    return _check(
        "every page of every succeeded job was recorded once, no page twice",
        f"{sum(history.recorded.values())} records of {len(history.recorded)} pages",
        sorted(set(wrong)),
    )


def _texts(storm: Storm) -> Check:
    wrong = []
    for one in storm.accepted:
        if one.job in storm.texts and storm.texts[one.job] != storm.calm[one.paper.number][2]:
            wrong.append(f"{one.job}: {storm.texts[one.job]!r}, in peace {storm.calm[one.paper.number][2]!r}")
    texts = Counter(text for _, _, text in storm.calm.values() if text)
    wrong += [f"{times} papers read the same: {text!r}" for text, times in texts.items() if times > 1]
    return _check(
        "texts are those of an undisturbed reading, and no two papers read alike",
        f"{len(storm.texts)} texts, {len(texts)} different",
        wrong,
    )


def _failures(storm: Storm) -> Check:
    """Good papers succeed, unless they were cancelled, or their process was killed each time; bad ones fail for their own reason."""
    wrong, killed = [], 0
    for one in storm.accepted:
        view = storm.views[one.job]
        state, code = view["state"], (view.get("error") or {}).get("code", "")
        if state == "cancelled" and one.cancel in (202, 409):
            continue
        if code == "worker_lost" and view["attempt"] >= MOST_ATTEMPTS:
            killed += 1
        elif (state, code) != storm.calm[one.paper.number][:2]:
            wrong.append(f"{one.job} ({one.paper.kind}): {state} {code}, in peace {storm.calm[one.paper.number][:2]}")
    states = Counter(view["state"] for view in storm.views.values())
    return _check(
        "a job ends as it does in peace (or cancelled as asked; or lost, its process killed three times)",
        f"{dict(states)}; lost to three kills: {killed}",
        wrong,
    )

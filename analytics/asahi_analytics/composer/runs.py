"""Which parts of a window are certified by recorded totals, and which are not.

A run is an unbroken row of rule evaluations. Within one, any two moments differ by exactly what was counted
between them. ``since`` certifies where a run began, ``snapshot`` how far it has come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final

from asahi_analytics.composer.rounds import Asking, of_name
from asahi_analytics.errors import PrometheusAnswerInvalid
from asahi_analytics.promql import NAME, NAMES, duration
from asahi_analytics.tiles import BACKFILLED, PART, SINCE, SNAPSHOT

MAX_RUNS: Final = 50
"""Runs looked for in one window; what lies before them is summed from raw samples."""


@dataclass(frozen=True)
class Run:
    """``metric`` was kept without a break from ``since``; when asked about, it had come to ``snapshot``.

    ``backfilled``: that snapshot was not taken by the rules, but made later from raw samples.
    """

    metric: str
    since: float
    snapshot: float
    backfilled: bool = False


@dataclass(frozen=True)
class Piece:
    """A part of a window, in seconds since 1970, and the run that certifies it (``None``: raw samples)."""

    start: float
    end: float
    run: Run | None


Look = Callable[[float, float], Asking[Run | None]]
"""Asks for the run that was going on at a time, looking back for so many seconds."""


def moment(seconds: float) -> datetime:
    """Return a time from seconds since 1970, to the millisecond."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)


def look_in(metric: str) -> Look:
    """Return a function that finds the run of ``metric`` at a time."""

    def look(at: float, back: float) -> Asking[Run | None]:
        range_text = duration(timedelta(seconds=max(1.0, round(back, 3))))
        parts = f'{{{NAMES},{PART}=~"{SINCE}|{SNAPSHOT}|{BACKFILLED}"}}[{range_text}]'
        template = f"max by ({NAME}, {PART}) (last_over_time({parts}))"
        answer = yield from of_name(template, metric, moment(at))
        found = {sample.labels.get(PART): sample.value for sample in answer.samples}
        if SINCE not in found or SNAPSHOT not in found:
            return None
        if not (isfinite(found[SINCE]) and isfinite(found[SNAPSHOT])):
            told = f"{metric} tells of a run from {found[SINCE]:g} to {found[SNAPSHOT]:g}"
            raise PrometheusAnswerInvalid(
                f"{told}, which are no two moments; are these the rules' own samples?"
            )
        # A run that follows an interruption begins only some time after its first snapshots.
        return Run(metric, found[SINCE], found[SNAPSHOT], found.get(BACKFILLED) == found[SNAPSHOT])

    return look


def pieces(start: float, end: float, look: Look, usual_back: float, rejoin: float) -> Asking[list[Piece]]:
    """Cut ``start``-``end`` into certified and uncertified pieces, in order of time.

    ``usual_back`` is how far back a run that is still going on may have been recorded last, ``rejoin`` how long
    after its first evaluation a run that follows an interruption begins.
    """
    found: list[Piece] = []
    right = end
    for _ in range(MAX_RUNS):
        run = yield from _run_at(right, start, look, usual_back, rejoin)
        certified = start if run is None else min(right, run.snapshot)
        begun = start if run is None else max(start, run.since)
        found += [Piece(begun, certified, run), Piece(certified, right, None)][::-1]
        right = begun
        if right <= start:
            break
    found.append(Piece(start, right, None))
    return [piece for piece in reversed(found) if piece.end > piece.start]


def _run_at(at: float, start: float, look: Look, usual_back: float, rejoin: float) -> Asking[Run | None]:
    """The run that was going on at ``at``, or else the last one before it that reaches into the window."""
    run, before = (yield from look(at, usual_back)), at
    if run is not None and run.since < at:
        return replace(run, snapshot=at)
    while before > start:
        if run is not None and run.since - rejoin >= before:  # no run begins after it was going on
            return None
        before = before if run is None else run.since - rejoin
        if before <= start:
            return None
        found = yield from look(before, max(usual_back, before - start))
        if found is None or found.snapshot <= start:
            return None
        if found.since < found.snapshot:
            return found
        run = found
    return None

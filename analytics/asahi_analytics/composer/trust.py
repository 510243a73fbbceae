"""How completely a window was scraped, and how many of its requests had no price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from asahi_analytics.composer.presence import scraped_bins, scraped_seconds, spans_of
from asahi_analytics.composer.rounds import Asking, together, value
from asahi_analytics.composer.runs import Piece, look_in, moment, pieces
from asahi_analytics.composer.values import Gap, joined
from asahi_analytics.promql import duration
from asahi_analytics.replies import label_of
from asahi_analytics.tiles import PART, RESTARTS, SCRAPED, SCRAPES_STATE, RuleParameters
from asahi_analytics.windows import Window

MAX_STEPS: Final = 1500
"""How finely gaps are looked for in samples: a window is cut into no more bins than this."""
MAX_BINS: Final = 10_000
"""The same in what was recorded: every minute of a week, every five of a month."""


@dataclass(frozen=True)
class Coverage:
    """``scraped``: seconds of the window in which an exporter was scraped; ``None`` when there is no sign of any."""

    scraped: float | None
    resets: int | None
    gaps: tuple[Gap, ...]


def coverage(rules: RuleParameters, window: Window) -> Asking[Coverage]:
    """Find how completely ``window`` was scraped."""
    look = look_in(SCRAPES_STATE)
    start, end = window.start.timestamp(), window.end.timestamp()
    interval = rules.interval.total_seconds()
    plan = pieces(start, end, look, rules.state_lookback.total_seconds(), interval)
    edges = (
        _recorded(at, rules) for at in (start, end)
    )  # what one run, as most windows lie in, is asked next
    askings: list[Asking[Any]] = [plan, *edges]
    found: list[Piece] = (yield from together(askings))[0]
    parts = yield from together([_of_piece(piece, rules) for piece in found])
    known = [part.scraped for part in parts if part.scraped is not None]
    resets = [part.resets for part in parts if part.resets is not None]
    gaps = tuple(gap for part in parts for gap in part.gaps)
    return Coverage(sum(known) if any(known) else None, sum(resets) if resets else None, joined(gaps))


def _of_piece(piece: Piece, rules: RuleParameters) -> Asking[Coverage]:
    interval = rules.interval.total_seconds()
    if piece.run is None:
        return (yield from _from_bins(piece, rules))
    before, after = yield from together([_recorded(at, rules) for at in (piece.start, piece.end)])
    length = piece.end - piece.start
    seconds = after.get(SCRAPED, 0.0) - before.get(SCRAPED, 0.0)
    resets = round(after.get(RESTARTS, 0.0) - before.get(RESTARTS, 0.0))
    if seconds >= length - 2.5 * interval:
        return Coverage(length, resets, ())
    gaps = yield from _recorded_gaps(piece, rules)
    return Coverage(max(0.0, min(length, seconds)), resets, gaps)


def _recorded(at: float, rules: RuleParameters) -> Asking[dict[str, float]]:
    """Find what a run that was going on at ``at`` had recorded last: in an interruption that is from before it."""
    back = duration(rules.state_lookback)
    selector = f'{SCRAPES_STATE}{{{PART}=~"{SCRAPED}|{RESTARTS}"}}[{back}]'
    answer = yield from value(f"max by ({PART}) (last_over_time({selector}))", moment(at))
    return {label_of(sample.labels, PART): sample.value for sample in answer.samples}


def _recorded_gaps(piece: Piece, rules: RuleParameters) -> Asking[tuple[Gap, ...]]:
    """Find when the recorded seconds fell behind by an evaluation or more.

    The bins lie on multiples of their length, so that the same gap is found from every window of about this length.
    """
    interval = rules.interval.total_seconds()
    step = float(max(interval, np.ceil((piece.end - piece.start) / MAX_BINS / interval) * interval))
    ends = np.arange(np.ceil(piece.start / step) + 1, np.floor(piece.end / step) + 1) * step
    if not ends.size:
        return ()
    known, seconds = yield from scraped_seconds(rules, ends, step)
    spans = spans_of(known & (seconds <= step - interval))
    return tuple(Gap(start=moment(ends[first] - step), end=moment(ends[last - 1])) for first, last in spans)


def _from_bins(piece: Piece, rules: RuleParameters) -> Asking[Coverage]:
    """Find the same bin by bin: in which bins of the piece anything was scraped."""
    interval, length = rules.interval.total_seconds(), piece.end - piece.start
    step = max(interval, np.ceil(length / MAX_STEPS / interval) * interval)
    count = max(1, int(length // step))
    ends = piece.end - step * np.arange(count - 1, -1, -1)
    present = yield from scraped_bins(rules, ends, float(step))
    if not present.any():
        return Coverage(0.0, None, (Gap(start=moment(piece.start), end=moment(piece.end)),))
    gaps = tuple(
        Gap(start=moment(ends[first] - step if first else piece.start), end=moment(ends[last - 1]))
        for first, last in spans_of(~present)
    )
    return Coverage(length * float(present.mean()), None, gaps)

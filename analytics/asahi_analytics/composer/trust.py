"""How completely a window was scraped, and how many of its requests had no price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.composer.listener import Client
from asahi_analytics.composer.runs import Piece, look_in, moment, pieces
from asahi_analytics.composer.values import Gap
from asahi_analytics.prometheus import Floats
from asahi_analytics.promql import duration
from asahi_analytics.tiles import PART, RESTARTS, SCRAPE_SIGNS, SCRAPED, SCRAPES_STATE, RuleParameters
from asahi_analytics.windows import Window

MAX_STEPS: Final = 1500
"""How finely gaps are looked for: a window is cut into no more bins than this."""


@dataclass(frozen=True)
class Coverage:
    """``scraped``: seconds of the window in which an exporter was scraped; ``None`` when there is no sign of any."""

    scraped: float | None
    resets: int | None
    gaps: tuple[Gap, ...]


def coverage(client: Client, rules: RuleParameters, window: Window) -> Coverage:
    """Return how completely ``window`` was scraped."""
    look = look_in(client, SCRAPES_STATE)
    start, end = window.start.timestamp(), window.end.timestamp()
    interval = rules.interval.total_seconds()
    found = pieces(start, end, look, rules.state_lookback.total_seconds(), interval)
    parts = [_of_piece(client, piece, interval) for piece in found]
    known = [part.scraped for part in parts if part.scraped is not None]
    resets = [part.resets for part in parts if part.resets is not None]
    gaps = tuple(gap for part in parts for gap in part.gaps)
    return Coverage(sum(known) if any(known) else None, sum(resets) if resets else None, _merged(gaps))


def _of_piece(client: Client, piece: Piece, interval: float) -> Coverage:
    if piece.run is None:
        return _from_samples(client, piece, interval)
    before, after = (_recorded(client, at, interval) for at in (piece.start, piece.end))
    length = piece.end - piece.start
    seconds = after.get(SCRAPED, 0.0) - before.get(SCRAPED, 0.0)
    resets = round(after.get(RESTARTS, 0.0) - before.get(RESTARTS, 0.0))
    if seconds >= length - 2.5 * interval:
        return Coverage(length, resets, ())
    return replace(_from_samples(client, piece, interval), resets=resets)


def _recorded(client: Client, at: float, interval: float) -> dict[str, float]:
    back = duration(timedelta(seconds=20 * interval))
    selector = f'{SCRAPES_STATE}{{{PART}=~"{SCRAPED}|{RESTARTS}"}}[{back}]'
    answer = client.query(f"max by ({PART}) (last_over_time({selector}))", moment(at))
    return {sample.labels[PART]: sample.value for sample in answer.samples}


def _from_samples(client: Client, piece: Piece, interval: float) -> Coverage:
    """The same from samples of the exporters: which bins of the piece hold any."""
    length = piece.end - piece.start
    step = max(interval, np.ceil(length / MAX_STEPS / interval) * interval)
    count = max(1, int(length // step))
    ends = piece.end - step * np.arange(count - 1, -1, -1)
    present = scraped_at(client, ends, step)
    if not present.any():
        return Coverage(0.0, None, (Gap(start=moment(piece.start), end=moment(piece.end)),))
    gaps = tuple(Gap(start=moment(end - step), end=moment(end)) for end in ends[~present])
    return Coverage(length * float(present.mean()), None, _merged(gaps))


def scraped_at(client: Client, ends: Floats, step: float) -> npt.NDArray[np.bool_]:
    """Return which of the bins of ``step`` seconds that end at ``ends`` hold a sample of an exporter."""
    back = duration(timedelta(seconds=float(step)))
    signs = " or ".join(f"count(last_over_time({name}[{back}]))" for name in SCRAPE_SIGNS)
    answer = client.query_range(signs, moment(ends[0]), moment(ends[-1]), timedelta(seconds=float(step)))
    present = np.zeros(ends.shape, dtype=bool)
    for series in answer.series:
        present[np.clip(np.rint((series.times - ends[0]) / step).astype(int), 0, ends.size - 1)] = True
    return present


def _merged(gaps: Sequence[Gap]) -> tuple[Gap, ...]:
    """Join gaps that touch."""
    joined: list[Gap] = []
    for gap in gaps:
        if joined and joined[-1].end >= gap.start:
            joined[-1] = Gap(start=joined[-1].start, end=gap.end)
        else:
            joined.append(gap)
    return tuple(joined)

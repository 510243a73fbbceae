"""In which bins of time any exporter was scraped: from the recorded seconds, and from samples where there are none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.composer.rounds import Asking, together, values
from asahi_analytics.composer.runs import moment
from asahi_analytics.promql import duration
from asahi_analytics.replies import Floats, label_of
from asahi_analytics.tiles import PART, SCRAPE_SIGNS, SCRAPED, SCRAPES_STATE, SNAPSHOT, RuleParameters

Bools = npt.NDArray[np.bool_]
LOOKBACK: Final = 20
"""Evaluations that may be missed before what was recorded last no longer counts as known."""


def scraped_bins(rules: RuleParameters, ends: Floats, step: float) -> Asking[Bools]:
    """Find which of the bins of ``step`` seconds that end at ``ends`` hold a sample of an exporter."""
    known, seconds = yield from scraped_seconds(rules, ends, step)
    present = seconds > 0
    spans = list(spans_of(~known))
    found = yield from together([_from_samples(ends[first:last], step) for first, last in spans])
    for (first, last), told in zip(spans, found, strict=True):
        present[first:last] = told
    return present


def scraped_seconds(rules: RuleParameters, ends: Floats, step: float) -> Asking[tuple[Bools, Floats]]:
    """Find which bins the recorded seconds tell of, and by how much they grew in each.

    A bin is read when the evaluation of its end is sure to have been; near now, where that is still to come, and
    around interruptions nothing is told.
    """
    interval = rules.interval.total_seconds()
    after = rules.settle.total_seconds() + interval - 0.001
    edges = np.concatenate([ends[:1] - step, ends])
    back = duration(timedelta(seconds=LOOKBACK * interval))
    promql = f'last_over_time({SCRAPES_STATE}{{{PART}=~"{SCRAPED}|{SNAPSHOT}"}}[{back}])'
    start, end = moment(edges[0] + after), moment(edges[-1] + after)
    answer = yield from values(promql, start, end, timedelta(seconds=step))
    found = {part: np.full(edges.size, np.nan) for part in (SCRAPED, SNAPSHOT)}
    for series in answer.series:
        places = np.rint((series.times - edges[0] - after) / step).astype(np.intp)
        of_part = found[label_of(series.labels, PART)]
        of_part[places] = np.fmax(of_part[places], series.values)
    counted = found[SNAPSHOT] > edges - interval
    grown = np.diff(found[SCRAPED])
    return counted[1:] & counted[:-1] & (grown >= 0), grown


def _from_samples(ends: Floats, step: float) -> Asking[Bools]:
    back = duration(timedelta(seconds=float(step)))
    signs = " or ".join(f"count(last_over_time({name}[{back}]))" for name in SCRAPE_SIGNS)
    answer = yield from values(signs, moment(ends[0]), moment(ends[-1]), timedelta(seconds=float(step)))
    present = np.zeros(ends.shape, dtype=bool)
    for series in answer.series:
        present[np.clip(np.rint((series.times - ends[0]) / step).astype(int), 0, ends.size - 1)] = True
    return present


def spans_of(chosen: Bools) -> Iterable[tuple[int, int]]:
    """Yield (first, one past the last) of each row of ``chosen`` bins."""
    turns = np.diff(np.concatenate([[False], chosen, [False]]).astype(int))
    return zip(np.flatnonzero(turns == 1).tolist(), np.flatnonzero(turns == -1).tolist(), strict=True)

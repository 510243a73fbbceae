"""Latencies in bins of ten minutes, as rules record them: what judging latency reads instead of hundreds of buckets.

``asahi:latency_ms:bins`` holds, for the ten minutes that end at a snapshot, by the label ``part``:

``latency``       the quantile in ms, by model; NaN where nothing was observed
``count``         how many observations it is made of, by model
``all_latency``   the same of every model together
``all_count``     the same of every model together
``snapshot``      the end of the bin, ``before``: its start, ``since``: the beginning of the run that both belong to

The label ``quantile`` says which one. A bin is known when its start and end are those of its grid and lie in one run;
what is not recorded is worked out from the buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from asahi_alerts import thresholds
from asahi_analytics.levels import BOUND, TEN_MINUTES
from asahi_analytics.promql import MILLISECOND, at_grid, by_clause, duration, matcher
from asahi_analytics.rule_text import grids_text
from asahi_analytics.tiles import PART, RUNNING, SINCE, SNAPSHOT, RuleParameters, part, state_metric
from asahi_exporter.conventions import FAMILIES, LATENCY_MS_BUCKETS, MODEL

METRIC: Final = "asahi:latency_ms:bins"
FAMILY: Final = FAMILIES["latency_ms_bucket"]
GRID: Final = TEN_MINUTES
QUANTILE: Final = "quantile"
LATENCY, COUNT, ALL_LATENCY, ALL_COUNT, BEFORE = "latency", "count", "all_latency", "all_count", "before"
EVERYTHING: Final = "+Inf"


def le_text(bound: float) -> str:
    """Return a bucket bound as exporters write it: ``1.0``, ``1.26``."""
    return repr(float(bound))


BUCKETS: Final = (*(le_text(bound) for bound in LATENCY_MS_BUCKETS[::2]), EVERYTHING)
"""Every second bound is enough to judge by, and halves what is read."""


@dataclass(frozen=True)
class LatencyBins:
    """The bins of one ``quantile``, 0-1."""

    quantile: float
    rules: RuleParameters

    @property
    def kept(self) -> bool:
        """Whether the rules record them: snapshots must lie on the grid."""
        return not GRID % self.rules.state_interval

    @property
    def after(self) -> timedelta:
        """How long after the end of a bin it is sure to be there, and no later one: read ``GRID`` back from then."""
        return self.rules.stored + GRID - MILLISECOND

    @property
    def selector(self) -> str:
        """Return in PromQL what was recorded last."""
        recorded = f'{METRIC}{{{QUANTILE}="{self.quantile:g}"}}[{duration(GRID)}]'
        return f"last_over_time({recorded})"

    def expression(self) -> str:
        """Return the recording rule: what was added since the snapshot before, and its quantile."""
        buckets, observations = matcher(BOUND, BUCKETS), matcher(BOUND, (EVERYTHING,))
        ends, begins = self._held(f'{PART}=~"{SINCE}|{SNAPSHOT}"'), self._held(f'{PART}="{SNAPSHOT}"', GRID)
        terms = (
            part(LATENCY, f"histogram_quantile({self.quantile:g}, {self._added((MODEL, BOUND), buckets)})"),
            part(COUNT, self._added((MODEL,), observations)),
            part(ALL_LATENCY, f"histogram_quantile({self.quantile:g}, {self._added((BOUND,), buckets)})"),
            part(ALL_COUNT, self._added((), observations)),
            f"max {by_clause((PART,))} ({ends})",
            part(BEFORE, f"max {by_clause(())} ({begins})"),
        )
        recorded = at_grid(" or ".join(terms), GRID, self.rules.stored)
        return f'label_replace({recorded}, "{QUANTILE}", "{self.quantile:g}", "", "")'

    def _added(self, by: Sequence[str], matching: str) -> str:
        """What was added between the two snapshots; a series that was not there at the first counts from zero."""
        totals = f'{PART}="{RUNNING}",{matching}'
        now, then = (
            f"sum {by_clause(by)} ({held})" for held in (self._held(totals), self._held(totals, GRID))
        )
        return f"({now} - ({then} or 0 * {now}))"

    def _held(self, matching: str, ago: timedelta = timedelta(0)) -> str:
        """What the state held of the snapshot that was taken so long ago."""
        kept = self.rules.kept - MILLISECOND
        offset = duration(ago - kept) if ago > kept else f"-{duration(kept - ago)}"
        return f"last_over_time({state_metric(FAMILY)}{{{matching}}}[{duration(kept)}] offset {offset})"


def rule_files(rules: RuleParameters | None = None, quantile: float | None = None) -> dict[str, str]:
    """Return the text of each rule file by its name; without ``quantile`` of the one that is shipped as judged."""
    judged = thresholds.load().latency_spike.quantile if quantile is None else quantile
    bins = LatencyBins(judged, rules or RuleParameters())
    recorded = [(GRID, METRIC, bins.expression())] if bins.kept else []
    return {"asahi_latency.yml": grids_text("asahi_latency", recorded)}

"""The running totals of a history that was written afterwards, when no rules could have run over it.

With them the service answers from totals at once, and the rules of a live Prometheus go on without a break.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

import numpy as np

from asahi_analytics.backfill import CounterSamples, recorded_history, recorded_scrapes
from asahi_analytics.history import HistorySeries, Milliseconds
from asahi_analytics.tiles import RuleParameters, is_histogram
from asahi_exporter.conventions import FAMILIES, STORE_CREATED, Family

NEAR: Final = timedelta(days=1)
"""How far back from the end the totals are as frequent as those of live rules."""
RECENT: Final = timedelta(days=4)
"""How far back instant queries of the shipped alerts look for them, five minutes apart."""
RECENT_STEP: Final = timedelta(minutes=5)
JUDGED: Final = timedelta(days=15)
"""How far back anomalies are judged by, in bins of ten minutes whose edges lie on these totals."""
JUDGED_STEP: Final = timedelta(minutes=10)
OLD_STEP: Final = timedelta(hours=1)


def snapshots(family: Family, times_ms: Milliseconds, rules: RuleParameters) -> Milliseconds:
    """Return the moments to keep totals for: multiples of a step, from the first of ``times_ms`` to the last.

    The older, the further apart; any moment between two is reached over raw samples. Histograms, of which there are
    many series, are hourly up to the last four days, of which latency is judged.
    """
    first, last = int(times_ms[0]), int(times_ms[-1])
    near, recent = max(first, last - _ms(NEAR)), max(first, last - _ms(RECENT))
    steps = [_multiples(first, near, _ms(OLD_STEP)), _multiples(near, last, _ms(rules.state_interval))]
    if is_histogram(family):
        steps.append(_multiples(recent, near, _ms(JUDGED_STEP)))
    else:
        judged = max(first, last - _ms(JUDGED))
        steps += [_multiples(judged, recent, _ms(JUDGED_STEP)), _multiples(recent, near, _ms(RECENT_STEP))]
    return np.unique(np.concatenate(steps))


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _multiples(first: int, last: int, step: int) -> Milliseconds:
    return np.arange(-(-first // step) * step, last + 1, step, dtype=np.int64)


def totals_of(raw: Sequence[HistorySeries], rules: RuleParameters | None = None) -> Iterator[HistorySeries]:
    """Yield the totals of every family, from ``raw``, the scraped series of one exporter.

    A family without series counted nothing, which is recorded too: unrecorded, it would have to be looked for in raw
    samples. Series of other names are passed over; a history too short for two snapshots has no totals.
    """
    rules = rules or RuleParameters()
    by_name: dict[str, list[HistorySeries]] = {}
    for series in raw:
        if series.times_ms.size:
            by_name.setdefault(series.name, []).append(series)
    memories = by_name.get(STORE_CREATED.name, [])
    created = [float(one.values[-1]) for one in memories]
    for family in FAMILIES.values():
        counters = by_name.get(family.source, [])
        if scraped := counters or memories:
            moments = snapshots(family, max((one.times_ms for one in scraped), key=len), rules)
            if moments.size >= 2:
                yield from recorded_history(family, _samples(counters, created), moments, rules)
    yield from recorded_scrapes([one.times_ms for one in memories], rules)


def _samples(counters: Sequence[HistorySeries], created: Sequence[float]) -> Iterator[CounterSamples]:
    for one in counters:
        yield CounterSamples(one.labels, one.times_ms, one.values, created[-1] if created else None)

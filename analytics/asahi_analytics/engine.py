"""Answers to questions about money, traffic, caches and latency, from the composer's exact sums.

The engine chooses what to ask and does the last arithmetic; the composer does every sum. Windows end at the
engine's own ``now()``, which moves in steps of ``cache.recent_ttl_seconds`` so that equal questions asked
within one step are equal queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd

from asahi_analytics.baseline import at_list_prices, splits
from asahi_analytics.cache_answer import cache_performance
from asahi_analytics.composer import Ask, Asking, Composer, Listener, SeriesAsk, Sums, together
from asahi_analytics.errors import UserInputError
from asahi_analytics.figures import Key, divided, finite, percent
from asahi_analytics.models import (
    GROUPINGS,
    BaselineComparison,
    CachePerformance,
    CostBreakdown,
    CostDriver,
    CostDrivers,
    GroupBy,
    LatencyPercentiles,
    Percentiles,
    Point,
    Trend,
)
from asahi_analytics.prices import PriceBook, price_book
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.quantiles import histogram_quantiles
from asahi_analytics.repricing import Compared
from asahi_analytics.settings import Settings
from asahi_analytics.trends import METRICS, values_of
from asahi_analytics.trusts import merged
from asahi_analytics.windows import MAX_WINDOW, Period, Window, trailing
from asahi_exporter import conventions as names


@dataclass(frozen=True)
class Grouping:
    """Which label, and which families, answer for one ``group_by``."""

    label: str
    requests: str
    cost: str
    baseline: str
    corrections: str | None


def _by_request(label: str) -> Grouping:
    return Grouping(label, "requests", "cost_dollars", "baseline_dollars", "corrections_dollars")


GROUPS: Final[Mapping[GroupBy, Grouping]] = {
    "model": _by_request(names.MODEL),
    "task_type": _by_request(names.TASK_TYPE),
    "tier": _by_request(names.CACHE_TIER),
    "user": Grouping(names.USER, "user_requests", "user_cost_dollars", "user_baseline_dollars", None),
}
DRIVER_LABELS: Final = (names.MODEL, names.TASK_TYPE, names.CACHE_TIER)
QUANTILES: Final = (0.5, 0.75, 0.9, 0.95, 0.99)
MAX_INTERVALS: Final = 1000
MAX_DRIVERS: Final = 1000
MAX_NAMED: Final = 400
"""Characters of label values that a query names one by one; of more, every one is asked for."""


def utc_now() -> datetime:
    """Return the time as it is, in UTC."""
    return datetime.now(UTC)


def stepped(clock: Callable[[], datetime], step_seconds: float) -> Callable[[], datetime]:
    """Return a clock that stands still for ``step_seconds`` at a time, so that equal questions are equal."""
    if step_seconds <= 0:
        return clock

    def now() -> datetime:
        seconds = clock().timestamp()
        return datetime.fromtimestamp(seconds - seconds % step_seconds, UTC)

    return now


class AnalyticsEngine:
    """Answers from one Prometheus; every method raises a ``PrometheusError`` when it gives none.

    ``composer``, ``settings``, ``clock`` and ``prices`` may be replaced; a window is trailing by ``period`` unless
    one is given. Names are sorted by dollars, largest first, then by name.
    """

    def __init__(
        self,
        client: PrometheusClient,
        *,
        composer: Composer | None = None,
        settings: Settings | None = None,
        clock: Callable[[], datetime] = utc_now,
        prices: PriceBook | None = None,
    ) -> None:
        """Ask nothing yet; raise ``UserInputError`` when the price file of the settings cannot be used."""
        self.client = client
        self.settings = settings or Settings()
        self.prices = prices or price_book(self.settings.price_file, self.settings.genai_prices_provider)
        self.composer = composer or Composer(client)
        self.clock = clock

    def window(self, period: Period, window: Window | None = None) -> Window:
        """Return ``window``, or else the trailing one that ends now."""
        return window or trailing(period, self.clock())

    def cost_breakdown(
        self, period: Period = "day", group_by: GroupBy = "model", window: Window | None = None
    ) -> CostBreakdown:
        """Return dollars by ``group_by``; they add up to ``total_cost``."""
        group, span = _grouping(group_by), self.window(period, window)
        asks = [
            Ask(group.cost, (group.label,), span),
            Ask("savings_dollars", (), span),
            Ask("requests", (), span),
            *([Ask(group.corrections, (), span)] if group.corrections else []),
            *([Ask("unpriced_requests", (names.MODEL,), span)] if group_by == "model" else []),
        ]
        sums = self.composer.totals(asks)
        breakdown = _ranked(sums[0])
        cost, requests = math.fsum(breakdown.values()), _total(sums[2])
        corrections = _total(sums[3]) if group.corrections else None
        return CostBreakdown(
            start=span.start,
            end=span.end,
            trust=merged([each.trust for each in sums]),
            group_by=group_by,
            total_cost=cost,
            breakdown=breakdown,
            corrections=corrections,
            net_cost=None if corrections is None else cost - corrections,
            savings=_total(sums[1]),
            requests=requests,
            cost_per_request=divided(cost, requests),
            unpriced_requests=_ranked(sums[4]) if group_by == "model" else None,
        )

    def trend(
        self, metric: str = "cost", period: Period = "day", intervals: int = 30, end: datetime | None = None
    ) -> Trend:
        """Return ``metric`` in ``intervals`` bins of one ``period`` each; the last one ends at ``end``, or now."""
        if metric not in METRICS:
            raise UserInputError(f"metric must be one of {', '.join(METRICS)}; got {metric[:80]!r}", "metric")
        last = trailing(period, end or self.clock())
        most = min(MAX_INTERVALS, MAX_WINDOW // last.length)
        if not 1 <= intervals <= most:
            raise UserInputError(f"intervals must be 1 to {most} of a {period}; got {intervals}", "intervals")
        span = Window(last.end - intervals * last.length, last.end)
        definition = METRICS[metric]
        asks = [SeriesAsk(family, by, span, step=last.length) for family, by in definition.sources]
        series = self.composer.all_series(asks)
        values = values_of(definition, series, last.length)
        starts = [span.start + number * last.length for number in range(intervals)]
        return Trend(
            start=span.start,
            end=span.end,
            trust=merged([each.trust for each in series]),
            metric=metric,
            unit=definition.unit,
            interval_seconds=last.seconds,
            points=[
                Point(timestamp=start, value=finite(value))
                for start, value in zip(starts, values, strict=True)
            ],
        )

    def compare_to_baseline(
        self,
        period: Period = "day",
        group_by: GroupBy | None = None,
        window: Window | None = None,
        baseline_model: str | None = None,
    ) -> BaselineComparison:
        """Return cost and savings against the baseline; they add up to it, as a whole and by ``group_by``.

        The baseline is the one that was recorded with each request, against the configured model; with
        ``baseline_model`` it is what the counted tokens would have cost on that model at its dated list prices.
        """
        group, span = _grouping(group_by or "model"), self.window(period, window)
        if baseline_model is not None:
            return at_list_prices(
                self.composer, self.prices, baseline_model, span, group_by=group_by, label=group.label
            )
        cost, baseline, phases, unpriced = self.composer.totals(
            [
                Ask(group.cost, (group.label,), span),
                Ask(group.baseline, (group.label,), span),
                Ask("savings_dollars", (names.PHASE,), span),
                Ask("unpriced_tokens", (), span),
            ]
        )
        parts = splits(Compared(_ranked(cost), _ranked(baseline)))
        by_phase = _ranked(phases)
        spent, saved = math.fsum(each.cost for each in parts.values()), math.fsum(by_phase.values())
        cached = math.fsum(value for phase, value in by_phase.items() if phase.startswith("cache"))
        return BaselineComparison(
            start=span.start,
            end=span.end,
            trust=merged([cost.trust, baseline.trust, phases.trust]),
            baseline_model=self.settings.baseline_model,
            basis="recorded",
            baseline_cost=spent + saved,
            actual_cost=spent,
            savings=saved,
            savings_pct=percent(saved, spent + saved),
            cache_contribution_pct=percent(cached, saved),
            savings_by_phase=by_phase,
            unpriced_tokens=_total(unpriced),
            unpriced_cost=0.0,
            group_by=group_by,
            breakdown=parts if group_by else {},
        )

    def top_cost_drivers(
        self, limit: int = 10, period: Period = "day", window: Window | None = None
    ) -> CostDrivers:
        """Return the ``limit`` dearest label sets and users, with their change against the window before."""
        if not 1 <= limit <= MAX_DRIVERS:
            raise UserInputError(f"limit must be 1 to {MAX_DRIVERS}; got {limit}", "limit")
        span = self.window(period, window)
        return self.composer.answer(lambda client: self._find_drivers(limit, span, client))

    def _find_drivers(self, limit: int, span: Window, client: Listener) -> Asking[CostDrivers]:
        """Find all label sets, of which there are few, and all users; then what else is told of the dearest users."""
        user, before = (names.USER,), span.previous
        of_users = [Ask("user_requests", user, span), Ask("user_cost_dollars", user, before, trusted=False)]
        asks = [
            Ask("cost_dollars", DRIVER_LABELS, span),
            Ask("user_cost_dollars", user, span),
            Ask("requests", DRIVER_LABELS, span),
            Ask("cost_dollars", DRIVER_LABELS, before, trusted=False),
        ]
        first: list[Asking[Any]] = [self.composer.summing(asks, client), self.composer.certifying(of_users)]
        (cost, users_cost, requests, previous), plans = yield from together(first)
        dearest, users = (_dearest(sums, limit) for sums in (cost, users_cost))
        named = _among(user, users)
        user_requests, user_previous = yield from self.composer.summing(
            [replace(ask, where=named) for ask in of_users], client, plans
        )
        return CostDrivers(
            start=span.start,
            end=span.end,
            trust=merged([cost.trust, users_cost.trust, requests.trust, user_requests.trust]),
            total_cost=_total(cost),
            previous_cost=_total(previous),
            drivers=_drivers(DRIVER_LABELS, dearest, _total(cost), requests, previous),
            users=_drivers(user, users, _total(users_cost), user_requests, user_previous),
        )

    def cache_performance(self, period: Period = "day", window: Window | None = None) -> CachePerformance:
        """Return hits, misses, look-up time, dollars and time saved and marginal value of each tier, and the whole.

        ``cache_value`` states the counterfactual of the marginal values.
        """
        span = self.window(period, window)
        tier, request, timed = (names.TIER,), DRIVER_LABELS, (names.MODEL, names.CACHE_TIER)
        asks = {
            "hits": Ask("cache_hits", tier, span),
            "misses": Ask("cache_misses", tier, span),
            "lookup_ms": Ask("cache_lookup_latency_ms_sum", tier, span),
            "timed_lookups": Ask("cache_lookup_latency_ms_count", tier, span),
            "cost": Ask("cost_dollars", request, span),
            "baseline": Ask("baseline_dollars", request, span),
            "requests": Ask("requests", request, span),
            "unpriced_requests": Ask("unpriced_requests", (names.MODEL,), span),
            "latency_ms": Ask("latency_ms_sum", timed, span),
            "timed": Ask("latency_ms_count", timed, span),
            "tokens": Ask("tokens", (), span),
        }
        sums = dict(zip(asks, self.composer.totals(list(asks.values())), strict=True))
        return cache_performance(span, sums)

    def latency_percentiles(self, period: Period = "day", window: Window | None = None) -> LatencyPercentiles:
        """Return latency percentiles of all requests and by model, from the histogram's buckets."""
        span = self.window(period, window)
        sums = self.composer.total("latency_ms_bucket", (names.MODEL, "le"), span)
        table = _buckets(sums.values)
        return LatencyPercentiles(
            start=span.start,
            end=span.end,
            trust=sums.trust,
            by_model={str(model): _percentiles(table.loc[[model]]) for model in table.index},
            **_percentiles(table.sum(axis=0).to_frame().T).model_dump(),
        )


def _grouping(group_by: str) -> Grouping:
    for name, grouping in GROUPS.items():
        if name == group_by:
            return grouping
    raise UserInputError(f"group_by must be one of {', '.join(GROUPINGS)}; got {group_by[:80]!r}", "group_by")


def _ranked(sums: Sums) -> dict[str, float]:
    """The finite values by the name that their one label has, largest first."""
    return {name: value for (name,), value in _dearest(sums)}


def _total(sums: Sums) -> float:
    return math.fsum(filter(math.isfinite, sums.amounts.values()))


def _dearest(sums: Sums, limit: int | None = None) -> list[tuple[Key, float]]:
    """The finite values by label set, largest first, of which ``limit`` are enough."""
    pairs = [pair for pair in sums.amounts.items() if math.isfinite(pair[1])]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:limit]


def _among(labels: Sequence[str], chosen: Sequence[tuple[Key, float]]) -> dict[str, list[str]] | None:
    """What lets the ``chosen`` through and few others; nothing when there are none or they are long to name."""
    named = {label: sorted({key[number] for key, _ in chosen}) for number, label in enumerate(labels)}
    length = sum(len(value) for each in named.values() for value in each)
    return named if 0 < length <= MAX_NAMED else None


def _drivers(
    labels: Sequence[str],
    dearest: Sequence[tuple[Key, float]],
    total: float,
    requests: Sums,
    previous: Sums,
) -> list[CostDriver]:
    return [
        _driver(
            labels,
            key,
            cost=value,
            total=total,
            requests=requests.amounts.get(key, 0.0),
            before=previous.amounts.get(key, 0.0),
        )
        for key, value in dearest
    ]


def _driver(
    labels: Sequence[str], key: Key, *, cost: float, total: float, requests: float, before: float
) -> CostDriver:
    return CostDriver(
        name=" / ".join(key),
        labels=dict(zip(labels, key, strict=True)),
        cost=cost,
        share=divided(cost, total),
        requests=requests,
        cost_per_request=divided(cost, requests),
        previous_cost=before,
        change=cost - before,
        change_pct=percent(cost - before, before),
    )


def _buckets(values: pd.Series[float]) -> pd.DataFrame:
    """Cumulative counts with models as rows and bounds as columns."""
    if values.empty:
        return pd.DataFrame(dtype=np.float64)
    return values.unstack("le").astype(np.float64).fillna(0.0)


def _percentiles(row: pd.DataFrame) -> Percentiles:
    """Percentiles of one row of cumulative buckets."""
    found = histogram_quantiles(row, QUANTILES)[0] if len(row.columns) else [math.nan] * len(QUANTILES)
    p50, p75, p90, p95, p99 = (finite(value) for value in found)
    requests = float(row.max(axis=1).iloc[0]) if len(row.columns) else 0.0
    return Percentiles(p50=p50, p75=p75, p90=p90, p95=p95, p99=p99, requests=requests)

"""Every metric, label and bucket name, once.

The exporter, the recording and alerting rules, the dashboards and the queries all read this module, so a
name that is not here does not exist. Units stand in the names: dollars, milliseconds (``_ms``), ratios 0-1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

MetricKind = Literal["counter", "gauge", "histogram"]

# Labels -------------------------------------------------------------------------------------------------
MODEL: Final = "model"
TASK_TYPE: Final = "task_type"
CACHE_TIER: Final = "cache_tier"
TIER: Final = "tier"
USER: Final = "user"
PHASE: Final = "phase"
DIRECTION: Final = "direction"
ERROR_TYPE: Final = "error_type"
COMPONENT: Final = "component"
MODE: Final = "mode"
SIZE_CLASS: Final = "size_class"
OUTCOME: Final = "outcome"
REASON: Final = "reason"
LABEL: Final = "label"
BUDGET: Final = "budget"
LEVEL: Final = "level"  # share of a budget, on the alert that it is spent
BOUND: Final = "bound"
RESULT: Final = "result"
STORE: Final = "store"
"""Identity of a state directory, on every series of an exporter that has one; absent without."""

# Label values that mean something ---------------------------------------------------------------------------
CACHE_TIERS: Final = ("1", "2", "3")
NO_CACHE: Final = "none"
"""``cache_tier`` of a request that no cache answered."""
OTHER: Final = "other"
"""Where label values beyond the limit of their label are counted, so that totals stay exact."""
UNKNOWN: Final = "unknown"
"""A label value that the caller left out."""
INPUT: Final = "input"
OUTPUT: Final = "output"
DEFAULT_PHASES: Final = ("cache", "routing", "batching", "tokens")
"""Savings phases whose series an exporter creates at start unless told otherwise."""
BATCH_SIZE_CLASSES: Final = ("1", "2-4", "5-8", "9-16", "17-32", "33-64", "65+")


def geometric(first: float, last: float, per_decade: int) -> tuple[float, ...]:
    """Bucket bounds from ``first`` to at least ``last``, ``per_decade`` of them for each factor of ten."""
    bounds = [first]
    while bounds[-1] < last * (1 - 1e-9):
        bounds.append(first * 10 ** (len(bounds) / per_decade))
    return tuple(float(f"{bound:.4g}") for bound in bounds)


# Bucket bounds: benchmarks/buckets.py shows the error of a percentile read from them and their series count.
LATENCY_MS_BUCKETS: Final = geometric(1.0, 60_000.0, 11)
LOOKUP_LATENCY_MS_BUCKETS: Final = geometric(0.1, 1_000.0, 4)
TOKEN_BUCKETS: Final = geometric(1.0, 2_000_000.0, 11)
BATCH_SIZE_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


@dataclass(frozen=True)
class Metric:
    """One metric family as the exporter serves it.

    ``name`` is the sample name of a counter or gauge (counters end in ``_total``) and the base name of a
    histogram, whose samples add ``_bucket``, ``_sum`` and ``_count``.
    """

    name: str
    kind: MetricKind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


_REQUEST: Final = (MODEL, TASK_TYPE, CACHE_TIER)

REQUESTS: Final = Metric("asahi_requests_total", "counter", _REQUEST, "Inference requests answered.")
COST: Final = Metric("asahi_cost_dollars_total", "counter", _REQUEST, "Dollars spent on inference.")
BASELINE: Final = Metric(
    "asahi_baseline_dollars_total",
    "counter",
    _REQUEST,
    "Dollars the same requests would have cost without optimisation: cost plus savings.",
)
TOKENS: Final = Metric("asahi_tokens_total", "counter", (*_REQUEST, DIRECTION), "Tokens processed.")
SAVINGS: Final = Metric(
    "asahi_savings_dollars_total", "counter", (PHASE,), "Dollars saved, by optimisation phase."
)
CORRECTIONS: Final = Metric(
    "asahi_cost_corrections_dollars_total",
    "counter",
    _REQUEST,
    "Dollars credited back after they were counted as cost; cost itself never goes down.",
)
WASTED_COST: Final = Metric(
    "asahi_wasted_cost_dollars_total",
    "counter",
    (MODEL, TASK_TYPE, OUTCOME),
    "Dollars spent on requests that failed or were retried; part of the cost.",
)
USER_REQUESTS: Final = Metric("asahi_user_requests_total", "counter", (USER,), "Requests, by user.")
USER_COST: Final = Metric("asahi_user_cost_dollars_total", "counter", (USER,), "Dollars spent, by user.")
USER_BASELINE: Final = Metric(
    "asahi_user_baseline_dollars_total", "counter", (USER,), "Cost plus savings in dollars, by user."
)
USER_TOKENS: Final = Metric("asahi_user_tokens_total", "counter", (USER, DIRECTION), "Tokens, by user.")
UNPRICED_REQUESTS: Final = Metric(
    "asahi_unpriced_requests_total", "counter", (MODEL,), "Requests whose cost was not known."
)
UNPRICED_TOKENS: Final = Metric(
    "asahi_unpriced_tokens_total",
    "counter",
    (MODEL, DIRECTION),
    "Tokens of requests whose cost was not known.",
)
LATENCY: Final = Metric(
    "asahi_latency_ms",
    "histogram",
    (MODEL, CACHE_TIER),
    "Time to answer a request in milliseconds.",
    LATENCY_MS_BUCKETS,
)
CACHE_HITS: Final = Metric("asahi_cache_hits_total", "counter", (TIER,), "Cache look-ups that hit.")
CACHE_MISSES: Final = Metric("asahi_cache_misses_total", "counter", (TIER,), "Cache look-ups that missed.")
CACHE_LOOKUP_LATENCY: Final = Metric(
    "asahi_cache_lookup_latency_ms",
    "histogram",
    (TIER,),
    "Time of a cache look-up in milliseconds.",
    LOOKUP_LATENCY_MS_BUCKETS,
)
CACHE_HIT_RATE: Final = Metric(
    "asahi_cache_hit_rate", "gauge", (TIER,), "Share of look-ups that hit in the rolling window, 0-1."
)
TOKEN_COUNT: Final = Metric(
    "asahi_token_count", "histogram", (DIRECTION,), "Tokens of a request.", TOKEN_BUCKETS
)
TOKENS_SQUARED: Final = Metric(
    "asahi_tokens_squared_total",
    "counter",
    (TASK_TYPE, DIRECTION),
    "Sum of the squared tokens of requests: with requests and tokens it gives their variance over any window.",
)
QUALITY_SCORE: Final = Metric(
    "asahi_quality_score", "gauge", (MODEL,), "Mean quality score in the rolling window, in points."
)
QUALITY_POINTS: Final = Metric(
    "asahi_quality_points_total", "counter", (MODEL, TASK_TYPE), "Sum of the quality scores given."
)
QUALITY_SAMPLES: Final = Metric(
    "asahi_quality_samples_total", "counter", (MODEL, TASK_TYPE), "Requests that were given a quality score."
)
ERRORS: Final = Metric("asahi_errors_total", "counter", (ERROR_TYPE, COMPONENT), "Errors.")
ROUTING_DECISIONS: Final = Metric(
    "asahi_routing_decisions_total", "counter", (MODE, MODEL), "Routing decisions taken."
)
ROUTING_LATENCY: Final = Metric(
    "asahi_routing_latency_ms",
    "histogram",
    (MODE,),
    "Time of a routing decision in milliseconds.",
    LOOKUP_LATENCY_MS_BUCKETS,
)
BATCH_SIZE: Final = Metric("asahi_batch_size", "histogram", (), "Requests in a batch.", BATCH_SIZE_BUCKETS)
BATCHES: Final = Metric("asahi_batches_total", "counter", (SIZE_CLASS,), "Batches, by size class.")
BATCH_SAVINGS_POINTS: Final = Metric(
    "asahi_batch_savings_points_total",
    "counter",
    (SIZE_CLASS,),
    "Sum of the savings of batches in percentage points; divided by the batches it is their mean saving.",
)
LABEL_OVERFLOW: Final = Metric(
    "asahi_label_overflow_total",
    "counter",
    (LABEL,),
    "Label values counted as 'other': the limit was reached.",
)
REFUSED: Final = Metric(
    "asahi_refused_records_total", "counter", (REASON,), "Records refused because they were not valid."
)
STORE_CREATED: Final = Metric(
    "asahi_store_created_timestamp_seconds",
    "gauge",
    (),
    "When the memory that holds these counters was created, in seconds since 1970.",
)

STATE_WRITE_FAILURES: Final = Metric(
    "asahi_state_write_failures_total",
    "counter",
    (),
    "Series that could not be placed in the state directory (disk full) and live in memory only.",
)
STATE_DAMAGED_FILES: Final = Metric(
    "asahi_state_damaged_files", "gauge", (), "Files of the state directory that cannot be read in full."
)
STATE_FILES: Final = Metric(
    "asahi_state_files", "gauge", (), "Files of the state directory that a scrape reads."
)

METRICS: Final[tuple[Metric, ...]] = (
    REQUESTS,
    COST,
    BASELINE,
    TOKENS,
    SAVINGS,
    CORRECTIONS,
    WASTED_COST,
    USER_REQUESTS,
    USER_COST,
    USER_BASELINE,
    USER_TOKENS,
    UNPRICED_REQUESTS,
    UNPRICED_TOKENS,
    LATENCY,
    CACHE_HITS,
    CACHE_MISSES,
    CACHE_LOOKUP_LATENCY,
    CACHE_HIT_RATE,
    TOKEN_COUNT,
    TOKENS_SQUARED,
    QUALITY_SCORE,
    QUALITY_POINTS,
    QUALITY_SAMPLES,
    ERRORS,
    ROUTING_DECISIONS,
    ROUTING_LATENCY,
    BATCH_SIZE,
    BATCHES,
    BATCH_SAVINGS_POINTS,
    LABEL_OVERFLOW,
    REFUSED,
    STORE_CREATED,
    STATE_WRITE_FAILURES,
    STATE_DAMAGED_FILES,
    STATE_FILES,
)

BY_NAME: Final[Mapping[str, Metric]] = {metric.name: metric for metric in METRICS}


def batch_size_class(batch_size: int) -> str:
    """Return the size class that a batch of ``batch_size`` requests belongs to."""
    for size_class in BATCH_SIZE_CLASSES[:-1]:
        if batch_size <= int(size_class.rpartition("-")[2]):
            return size_class
    return BATCH_SIZE_CLASSES[-1]


# Tiles: what the recording rules keep of each counter ---------------------------------------------------------
@dataclass(frozen=True)
class Family:
    """A counter whose sums the analytics service answers for, or that alerts or dashboards read.

    ``name`` is used in the recording rules' names (``asahi:<name>:<operation>``), ``source`` is the counter as
    scraped, ``labels`` are what the sums keep (the identity of the process or store is summed away).
    """

    name: str
    source: str
    labels: tuple[str, ...]

    @property
    def running(self) -> str:
        """Name of the running total, as dashboards and alerts read it."""
        return f"asahi:{self.name}:running"


def _counter(name: str, metric: Metric) -> Family:
    return Family(name, metric.name, metric.labels)


def _histogram(name: str, metric: Metric, *suffixes: str) -> Iterator[Family]:
    for suffix in suffixes:
        bound = ("le",) if suffix == "bucket" else ()
        yield Family(f"{name}_{suffix}", f"{metric.name}_{suffix}", (*metric.labels, *bound))


FAMILIES: Final[Mapping[str, Family]] = {
    family.name: family
    for family in (
        _counter("requests", REQUESTS),
        _counter("cost_dollars", COST),
        _counter("baseline_dollars", BASELINE),
        _counter("tokens", TOKENS),
        _counter("tokens_squared", TOKENS_SQUARED),
        _counter("savings_dollars", SAVINGS),
        _counter("corrections_dollars", CORRECTIONS),
        _counter("wasted_cost_dollars", WASTED_COST),
        _counter("user_requests", USER_REQUESTS),
        _counter("user_cost_dollars", USER_COST),
        _counter("user_baseline_dollars", USER_BASELINE),
        _counter("user_tokens", USER_TOKENS),
        _counter("unpriced_requests", UNPRICED_REQUESTS),
        _counter("unpriced_tokens", UNPRICED_TOKENS),
        _counter("cache_hits", CACHE_HITS),
        _counter("cache_misses", CACHE_MISSES),
        _counter("quality_points", QUALITY_POINTS),
        _counter("quality_samples", QUALITY_SAMPLES),
        _counter("errors", ERRORS),
        _counter("label_overflow", LABEL_OVERFLOW),
        _counter("refused_records", REFUSED),
        _counter("routing_decisions", ROUTING_DECISIONS),
        _counter("batches", BATCHES),
        _counter("batch_savings_points", BATCH_SAVINGS_POINTS),
        *_histogram("latency_ms", LATENCY, "bucket", "sum", "count"),
        *_histogram("token_count", TOKEN_COUNT, "bucket"),
        *_histogram("cache_lookup_latency_ms", CACHE_LOOKUP_LATENCY, "sum", "count"),
    )
}


# What the analytics service serves on its own /metrics, for rules and dashboards; the exporter does not have them -----
WHOLE_BUDGET: Final = "total"
"""``budget`` of the budget over all traffic; the others carry the names that the budget file gives them."""
FORECAST_BOUNDS: Final = ("low", "mean", "high")

BUDGET_DOLLARS: Final = Metric(
    "asahi_budget_dollars", "gauge", (BUDGET,), "Dollars allowed this calendar month."
)
BUDGET_SPENT: Final = Metric(
    "asahi_budget_spent_dollars", "gauge", (BUDGET,), "Dollars spent so far this calendar month."
)
BUDGET_PLANNED: Final = Metric(
    "asahi_budget_planned_dollars",
    "gauge",
    (BUDGET,),
    "Dollars that an even pace would have spent by now this calendar month.",
)
BUDGET_LEVEL: Final = Metric(
    "asahi_budget_level_reached_ratio",
    "gauge",
    (BUDGET,),
    "Highest early-warning level of the budget that is spent, as a share of the budget; 0 when none is.",
)
BUDGET_FORECAST: Final = Metric(
    "asahi_budget_forecast_dollars",
    "gauge",
    (BUDGET, BOUND),
    "Dollars expected to be spent by the end of this calendar month: spent so far plus the forecast of the rest.",
)
BUDGET_OVERRUN_PROBABILITY: Final = Metric(
    "asahi_budget_overrun_probability",
    "gauge",
    (BUDGET,),
    "Probability of spending more than the budget this calendar month, 0-1.",
)
BUDGET_EXHAUSTION: Final = Metric(
    "asahi_budget_exhaustion_timestamp_seconds",
    "gauge",
    (BUDGET,),
    "When the budget is expected to run out, in seconds since 1970; absent when it lasts the month.",
)
FORECAST_COST: Final = Metric(
    "asahi_forecast_cost_dollars",
    "gauge",
    (BOUND,),
    "Dollars expected to be spent in the coming 30 days.",
)
NOTIFIER_ALERTS: Final = Metric(
    "asahi_notifier_alerts_total",
    "counter",
    (RESULT,),
    "Alerts that the service handed to Alertmanager (sent, resolved) or could not (failed, dropped).",
)
NOTIFIER_ATTEMPTS: Final = Metric(
    "asahi_notifier_attempts_total", "counter", (RESULT,), "Posts to Alertmanager, by outcome (ok, failed)."
)
NOTIFIER_LAST_SUCCESS: Final = Metric(
    "asahi_notifier_last_success_timestamp_seconds",
    "gauge",
    (),
    "When Alertmanager last took what the service had for it, in seconds since 1970.",
)
SERVICE_METRICS: Final[tuple[Metric, ...]] = (
    BUDGET_DOLLARS,
    BUDGET_SPENT,
    BUDGET_PLANNED,
    BUDGET_LEVEL,
    BUDGET_FORECAST,
    BUDGET_OVERRUN_PROBABILITY,
    BUDGET_EXHAUSTION,
    FORECAST_COST,
    NOTIFIER_ALERTS,
    NOTIFIER_ATTEMPTS,
    NOTIFIER_LAST_SUCCESS,
)

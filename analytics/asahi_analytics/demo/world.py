"""The made-up company whose traffic the demo shows: who asks what of which model, and what goes wrong when.

Everything here is data; ``demo/intensity.py`` turns it into rates over time, ``demo/past.py`` into a history and
``demo/present.py`` into live requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

BASELINE_MODEL: Final = "gpt-4"
"""What every request would have gone to without optimisation."""
REQUESTS_PER_SECOND: Final = 6.0
"""On average over a week, today."""
GROWTH_PER_DAY: Final = 0.006
SHAPES: Final = 12
"""Sizes of request that each task type has; the history and the live traffic draw from the same."""


@dataclass(frozen=True)
class DemoModel:
    """A model: median and spread (sigma of the logarithm) of its latency, and the quality it is scored."""

    name: str
    latency_ms: float
    latency_sigma: float
    quality: float


@dataclass(frozen=True)
class DemoTask:
    """A task type.

    ``share`` of all requests; median tokens in and out with the spread of their logarithms; the share of look-ups
    that hit in each cache tier; the share of its uncached requests that each model answers; whether it is batched;
    the share of input tokens that token optimisation removes.
    """

    name: str
    share: float
    input_tokens: float
    output_tokens: float
    sigma: float
    hit_ratios: tuple[float, float, float]
    models: Mapping[str, float]
    batched: bool
    trimmed: float


@dataclass(frozen=True)
class Incident:
    """Something that goes wrong for a while, ``ago`` before the end of the history.

    ``factor`` multiplies what ``kind`` says: the requests of user ``target``, the latency of model ``target``, the hit
    ratio of tier ``target``, or the rate of error type ``target``.
    """

    kind: Literal["user", "latency", "cache", "errors"]
    target: str
    factor: float
    ago: timedelta
    lasts: timedelta


@dataclass(frozen=True)
class Outage:
    """A time without scrapes, ``ago`` before the end of the history."""

    ago: timedelta
    lasts: timedelta


MODELS: Final = (
    DemoModel("gpt-4o", 1_400.0, 0.55, 4.6),
    DemoModel("gpt-4o-mini", 620.0, 0.50, 4.1),
    DemoModel("claude-sonnet-4", 1_900.0, 0.50, 4.7),
    DemoModel("claude-3-5-haiku", 800.0, 0.50, 4.2),
    DemoModel("house-llama-70b", 950.0, 0.60, 3.9),
)
"""The last one runs on the company's own machines and has no price."""

TASKS: Final = (
    DemoTask(
        "chat",
        0.40,
        620.0,
        240.0,
        0.7,
        (0.16, 0.14, 0.06),
        {"gpt-4o": 0.35, "gpt-4o-mini": 0.45, "claude-3-5-haiku": 0.20},
        batched=False,
        trimmed=0.08,
    ),
    DemoTask(
        "code",
        0.15,
        1_900.0,
        520.0,
        0.8,
        (0.05, 0.06, 0.03),
        {"claude-sonnet-4": 0.60, "gpt-4o": 0.40},
        batched=False,
        trimmed=0.15,
    ),
    DemoTask(
        "summarize",
        0.15,
        3_200.0,
        260.0,
        0.6,
        (0.22, 0.12, 0.08),
        {"gpt-4o-mini": 0.55, "claude-3-5-haiku": 0.45},
        batched=True,
        trimmed=0.22,
    ),
    DemoTask(
        "extract",
        0.18,
        1_100.0,
        120.0,
        0.5,
        (0.30, 0.18, 0.10),
        {"gpt-4o-mini": 0.60, "house-llama-70b": 0.40},
        batched=True,
        trimmed=0.10,
    ),
    DemoTask(
        "classify",
        0.12,
        380.0,
        12.0,
        0.4,
        (0.42, 0.20, 0.12),
        {"gpt-4o-mini": 0.70, "house-llama-70b": 0.30},
        batched=True,
        trimmed=0.05,
    ),
)

USERS: Final = (
    *("team-atlas", "team-basalt", "team-cedar", "team-delta", "team-ember"),
    *("team-fjord", "team-garnet", "team-harbor", "team-iris", "team-juniper"),
    *("team-krill", "team-lumen", "team-maple", "team-nectar", "team-onyx"),
    *("team-pollen", "team-quartz", "team-river", "team-saffron", "team-tundra"),
    *("team-umber", "team-velvet", "team-willow", "team-xenon", "team-yarrow"),
    *("team-zephyr", "team-amber", "team-birch", "team-coral", "team-dune"),
    *("team-elm", "team-fern", "team-grove", "team-heron", "team-inlet"),
    *("team-jade", "team-kelp", "team-lotus", "team-moss", "team-nova"),
)

TIER_LATENCY_MS: Final[Mapping[str, tuple[float, float]]] = {
    "1": (2.0, 0.4),
    "2": (18.0, 0.5),
    "3": (55.0, 0.5),
}
"""Median and spread of the time to answer from each tier."""
LOOKUP_MS: Final[Mapping[str, tuple[float, float]]] = {"1": (0.8, 0.4), "2": (9.0, 0.5), "3": (30.0, 0.5)}
"""Median and spread of the time of a look-up, hit or miss."""
ROUTING_MODES: Final[Mapping[str, float]] = {"cost": 0.62, "quality": 0.22, "latency": 0.13, "fallback": 0.03}
ROUTING_MS: Final = (1.4, 0.5)
ERROR_RATES: Final[Mapping[tuple[str, str], float]] = {
    ("timeout", "router"): 0.0012,
    ("rate_limited", "provider"): 0.0018,
    ("server_error", "provider"): 0.0009,
    ("invalid_request", "gateway"): 0.0006,
    ("lookup_failed", "cache"): 0.0003,
}
"""Errors per request, by type and component."""
WASTED_SHARE: Final[Mapping[str, float]] = {"error": 0.003, "retry": 0.008}
SCORED_SHARE: Final = 0.25
QUALITY_SPREAD: Final = 0.35
BATCH_SIZES: Final[Mapping[int, float]] = {
    1: 0.08,
    2: 0.14,
    4: 0.22,
    8: 0.26,
    12: 0.14,
    24: 0.10,
    48: 0.05,
    96: 0.01,
}
BATCH_DISCOUNT: Final = 0.18
"""Share of the model's price that batching saves on a batched task, on average."""
CREDITS_PER_DAY: Final = 1.5
CREDIT_DOLLARS: Final = 4.0
REFUSALS_PER_DAY: Final = 3.0

INCIDENTS: Final = (
    Incident("user", "team-quartz", 9.0, timedelta(days=22, hours=5), timedelta(hours=3)),
    Incident("errors", "server_error", 30.0, timedelta(days=17, hours=11), timedelta(minutes=50)),
    Incident("latency", "claude-sonnet-4", 3.0, timedelta(days=12, hours=8), timedelta(hours=2)),
    Incident("cache", "1", 0.35, timedelta(days=8, hours=3), timedelta(hours=4)),
    Incident("errors", "rate_limited", 25.0, timedelta(hours=28), timedelta(minutes=40)),
    Incident("latency", "gpt-4o", 3.5, timedelta(hours=10), timedelta(hours=1, minutes=30)),
    Incident("user", "team-atlas", 14.0, timedelta(hours=5), timedelta(hours=1, minutes=30)),
    Incident("cache", "2", 0.25, timedelta(minutes=100), timedelta(hours=4)),
)
"""The last one is still going on when the demo starts."""
OUTAGES: Final = (
    Outage(timedelta(days=19, hours=7), timedelta(minutes=2)),
    Outage(timedelta(days=13, hours=2), timedelta(minutes=25)),
    Outage(timedelta(days=6, hours=9), timedelta(minutes=2)),
    Outage(timedelta(hours=31), timedelta(minutes=3)),
)
"""The exporter was restarted (a few minutes), Prometheus was down (longer)."""

"""Sums of any family, by any of its labels, over any window, each with its trust."""

from asahi_analytics.composer.composer import Composer
from asahi_analytics.composer.latencies import Latencies
from asahi_analytics.composer.listener import Listener
from asahi_analytics.composer.rounds import Asking, together
from asahi_analytics.composer.values import (
    FROM_RAW,
    SEE_GAPS,
    SOURCE_SEPARATOR,
    Ask,
    Gap,
    SeriesAsk,
    Sums,
    SumSeries,
    Trust,
    joined,
    unpriced_ratio,
)
from asahi_analytics.tiles import RuleParameters

__all__ = [
    "FROM_RAW",
    "SEE_GAPS",
    "SOURCE_SEPARATOR",
    "Ask",
    "Asking",
    "Composer",
    "Gap",
    "Latencies",
    "Listener",
    "RuleParameters",
    "SeriesAsk",
    "SumSeries",
    "Sums",
    "Trust",
    "joined",
    "together",
    "unpriced_ratio",
]

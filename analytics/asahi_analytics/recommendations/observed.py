"""The traffic that advice is computed on: four weeks of days, asked from the composer once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pandas as pd

from asahi_analytics.composer.values import SeriesAsk
from asahi_analytics.windows import Window
from asahi_exporter import conventions as names

if TYPE_CHECKING:
    from datetime import datetime

    from asahi_analytics.composer import Composer

WINDOW_DAYS: Final = 28
DAY: Final = timedelta(days=1)

LE: Final = "le"
_REQUEST: Final = (names.MODEL, names.TASK_TYPE, names.CACHE_TIER)
ASKED: Final[dict[str, tuple[str, ...]]] = {
    "requests": _REQUEST,
    "cost_dollars": _REQUEST,
    "unpriced_requests": (names.MODEL,),
    "tokens": (*_REQUEST, names.DIRECTION),
    "tokens_squared": (names.TASK_TYPE, names.DIRECTION),
    "token_count_bucket": (names.DIRECTION, LE),
    "quality_points": (names.MODEL, names.TASK_TYPE),
    "quality_samples": (names.MODEL, names.TASK_TYPE),
    "cache_hits": (names.TIER,),
    "cache_misses": (names.TIER,),
    "cache_lookup_latency_ms_sum": (names.TIER,),
    "latency_ms_sum": (names.MODEL, names.CACHE_TIER),
    "latency_ms_count": (names.MODEL, names.CACHE_TIER),
    "wasted_cost_dollars": (names.MODEL, names.TASK_TYPE, names.OUTCOME),
    "savings_dollars": (names.PHASE,),
    "batches": (names.SIZE_CLASS,),
    "batch_savings_points": (names.SIZE_CLASS,),
    "user_cost_dollars": (names.USER,),
}


@dataclass(frozen=True)
class Observed:
    """Daily sums by family: ``frames[family]`` has a row per day (start of the day's bin) and a column per label set.

    Days in which nothing was scraped are left out of every frame, so that they do not count as days without
    traffic. A label set without a value on a scraped day counts 0.
    """

    frames: dict[str, pd.DataFrame]
    warnings: tuple[str, ...]

    def by(self, family: str, *labels: str) -> pd.DataFrame:
        """Return the daily sums of ``family`` by ``labels``: one column a value, a MultiIndex for several."""
        frame = self.frames[family]
        if frame.columns.empty:
            return frame
        return frame.T.groupby(level=list(labels), sort=True).sum().T

    def total(self, family: str) -> pd.Series:
        """Return the daily sums of ``family`` over every label set."""
        return self.frames[family].sum(axis=1)

    @property
    def days(self) -> int:
        """Days that were scraped."""
        return len(self.frames["requests"])

    @property
    def models(self) -> list[str]:
        """Models that requests were counted under."""
        return [str(name) for name in self.frames["requests"].columns.get_level_values(names.MODEL).unique()]

    @property
    def requests(self) -> float:
        """Requests in the whole window."""
        return float(self.frames["requests"].to_numpy().sum())

    @property
    def cost_dollars(self) -> float:
        """Dollars in the whole window."""
        return float(self.frames["cost_dollars"].to_numpy().sum())


def observe(composer: Composer, now: datetime) -> Observed:
    """Ask for four weeks of days that end at the last full hour before ``now``."""
    end = now.replace(minute=0, second=0, microsecond=0)
    window = Window(end - WINDOW_DAYS * DAY, end)
    asks = [SeriesAsk(family, by, window, step=DAY) for family, by in ASKED.items()]
    answers = dict(zip(ASKED, composer.all_series(asks), strict=True))
    scraped = answers["requests"].frame
    days = scraped.index[scraped.notna().any(axis=1)] if len(scraped.columns) else scraped.index[:0]
    frames = {
        family: _named(answer.frame.reindex(days).fillna(0.0), ASKED[family])
        for family, answer in answers.items()
    }
    warnings = tuple(dict.fromkeys(text for answer in answers.values() for text in answer.trust.warnings))
    return Observed(frames, warnings)


def _named(frame: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame:
    """Return ``frame`` with its column levels named by ``labels``; a frame without columns gets empty levels."""
    if len(labels) == 1:
        return frame.set_axis(pd.Index(frame.columns, name=labels[0], dtype=object), axis=1)
    levels = [[key[level] for key in frame.columns] for level in range(len(labels))]
    return frame.set_axis(pd.MultiIndex.from_arrays(levels, names=list(labels)), axis=1)

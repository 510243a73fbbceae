"""The traffic that advice is computed on: four weeks of days, asked from the composer once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from asahi_analytics.composer.ledger import keys_of
from asahi_analytics.composer.values import SeriesAsk, Trust, unpriced_ratio
from asahi_analytics.figures import Key
from asahi_analytics.recommendations.uncached import Floats, Uncached
from asahi_analytics.trusts import merged
from asahi_analytics.windows import Window
from asahi_exporter import conventions as names

if TYPE_CHECKING:
    from datetime import datetime

    from asahi_analytics.composer import Composer

WINDOW_DAYS: Final = 28
DAY: Final = timedelta(days=1)

RECENT_DAYS: Final = 7
"""What is recent; the days before it are what it is compared with."""
SHARE_JUMP: Final = 0.10
"""Share of the cost, 0-1, that a user or model must have gained to be spoken of."""

ROUNDING: Final = 1e-9

LE: Final = "le"
_REQUEST: Final = (names.MODEL, names.TASK_TYPE, names.CACHE_TIER)


@dataclass(frozen=True)
class Asked:
    """Which sums rules need: ``family`` by the labels ``by``, of each day or of the whole window."""

    family: str
    by: tuple[str, ...]
    daily: bool = True
    where: Mapping[str, Sequence[str]] | None = None

    def over(self, window: Window) -> SeriesAsk:
        """Return what to ask of the composer; rules look at requests without a price themselves."""
        step = DAY if self.daily else window.length
        return SeriesAsk(self.family, self.by, window, self.where, step, priced=False)


def _daily(family: str, *by: str) -> Asked:
    return Asked(family, by)


def _whole(family: str, *by: str) -> Asked:
    return Asked(family, by, daily=False)


ASKED: Final[Mapping[str, Asked]] = {
    "requests": _daily("requests", *_REQUEST),
    "cost_dollars": _daily("cost_dollars", *_REQUEST),
    "uncached_tokens": Asked(
        "tokens",
        (names.MODEL, names.TASK_TYPE, names.DIRECTION),
        where={names.CACHE_TIER: (names.NO_CACHE,)},
    ),
    "cache_hits": _daily("cache_hits", names.TIER),
    "cache_misses": _daily("cache_misses", names.TIER),
    "daily_wasted_cost_dollars": _daily("wasted_cost_dollars"),
    "savings_dollars": _daily("savings_dollars", names.PHASE),
    "wasted_cost_dollars": _whole("wasted_cost_dollars", names.MODEL, names.TASK_TYPE, names.OUTCOME),
    "unpriced_requests": _whole("unpriced_requests", names.MODEL),
    "tokens": _whole("tokens", names.TASK_TYPE, names.DIRECTION),
    "tokens_squared": _whole("tokens_squared", names.TASK_TYPE, names.DIRECTION),
    "token_count_bucket": _whole("token_count_bucket", names.DIRECTION, LE),
    "quality_points": _whole("quality_points", names.MODEL, names.TASK_TYPE),
    "quality_samples": _whole("quality_samples", names.MODEL, names.TASK_TYPE),
    "cache_lookup_latency_ms_sum": _whole("cache_lookup_latency_ms_sum", names.TIER),
    "cache_lookup_latency_ms_count": _whole("cache_lookup_latency_ms_count", names.TIER),
    "latency_ms_sum": _whole("latency_ms_sum", names.MODEL, names.CACHE_TIER),
    "latency_ms_count": _whole("latency_ms_count", names.MODEL, names.CACHE_TIER),
    "batches": _whole("batches", names.SIZE_CLASS),
    "batch_savings_points": _whole("batch_savings_points", names.SIZE_CLASS),
}
"""What is asked, by the name of its frame. Every day of every label set costs Prometheus and the service time, so
days are asked for only where a rule looks at days."""
USERS: Final = _daily("user_cost_dollars", names.USER)
"""Asked of recent days only if need be, and of all only if those tell so: there may be thousands."""


@dataclass(frozen=True)
class Observed:
    """Sums by what was asked: ``frames[name]`` has a column per label set, and a row per day (start of the day's bin).

    What was asked of the whole window has one row. Days in which nothing was scraped are left out of every frame, so
    that they do not count as days without traffic. A label set without a value on a scraped day counts 0. Users are
    all there or none: none where no user took so large a share lately that it can have risen by ``SHARE_JUMP``.
    """

    frames: dict[str, pd.DataFrame]
    trust: Trust = field(default_factory=Trust)
    end: datetime | None = None
    """When the window ends; without it, at the end of the last day."""
    begun: datetime | None = None
    """When scraping began, where it did so within the window."""

    @cached_property
    def uncached(self) -> Uncached:
        """What requests that no cache answered cost and used."""
        return Uncached.of(*(self.frames[name] for name in ("requests", "cost_dollars", "uncached_tokens")))

    @cached_property
    def lookups(self) -> pd.DataFrame:
        """The look-ups of each day by tier: hits and misses."""
        return self.frames["cache_hits"].add(self.frames["cache_misses"], fill_value=0.0)

    def by(self, name: str, label: str) -> pd.DataFrame:
        """Return the sums of each day by ``label``, one of several or the only one: one column a value."""
        if (name, label) not in self._by:
            self._by[name, label] = self._summed_by(name, label)
        return self._by[name, label]

    def sums(self, name: str) -> Mapping[Key, float]:
        """Return the sums of the whole window by label set."""
        if name not in self._sums:
            self._sums[name] = self._summed(name)
        return self._sums[name]

    @cached_property
    def _by(self) -> dict[tuple[str, str], pd.DataFrame]:
        return {}

    @cached_property
    def _sums(self) -> dict[str, Mapping[Key, float]]:
        return {}

    def _summed_by(self, name: str, label: str) -> pd.DataFrame:
        frame = self.frames[name]
        if frame.columns.nlevels == 1:
            return frame
        places, values = pd.factorize(frame.columns.get_level_values(label), sort=True)
        summed = np.zeros((len(values), len(frame)))
        np.add.at(summed, places, frame.to_numpy(dtype=np.float64).T)
        return pd.DataFrame(summed.T, index=frame.index, columns=values)

    def _summed(self, name: str) -> Mapping[Key, float]:
        frame = self.frames[name]
        amounts = frame.to_numpy(dtype=np.float64).sum(axis=0).tolist()
        return dict(zip(keys_of(frame.columns), amounts, strict=True))

    def total(self, family: str) -> pd.Series:
        """Return the daily sums of ``family`` over every label set."""
        return self.frames[family].sum(axis=1)

    @property
    def days(self) -> int:
        """Days that were scraped."""
        return len(self.frames["requests"])

    def of_whole_days(self, daily: pd.Series) -> pd.Series:
        """Return ``daily`` without the day within which scraping began: its hours are not all there.

        Where it is the only day, it stays.
        """
        whole = daily if self.begun is None else daily[daily.index >= pd.Timestamp(self.begun)]
        return whole if len(whole) else daily

    @cached_property
    def recent(self) -> slice:
        """The rows of the last seven days of the window; fewer than seven where some were not scraped."""
        return slice(self._days_before, None)

    @cached_property
    def before(self) -> slice:
        """The rows of the days before those."""
        return slice(None, self._days_before)

    @cached_property
    def _days_before(self) -> int:
        days = self.frames["requests"].index
        end = self.end or days[-1] + DAY
        return int(days.searchsorted(pd.Timestamp(end - RECENT_DAYS * DAY)))

    def unpriced_share(self, model: str) -> float:
        """Return the share, 0-1, of the uncached requests of ``model`` whose cost was not known."""
        requests = self.uncached.requests_by_model().get(model, 0.0)
        return unpriced_ratio(self.sums("unpriced_requests").get((model,), 0.0), requests) or 0.0

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
    window = window_before(now)
    recent = Window(window.end - RECENT_DAYS * DAY, window.end)
    asks = [asked.over(window) for asked in ASKED.values()]
    found, shares = composer.series_and_largest_shares(asks, recent)
    answers = dict(zip(ASKED, found, strict=True))
    scraped = answers["requests"].frame
    days = scraped.index[scraped.notna().any(axis=1)] if len(scraped.columns) else scraped.index[:0]
    of_users, trusts = _users(composer, window, recent, days, shares)
    frames = {
        name: _known(answer.frame, days if ASKED[name].daily else None) for name, answer in answers.items()
    }
    frames[USERS.family] = _known(of_users, days)
    trust = merged([*(answer.trust for answer in found), *trusts])
    begun = next((gap.end for gap in trust.gaps if gap.start <= window.start), None)
    known = trust.model_copy(update={"unpriced_ratio": _unpriced_ratio(frames)})
    return Observed(frames, known, window.end, begun)


def _unpriced_ratio(frames: Mapping[str, pd.DataFrame]) -> float | None:
    """Return the share, 0-1, of all requests whose cost was not known; ``None`` where there were none."""
    unpriced, requests = (float(frames[name].to_numpy().sum()) for name in ("unpriced_requests", "requests"))
    return unpriced_ratio(unpriced, requests)


def window_before(now: datetime) -> Window:
    """Return the four weeks that end at the last full hour before ``now``."""
    end = now.replace(minute=0, second=0, microsecond=0)
    return Window(end - WINDOW_DAYS * DAY, end)


def _users(
    composer: Composer, window: Window, recent: Window, days: pd.Index, shares: Floats
) -> tuple[pd.DataFrame, list[Trust]]:
    """Return what users spent each day, with the trust in it; none of them where no share may have jumped.

    Mostly the largest share of each recent day tells: no user's mean is above theirs.
    """
    if shares.size and float(np.mean(shares)) < SHARE_JUMP - ROUNDING:
        return pd.DataFrame(index=days), []
    # the whole window tells what was scraped of it
    (users,) = composer.all_series([replace(USERS.over(recent), trusted=False)])
    if not _may_have_jumped(users.frame.reindex(days[days >= pd.Timestamp(recent.start)])):
        return users.frame.iloc[:, :0], [users.trust]
    (users,) = composer.all_series([USERS.over(window)])
    return users.frame, [users.trust]


def _known(frame: pd.DataFrame, days: pd.Index | None) -> pd.DataFrame:
    """Return the rows of ``days``, or all, with zero where nothing is known."""
    if days is not None and not frame.index.equals(days):
        frame = frame.reindex(days)
    return frame.fillna(0.0) if np.isnan(frame.to_numpy(np.float64)).any() else frame


def _may_have_jumped(spent: pd.DataFrame) -> bool:
    """Tell whether ``spent``, by user on the last days, lets a share have risen by ``SHARE_JUMP``.

    No share rises by more than it is. Where a day knows of no dollars, the rule looks at others than these: it may.
    """
    amounts = spent.to_numpy(dtype=np.float64)
    total = amounts.sum(axis=1, keepdims=True)
    if len(spent) < RECENT_DAYS or not (total > 0).all():
        return True
    return bool((amounts / total).mean(axis=0).max() >= SHARE_JUMP - ROUNDING)

"""What the composer is asked and what it answers: sums, series of sums, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from asahi_analytics.composer.ledger import Key, series_of
from asahi_analytics.windows import Window

SOURCE_SEPARATOR: Final = ", "
"""What stands between the sources of a trust."""


SEE_GAPS: Final = "nothing was scraped in parts of the window; see gaps"
FROM_RAW: Final = (
    " of the window has no recorded totals and was summed from raw samples; "
    "`asahi-obs rules backfill DATA_DIR` makes them"
)
"""What follows the share that is told of such a window."""
NOTHING_SCRAPED: Final = "nothing was scraped in the window"


class Gap(BaseModel):
    """A time in which nothing was scraped; what happened in it shows at its end."""

    model_config = ConfigDict(frozen=True)

    start: datetime
    end: datetime


class Trust(BaseModel):
    """How far a sum can be trusted; ``None`` where the backend holds nothing that would tell."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    scraped_ratio: float | None = Field(
        None, description="Share of the window's minutes in which an exporter was scraped, 0-1."
    )
    gaps: list[Gap] = Field(default_factory=list, description="Times in which no exporter was scraped.")
    resets: int | None = Field(
        None, description="Restarts that lost an exporter's counters, seen in the window."
    )
    repaired_ratio: float | None = Field(
        None,
        description="Share of the window that was summed from raw samples because recorded totals lack, 0-1.",
    )
    unpriced_ratio: float | None = Field(
        None, description="Share of requests whose cost was not known, 0-1; null where there were none."
    )
    source: str = Field("", description="running totals, backfilled totals, raw samples, or several of them.")
    warnings: list[str] = Field(
        default_factory=list, description="What the backend or the composer has to say."
    )


def unpriced_ratio(unpriced: float, requests: float) -> float | None:
    """Return the share, 0-1, of ``requests`` whose cost was not known; ``None`` where there were none.

    Both are counted by series of their own, so that at the ends of a window more may be unpriced than were requested.
    """
    return min(1.0, unpriced / requests) if requests > 0 else None


def joined(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    """Return ``gaps`` in order of time, those that touch or overlap as one."""
    found: list[Gap] = []
    for gap in sorted(gaps, key=lambda each: each.start):
        if found and found[-1].end >= gap.start:
            found[-1] = Gap(start=found[-1].start, end=max(found[-1].end, gap.end))
        else:
            found.append(gap)
    return tuple(found)


@dataclass(frozen=True)
class Ask:
    """How much of ``family`` by ``by`` in ``window``, of the label sets that ``where`` lets through.

    Without ``trusted`` nobody looks how completely the window was scraped and priced, and the trust does not tell;
    without ``priced`` nobody looks at the prices alone.
    """

    family: str
    by: Sequence[str]
    window: Window
    where: Mapping[str, Sequence[str]] | None = field(default=None)
    trusted: bool = field(default=True, kw_only=True)
    priced: bool = field(default=True, kw_only=True)


@dataclass(frozen=True)
class SeriesAsk(Ask):
    """The same in bins of ``step``; the window must be a whole number of them."""

    step: timedelta = timedelta(days=1)


@dataclass(frozen=True)
class Sums:
    """Amounts by label set, of which each has the values of the labels ``by``."""

    amounts: Mapping[Key, float]
    by: Sequence[str]
    window: Window
    trust: Trust

    @cached_property
    def values(self) -> pd.Series:
        """The amounts by a label's value, a MultiIndex for several labels, ``total`` when there is none."""
        return series_of(self.amounts, self.by)


@dataclass(frozen=True)
class SumSeries:
    """Sums per bin: the index holds the start of each bin, the columns are those of ``Sums.values``.

    NaN: nothing was scraped in the bin; 0.0: it was scraped, and nothing happened.
    """

    frame: pd.DataFrame
    window: Window
    trust: Trust

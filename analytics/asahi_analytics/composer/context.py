"""What surrounds a sum: how completely its window was scraped, and how many of its requests had no price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from asahi_analytics.composer.question import Question
from asahi_analytics.composer.rounds import Asking, together, value
from asahi_analytics.composer.runs import Piece
from asahi_analytics.composer.trust import Coverage, coverage
from asahi_analytics.composer.values import (
    FROM_RAW,
    NOTHING_SCRAPED,
    SEE_GAPS,
    SOURCE_SEPARATOR,
    Ask,
    Trust,
    unpriced_ratio,
)
from asahi_analytics.promql import duration
from asahi_analytics.windows import Window
from asahi_exporter.conventions import UNPRICED_REQUESTS
from asahi_exporter.prose import percent

PRICED: Final = frozenset(
    {
        "cost_dollars",
        "baseline_dollars",
        "savings_dollars",
        "wasted_cost_dollars",
        "user_cost_dollars",
        "user_baseline_dollars",
    }
)
"""Families of dollars, whose sums lack what was not priced."""
SMALLEST_SHARE: Final = 1e-6
"""Share of a window below which what was summed from raw samples is rounding of its ends, and none."""


@dataclass(frozen=True)
class Context:
    """What is true of every sum over one window."""

    window: Window
    coverage: Coverage
    unpriced_ratio: float | None

    @classmethod
    def of(cls, question: Question) -> Asking[Context]:
        """Ask about the window of ``question``."""
        window = question.ask.window
        askings: list[Asking[Any]] = [coverage(question.rules, window)]
        if looks_at_prices(question):
            askings.append(_unpriced(question))
        covered, *ratio = yield from together(askings)
        return cls(window, covered, ratio[0] if ratio and covered.scraped else None)

    def about(self, question: Question) -> Context:
        """Return what of it ``question`` looks at."""
        return self if looks_at_prices(question) else replace(self, unpriced_ratio=None)

    @classmethod
    def unknown(cls, window: Window) -> Context:
        """Return what is said of a window that nobody looked at."""
        return cls(window, Coverage(None, None, ()), None)

    def trust(self, plan: Sequence[Piece], heard: Sequence[str]) -> Trust:
        """Return the trust of a sum that was put together from ``plan``; ``heard``: the backend's warnings."""
        raw = self._raw_share(plan)
        scraped = self.coverage.scraped
        return Trust(
            scraped_ratio=None if scraped is None else min(1.0, scraped / self.window.seconds),
            gaps=list(self.coverage.gaps),
            resets=self.coverage.resets,
            repaired_ratio=min(1.0, raw),
            unpriced_ratio=self.unpriced_ratio,
            source=SOURCE_SEPARATOR.join(dict.fromkeys(_source(piece) for piece in plan)),
            warnings=[*_warnings(self, raw), *heard],
        )

    def _raw_share(self, plan: Sequence[Piece]) -> float:
        seconds = sum(self._scraped_of(piece) for piece in plan if piece.run is None)
        share = seconds / self.window.seconds
        return share if share >= SMALLEST_SHARE else 0.0

    def _scraped_of(self, piece: Piece) -> float:
        """Seconds of ``piece`` that lie in no gap: where nothing was scraped there is nothing to be repaired."""
        gaps = ((gap.start.timestamp(), gap.end.timestamp()) for gap in self.coverage.gaps)
        missing = sum(max(0.0, min(piece.end, end) - max(piece.start, start)) for start, end in gaps)
        return max(0.0, piece.end - piece.start - missing)


def looks_at_prices(question: Question) -> bool:
    """Tell whether the trust in the answer says which requests had no price."""
    return question.ask.priced and question.family.name in PRICED


def _source(piece: Piece) -> str:
    if piece.run is None:
        return "raw samples"
    return "backfilled totals" if piece.run.backfilled else "running totals"


def _warnings(context: Context, raw_ratio: float) -> list[str]:
    if context.coverage.gaps and not context.coverage.scraped:
        return [NOTHING_SCRAPED]
    found = []
    if raw_ratio > 0:
        found.append(f"{percent(raw_ratio)}{FROM_RAW}")
    if context.coverage.gaps:
        found.append(SEE_GAPS)
    return found


def _unpriced(question: Question) -> Asking[float | None]:
    """Find the share of requests whose cost was not known; ``None`` when there were no requests."""
    window = question.ask.window
    both = [Question.of(Ask(name, (), window), question.rules) for name in ("unpriced_requests", "requests")]
    plans = yield from together([each.plan_ahead(each.edges_ahead()) for each in both])
    certified = all(piece.run for plan in plans for piece in plan)
    if not certified and not (yield from _any_unpriced(window)):
        return 0.0
    found = yield from together([each.planned() for each in both])
    unpriced, requests = (sum(amounts.values()) for _, amounts in found)
    return unpriced_ratio(unpriced, requests)


def _any_unpriced(window: Window) -> Asking[bool]:
    """Find whether any request had no price, without summing raw samples of all requests."""
    look = f"count(last_over_time({UNPRICED_REQUESTS.name}[{duration(window.length)}]) > 0)"
    return bool((yield from value(look, window.end)).samples)

"""What surrounds a sum: how completely its window was scraped, and how many of its requests had no price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asahi_analytics.composer.listener import Client
from asahi_analytics.composer.question import Question
from asahi_analytics.composer.runs import Piece
from asahi_analytics.composer.trust import Coverage, coverage
from asahi_analytics.composer.values import Ask, Trust
from asahi_analytics.promql import duration
from asahi_analytics.windows import Window
from asahi_exporter.conventions import UNPRICED_REQUESTS

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


@dataclass(frozen=True)
class Context:
    """What is true of every sum over one window."""

    window: Window
    coverage: Coverage
    unpriced_ratio: float | None

    @classmethod
    def of(cls, client: Client, question: Question) -> Context:
        """Ask about the window of ``question``."""
        window = question.ask.window
        ratio = _unpriced(client, question) if question.family.name in PRICED else None
        return cls(window, coverage(client, question.rules, window), ratio)

    def trust(self, plan: Sequence[Piece], heard: Sequence[str]) -> Trust:
        """Return the trust of a sum that was put together from ``plan``; ``heard``: the backend's warnings."""
        raw = sum(piece.end - piece.start for piece in plan if piece.run is None) / self.window.seconds
        scraped = self.coverage.scraped
        return Trust(
            scraped_ratio=None if scraped is None else min(1.0, scraped / self.window.seconds),
            gaps=list(self.coverage.gaps),
            resets=self.coverage.resets,
            repaired_ratio=min(1.0, raw),
            unpriced_ratio=self.unpriced_ratio,
            source=", ".join(dict.fromkeys(_source(piece) for piece in plan)),
            warnings=[*_warnings(self, raw), *heard],
        )


def _source(piece: Piece) -> str:
    if piece.run is None:
        return "raw samples"
    return "backfilled totals" if piece.run.backfilled else "running totals"


def _warnings(context: Context, raw_ratio: float) -> list[str]:
    found = []
    if raw_ratio > 0:
        found.append(
            f"{raw_ratio:.2%} of the window has no recorded totals and was summed from raw samples; "
            "`asahi-obs rules backfill` makes them"
        )
    if context.coverage.gaps:
        found.append(f"nothing was scraped in {len(context.coverage.gaps)} part(s) of the window; see gaps")
    return found


def _unpriced(client: Client, question: Question) -> float | None:
    """The share of requests whose cost was not known; ``None`` when there were no requests."""
    window, source = question.ask.window, UNPRICED_REQUESTS.name
    any_of = f"count(last_over_time({source}[{duration(window.length)}]) > 0)"
    if not client.query(any_of, window.end).samples:
        return 0.0
    unpriced, requests = (_amount(client, question, family) for family in ("unpriced_requests", "requests"))
    return min(1.0, unpriced / requests) if requests else None


def _amount(client: Client, question: Question, family: str) -> float:
    asked = Question.of(Ask(family, (), question.ask.window), question.rules)
    pieces = asked.plan(client)
    return sum(value for piece in pieces for value in asked.amounts(client, piece).values())

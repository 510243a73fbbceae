"""How far several sums together can be trusted: no further than the worst of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from asahi_analytics.composer import FROM_RAW, SEE_GAPS, SOURCE_SEPARATOR, Gap, Trust, joined
from asahi_analytics.windows import Window

Item = TypeVar("Item")


def merged(trusts: Sequence[Trust]) -> Trust:
    """Return the trust in an answer that was made from sums over the same window.

    The lowest scraped ratio, the highest of the others, every source and warning once (what was summed from
    raw samples as its highest share), gaps that overlap as one. None at all: a ``Trust`` that knows nothing.
    """
    return Trust(
        scraped_ratio=min(_known(trust.scraped_ratio for trust in trusts), default=None),
        gaps=list(joined(gap for trust in trusts for gap in trust.gaps)),
        resets=max(_known(trust.resets for trust in trusts), default=None),
        repaired_ratio=max(_known(trust.repaired_ratio for trust in trusts), default=None),
        unpriced_ratio=max(_known(trust.unpriced_ratio for trust in trusts), default=None),
        source=SOURCE_SEPARATOR.join(dict.fromkeys(_sources(trusts))),
        warnings=_warnings(trusts),
    )


def within(trust: Trust, window: Window) -> Trust:
    """Return what ``trust`` says of ``window``, a part of its own: scraped is what lies in none of its gaps."""
    gaps = [
        Gap(start=max(gap.start, window.start), end=min(gap.end, window.end))
        for gap in trust.gaps
        if gap.start < window.end and gap.end > window.start
    ]
    missing = sum((gap.end - gap.start).total_seconds() for gap in gaps)
    return trust.model_copy(
        update={
            "gaps": gaps,
            "scraped_ratio": None if trust.scraped_ratio is None else 1.0 - missing / window.seconds,
            "warnings": [words for words in trust.warnings if gaps or words != SEE_GAPS],
        }
    )


def _warnings(trusts: Sequence[Trust]) -> list[str]:
    """Return every warning once; of several shares from raw samples that of the highest."""
    by_share = sorted(trusts, key=lambda trust: trust.repaired_ratio or 0.0, reverse=True)
    shares = (words for trust in by_share for words in trust.warnings if words.endswith(FROM_RAW))
    highest = next(shares, None)
    every = dict.fromkeys(words for trust in trusts for words in trust.warnings)
    return [words for words in every if not words.endswith(FROM_RAW) or words == highest]


def _sources(trusts: Sequence[Trust]) -> list[str]:
    return [source for trust in trusts for source in trust.source.split(SOURCE_SEPARATOR) if source]


def _known(values: Iterable[Item | None]) -> list[Item]:
    return [value for value in values if value is not None]

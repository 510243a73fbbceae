"""Sums as the composer gives them, from series of pandas."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from asahi_analytics.composer import Sums, Trust
from asahi_analytics.windows import Window


def sums_of(values: pd.Series, by: Sequence[str], window: Window, trust: Trust) -> Sums:
    """Return ``values``, which are indexed as ``Sums.values`` is."""
    keys = (
        [key if isinstance(key, tuple) else (key,) for key in values.index.to_list()]
        if by
        else [()] * len(values)
    )
    return Sums(
        {tuple(map(str, key)): float(value) for key, value in zip(keys, values, strict=True)},
        by,
        window,
        trust,
    )

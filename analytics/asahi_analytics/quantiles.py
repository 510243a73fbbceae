"""Percentiles from cumulative buckets, as PromQL's ``histogram_quantile`` computes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]


def histogram_quantiles(buckets: pd.DataFrame, quantiles: Sequence[float]) -> Floats:
    """Return the quantiles of each row of ``buckets``: shape (rows, quantiles).

    Columns are the upper bounds (``le``, as text or numbers, in any order, ``+Inf`` among them), values the
    cumulative counts. Within a bucket observations are taken as spread evenly; the lowest bucket starts at 0; a
    rank in the ``+Inf`` bucket gives the highest finite bound. NaN where a row has no observations, a count is
    missing, or there is no ``+Inf`` column. Source: ``bucketQuantile`` of Prometheus's ``promql/quantile.go``.
    """
    bounds = np.array([float(column) for column in buckets.columns], dtype=np.float64)
    order = np.argsort(bounds)
    bounds = bounds[order]
    missing = np.full((len(buckets), len(quantiles)), np.nan)
    if len(bounds) < 2 or bounds[-1] != np.inf:
        return missing
    counts = np.maximum.accumulate(buckets.to_numpy(np.float64)[:, order], axis=1)
    total = counts[:, -1:]
    ranks = total * np.asarray(quantiles, dtype=np.float64)[None, :]
    found = _interpolated(bounds, counts, ranks)
    return np.where(np.isfinite(total) & (total > 0), found, missing)


def _interpolated(bounds: Floats, counts: Floats, ranks: Floats) -> Floats:
    """The value at each rank, linearly between the bounds of the first bucket that reaches it."""
    index = np.minimum((counts[:, None, :] < ranks[:, :, None]).sum(axis=2), len(bounds) - 2)
    padded = np.concatenate([np.zeros((len(counts), 1)), counts], axis=1)
    below = np.take_along_axis(padded, index, axis=1)
    inside = np.take_along_axis(counts, index, axis=1) - below
    lower = np.concatenate([[0.0], bounds])[index]
    upper = bounds[index]
    share = np.divide(ranks - below, inside, out=np.ones_like(ranks), where=inside > 0)
    found: Floats = lower + (upper - lower) * np.clip(share, 0.0, 1.0)
    return found

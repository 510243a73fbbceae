"""Percentiles from buckets, against a naive reading of Prometheus's bucketQuantile."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asahi_analytics.quantiles import histogram_quantiles


def naive(bounds: list[float], counts: list[float], quantile: float) -> float:
    """``bucketQuantile`` as promql/quantile.go has it, one step after the other."""
    total = counts[-1]
    if total <= 0:
        return math.nan
    rank = quantile * total
    index = next(number for number, count in enumerate(counts) if count >= rank)
    if index == len(bounds) - 1:
        return bounds[-2]
    start, below = (0.0, 0.0) if index == 0 else (bounds[index - 1], counts[index - 1])
    inside = counts[index] - below
    if inside == 0:
        return bounds[index]
    return start + (bounds[index] - start) * (rank - below) / inside


def frame(bounds, rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[str(bound) for bound in bounds], dtype=float)


@given(
    st.lists(st.integers(0, 50), min_size=2, max_size=12).filter(lambda counts: sum(counts) > 0),
    st.sampled_from([0.01, 0.25, 0.5, 0.9, 0.99, 1.0]),
)
def test_each_row_is_what_prometheus_would_say(steps, quantile) -> None:
    bounds = [float(2**number) for number in range(len(steps) - 1)] + [math.inf]
    counts = np.cumsum(steps).tolist()
    found = histogram_quantiles(frame(bounds, [counts]), [quantile])[0, 0]
    assert found == pytest.approx(naive(bounds, counts, quantile))


def test_columns_may_come_in_any_order_and_rows_are_independent() -> None:
    table = frame(["+Inf", 10, 2], [[4, 4, 2], [0, 0, 0], [8, 8, 8], [math.nan, 1, 1]])
    found = histogram_quantiles(table, [0.5, 1.0])
    assert found[0].tolist() == [2.0, 10.0]
    assert np.isnan(found[1]).all()
    assert found[2].tolist() == [1.0, 2.0]
    assert np.isnan(found[3]).all()


def test_a_dip_from_rounding_does_not_matter() -> None:
    assert histogram_quantiles(frame([1, 2, "+Inf"], [[5.0, 4.999999, 10.0]]), [0.4])[0, 0] == pytest.approx(
        0.8
    )


@pytest.mark.parametrize("bounds", [["+Inf"], [1, 2], []])
def test_without_an_infinite_and_a_finite_bucket_there_is_no_percentile(bounds) -> None:
    assert np.isnan(histogram_quantiles(frame(bounds, [[1] * len(bounds)]), [0.5])).all()

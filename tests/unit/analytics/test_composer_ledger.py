"""Amounts by label set, as pandas."""

from __future__ import annotations

import itertools

import pandas as pd

from asahi_analytics.composer.ledger import index_of, series_of


def test_several_labels_make_the_index_that_pandas_makes_of_tuples():
    keys = [("b", "", "none"), *itertools.product(("a", "b"), ("x", "y"), ("1",)), ("c", "x", "none")]
    made = index_of(keys, ("model", "task_type", "cache_tier"))
    expected = pd.MultiIndex.from_tuples(sorted(keys), names=["model", "task_type", "cache_tier"])
    pd.testing.assert_index_equal(made, expected, exact=True)
    for level, wanted in zip(made.levels, expected.levels, strict=True):
        pd.testing.assert_index_equal(level, wanted, exact=True)
    assert made.get_loc(("b", "", "none")) == 2


def test_amounts_are_ordered_by_label_set_and_nothing_at_all_is_empty():
    sums = series_of({("b", "x"): 2.0, ("a", "y"): 1.0}, ("model", "task_type"))
    assert list(sums.items()) == [(("a", "y"), 1.0), (("b", "x"), 2.0)]
    assert series_of({}, ("model", "task_type")).empty
    assert series_of({(): 3.0}, ()).to_dict() == {"total": 3.0}

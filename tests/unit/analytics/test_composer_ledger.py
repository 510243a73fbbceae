"""Amounts by label set, as pandas."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

from asahi_analytics.composer.ledger import add, amounts_of, index_of, keys_of, series_of, subtract
from asahi_analytics.replies import Sample


def test_several_labels_make_the_index_that_pandas_makes_of_tuples_of_objects():
    keys = [("b", "", "none"), *itertools.product(("a", "b"), ("x", "y"), ("1",)), ("c", "x", "none")]
    made = index_of(keys, ("model", "task_type", "cache_tier"))
    inferred = pd.MultiIndex.from_tuples(sorted(keys), names=["model", "task_type", "cache_tier"])
    expected = inferred.set_levels([level.astype(object) for level in inferred.levels])
    pd.testing.assert_index_equal(made, expected, exact=True)
    for level, wanted in zip(made.levels, expected.levels, strict=True):
        pd.testing.assert_index_equal(level, wanted, exact=True)
    assert made.get_loc(("b", "", "none")) == 2


@pytest.mark.parametrize(
    "keys", [[("a",), ("b",)], [("a", "", "y"), ("a", "x", "x"), ("b", "", "x")], [("z", "")]]
)
def test_keys_are_found_again_in_their_index_in_its_order(keys):
    made = index_of(keys, ("model", "task_type", "cache_tier")[: len(keys[0])])
    assert keys_of(made) == keys
    assert keys_of(made[::-1]) == keys[::-1]
    assert keys_of(made[:0]) == []


def test_amounts_are_ordered_by_label_set_and_nothing_at_all_is_empty():
    sums = series_of({("b", "x"): 2.0, ("a", "y"): 1.0}, ("model", "task_type"))
    assert list(sums.items()) == [(("a", "y"), 1.0), (("b", "x"), 2.0)]
    assert series_of({}, ("model", "task_type")).empty
    assert series_of({(): 3.0}, ()).to_dict() == {"total": 3.0}


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ((), {(): 7.0}),
        (("a",), {("x",): 3.0, ("",): 4.0}),
        (("a", "b"), {("x", "y"): 1.0, ("x", ""): 2.0, ("", "y"): 4.0}),
    ],
)
def test_samples_are_summed_by_labels_of_which_one_that_is_absent_is_empty(by, expected):
    samples = [Sample({"a": "x", "b": "y"}, 1.0), Sample({"a": "x"}, 2.0), Sample({"b": "y", "c": "z"}, 4.0)]
    assert amounts_of(samples, by) == expected


def test_what_is_absent_on_one_side_is_zero_there_and_no_difference_is_negative():
    earlier, later = {("a",): 1.0, ("b",): 5.0, ("gone",): 2.0}, {("a",): 4.0, ("b",): 4.0, ("new",): 3.0}
    assert subtract(later, earlier) == {("a",): 3.0, ("b",): 0.0, ("new",): 3.0, ("gone",): 0.0}
    assert add(earlier, later) == {("a",): 5.0, ("b",): 9.0, ("gone",): 2.0, ("new",): 3.0}
    assert add({}, later) == add(later, {}) == later

"""Amounts by place and key: what is known, what is filled in, and what was added between neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from asahi_analytics.composer.bins import Table

A, B = ("a",), ("b",)


def table(known: list[bool], rows: dict[tuple[str, ...], list[float]]) -> Table:
    made = Table(len(known))
    made.known[:] = known
    made.add(list(rows), np.array(list(rows.values()), dtype=float).reshape(len(rows), len(known)))
    return made


def amounts(found: Table) -> dict[tuple[str, ...], list[float]]:
    return dict(zip(found.keys, found.amounts.tolist(), strict=True))


def test_amounts_of_the_same_key_are_added_up() -> None:
    made = table([True, True], {A: [1, 2]})
    made.add([B, A, A], np.array([[5.0, 5.0], [1.0, 0.0], [0.0, 1.0]]))
    assert amounts(made) == {A: [2, 3], B: [5, 5]}


def test_what_is_put_at_a_place_is_all_that_is_known_of_it() -> None:
    made = table([True, True, False], {A: [1, 2, 0]})
    made.put(1, {B: 7.0})
    made.put(2, {})
    assert amounts(made) == {A: [1, 0, 0], B: [0, 7, 0]}
    assert made.known.all()


def test_unknown_places_take_the_amounts_of_the_one_before() -> None:
    made = table([True, False, False, True], {A: [1, 0, 0, 4], B: [2, 0, 0, 5]})
    made.fill(np.arange(4))
    assert amounts(made) == {A: [1, 1, 1, 4], B: [2, 2, 2, 5]}
    assert made.known.all()


def test_differences_are_of_known_neighbours_inside() -> None:
    made = table([True, True, False, True, True], {A: [1, 3, 0, 9, 10], B: [0, 0, 0, 2, 2]})
    found = made.differences(np.arange(5))
    assert found.known.tolist() == [True, False, False, True]
    assert amounts(found) == {A: [2, 0, 0, 1], B: [0, 0, 0, 0]}
    assert made.differences(np.arange(2)).known.tolist() == [True, False, False, False]


def test_differences_are_never_negative_and_add_up_to_that_of_the_ends() -> None:
    random = np.random.default_rng(1)
    totals = np.cumsum(random.uniform(0, 5, (3, 40)), axis=1)
    totals[:, 20] += 100.0  # had not seen the last samples before an outage
    made = table([True] * 40, {(str(number),): row.tolist() for number, row in enumerate(totals)})
    found = made.differences(np.arange(40))
    assert (found.amounts >= 0).all()
    assert found.amounts.sum(axis=1) == pytest.approx(totals[:, -1] - totals[:, 0])


def test_tables_of_different_places_and_keys_are_merged() -> None:
    made = table([True, False, False], {A: [1, 0, 0]})
    made.merge(table([False, True, False], {A: [9, 2, 9], B: [9, 3, 9]}))
    assert amounts(made) == {A: [1, 2, 0], B: [0, 3, 0]}
    assert made.known.tolist() == [True, True, False]


def test_a_table_without_keys_has_no_amounts() -> None:
    made = Table(3)
    made.put(0, {})
    made.fill(np.array([0]))
    assert made.differences(np.arange(3)).amounts.shape == (0, 2)
    assert made.keys == []

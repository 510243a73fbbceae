from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asahi_exporter.errors import Refused
from asahi_exporter.guard import LabelGuard, OwnLabelStore, amount, label_text


@given(st.text())
def test_any_text_becomes_a_bounded_valid_label(text: str) -> None:
    label = label_text(text, 40)
    assert 0 < len(label) <= 40
    label.encode("utf-8")


@given(st.text(alphabet="ab", min_size=41, max_size=80), st.text(alphabet="ab", min_size=41, max_size=80))
def test_two_long_values_stay_apart(one: str, two: str) -> None:
    assert (label_text(one, 40) == label_text(two, 40)) == (one == two)


def test_what_is_missing_is_unknown() -> None:
    assert label_text(None, 40) == label_text("", 40) == "unknown"


def test_a_lone_surrogate_is_replaced() -> None:
    assert label_text("a\ud800b", 40) == "a?b"


@pytest.mark.parametrize("value", [0, 1, 2.5, Decimal("2.5"), Fraction(5, 2), True, 10.0])
def test_numbers_of_any_library_are_amounts(value: object) -> None:
    assert amount("x", value, 10.0) == float(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1", "type"),
        (b"1", "type"),
        (None, "type"),
        ([], "type"),
        (1j, "type"),
        (object(), "type"),
        (float("nan"), "not_finite"),
        (float("inf"), "not_finite"),
        (-1e-9, "negative"),
        (10.0001, "too_large"),
        (10**400, "too_large"),
    ],
)
def test_what_is_no_amount_is_refused_with_the_reason(value: object, reason: str) -> None:
    with pytest.raises(Refused, match="x ") as caught:
        amount("x", value, 10.0)
    assert caught.value.reason == reason


def guard(limit: int, overflowed: list[str]) -> LabelGuard:
    return LabelGuard({"user": limit}, 40, OwnLabelStore(), overflowed.append)


def test_the_value_at_the_limit_is_kept_and_the_next_goes_to_other() -> None:
    overflowed: list[str] = []
    labels = guard(2, overflowed)
    assert [labels.admit("user", name) for name in ("a", "b", "c", "a", "c")] == [
        "a",
        "b",
        "other",
        "a",
        "other",
    ]
    assert overflowed == ["user", "user"]


def test_other_and_unknown_take_no_place() -> None:
    overflowed: list[str] = []
    labels = guard(1, overflowed)
    assert [labels.admit("user", name) for name in ("other", None, "a")] == ["other", "unknown", "a"]
    assert overflowed == []

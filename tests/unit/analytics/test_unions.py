"""Several expressions become one query, of bounded length, and come apart again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asahi_analytics.unions import MAX_BYTES, portions, take_member, unite


def test_a_single_expression_stays_as_it_is():
    assert unite(["sum(up)"]) == "sum(up)"


def test_each_member_is_marked_with_its_number():
    assert unite(["a", "b"]) == (
        'label_replace(a, "asked", "0", "", "")\nor\nlabel_replace(b, "asked", "1", "", "")'
    )


def test_the_mark_is_read_and_taken_off_again():
    labels = {"model": "x", "asked": "12"}
    assert (take_member(labels), labels) == (12, {"model": "x"})
    assert take_member(labels) == 0


@given(
    st.lists(st.tuples(st.sampled_from("xü🦊"), st.integers(1, 200)).map(lambda one: one[0] * one[1])),
    st.integers(1, 500),
)
def test_portions_keep_all_expressions_in_order_and_their_union_short(expressions, max_bytes):
    found = list(portions(expressions, max_bytes))
    assert [each for portion in found for each in portion] == expressions
    assert all(len(portion) == 1 or len(unite(portion).encode()) <= max_bytes for portion in found)


def test_no_expressions_make_no_portions_and_nothing_is_cut_without_need():
    assert list(portions([])) == []
    half = "x" * (MAX_BYTES // 2 - 100)
    assert [len(portion) for portion in portions([half, half, half])] == [2, 1]

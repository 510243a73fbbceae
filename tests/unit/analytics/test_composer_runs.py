"""A window is cut into what recorded totals certify and what they do not."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from asahi_analytics.composer import runs as certified
from asahi_analytics.composer.context import SMALLEST_SHARE, Context
from asahi_analytics.composer.ledger import add, amounts_of, series_of, subtract
from asahi_analytics.composer.rounds import run
from asahi_analytics.composer.runs import Piece, Run
from asahi_analytics.errors import PrometheusAnswerInvalid
from asahi_analytics.replies import Sample, Vector
from asahi_analytics.windows import Window

REJOIN = 120.0
BACK = 7200.0


def look_among(*runs: tuple[float, float]):
    """Runs as (since, last snapshot); evaluations every 60 s, 15 s after each snapshot."""

    def look(at: float, back: float) -> Run | None:
        found = [
            Run("m", since, min(last, (at - 15) // 60 * 60))
            for since, last in runs
            if since + 15 <= at and min(last, (at - 15) // 60 * 60) + 15 >= at - back
        ]
        return max(found, key=lambda run: run.since, default=None)

    return look


def pieces(start: float, end: float, look, back: float, rejoin: float) -> list[Piece]:
    """Cut with a look that knows the answer without asking."""

    def asking(at: float, back: float):
        yield from ()
        return look(at, back)

    return run(certified.pieces(start, end, asking, back, rejoin), client=None)


def spans(found: list[Piece]) -> list[tuple[float, float, bool]]:
    return [(piece.start, piece.end, piece.run is not None) for piece in found]


def test_one_run_certifies_a_window_inside_it():
    found = pieces(10_000.0, 50_030.0, look_among((600.0, 90_000.0)), BACK, REJOIN)
    assert spans(found) == [(10_000.0, 50_030.0, True)]


def test_what_lies_before_the_first_run_comes_from_samples():
    found = pieces(0.0, 50_000.0, look_among((6_000.0, 90_000.0)), BACK, REJOIN)
    assert spans(found) == [(0.0, 6_000.0, False), (6_000.0, 50_000.0, True)]


def test_an_interruption_between_two_runs_comes_from_samples():
    found = pieces(1_200.0, 50_000.0, look_among((600.0, 6_000.0), (30_000.0, 90_000.0)), BACK, REJOIN)
    assert spans(found) == [(1_200.0, 6_000.0, True), (6_000.0, 30_000.0, False), (30_000.0, 50_000.0, True)]


def test_without_any_rules_everything_comes_from_samples():
    assert spans(pieces(0.0, 5_000.0, look_among(), BACK, REJOIN)) == [(0.0, 5_000.0, False)]


def test_a_window_is_covered_without_holes_or_overlaps():
    runs = look_among((600.0, 6_000.0), (30_000.0, 36_000.0), (60_000.0, 90_000.0))
    for start in range(0, 70_000, 1_700):
        found = pieces(float(start), 80_010.0, runs, BACK, REJOIN)
        assert found[0].start == start
        assert found[-1].end == 80_010.0
        assert all(left.end == right.start for left, right in pairwise(found))


def test_a_run_that_broke_before_it_began_certifies_nothing():
    first, broken, last = Run("m", 600.0, 6_000.0), Run("m", 9_120.0, 9_060.0), Run("m", 12_120.0, 12_060.0)

    def look(at: float, _: float) -> Run:
        return last if at >= 12_015 else broken if at >= 9_015 else first

    found = pieces(1_200.0, 12_100.0, look, BACK, REJOIN)
    assert spans(found) == [(1_200.0, 6_000.0, True), (6_000.0, 12_100.0, False)]


def test_amounts_add_and_subtract_by_key_and_are_never_negative():
    samples = [Sample({"model": "a"}, 1.0), Sample({"model": "a"}, 2.0), Sample({}, 4.0)]
    amounts = amounts_of(samples, ["model"])
    assert amounts == {("a",): 3.0, ("",): 4.0}
    assert add(amounts, {("b",): 1.0}) == {("a",): 3.0, ("",): 4.0, ("b",): 1.0}
    assert subtract({("a",): 3.0}, {("a",): 3.0000001, ("b",): 1.0}) == {("a",): 0.0, ("b",): 0.0}


def test_series_have_the_index_that_sums_promise():
    assert series_of({("x",): 1.0}, ["model"]).to_dict() == {"x": 1.0}
    assert series_of({(): 1.0}, []).to_dict() == {"total": 1.0}
    assert series_of({("x", "y"): 1.0}, ["model", "phase"]).to_dict() == {("x", "y"): 1.0}
    assert series_of({}, []).empty


@pytest.mark.parametrize(("share", "told"), [(0.5, 0.0), (1.01, 1.01)], ids=["rounding", "more than that"])
def test_what_lies_below_the_rounding_of_a_windows_ends_is_not_called_raw(share: float, told: float):
    window = Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC) + timedelta(days=30))
    start, end = window.start.timestamp(), window.end.timestamp()
    cut = start + share * SMALLEST_SHARE * window.seconds
    plan = [Piece(start, cut, None), Piece(cut, end, Run("m", start, end))]
    trust = Context.unknown(window).trust(plan, [])
    assert trust.repaired_ratio == pytest.approx(told * SMALLEST_SHARE, rel=1e-3)
    assert any("raw samples" in each for each in trust.warnings) == (told > 0)


def test_a_run_that_is_said_to_begin_after_it_was_going_on_certifies_nothing():
    def late(at: float, _back: float) -> Run:
        return Run("m", at + REJOIN, at + REJOIN)

    assert spans(pieces(0.0, 50_000.0, late, BACK, REJOIN)) == [(0.0, 50_000.0, False)]


def told(since, snapshot):
    """What is found where a run is said to begin and be counted to these moments."""
    asking = certified.look_in("asahi:cost_dollars:state")(1_000.0, 600.0)
    next(asking)
    answer = Vector((Sample({"part": "since"}, since), Sample({"part": "snapshot"}, snapshot)), ())
    with pytest.raises(StopIteration) as ended:
        asking.send((answer,))
    return ended.value.value


@pytest.mark.parametrize(
    ("since", "snapshot"), [(math.nan, math.nan), (0.0, math.nan), (0.0, math.inf), (-math.inf, 30.0)]
)
def test_moments_that_are_none_are_refused(since, snapshot):
    with pytest.raises(PrometheusAnswerInvalid, match="which are no two moments"):
        told(since, snapshot)


def test_a_run_that_has_been_counted_but_begins_only_after_an_interruption_is_found():
    assert told(90.0, 30.0) == Run("asahi:cost_dollars:state", 90.0, 30.0, False)

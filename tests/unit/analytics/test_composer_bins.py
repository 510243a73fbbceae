"""Amounts by place and key: what is known, what is filled in, what was added between neighbours, and what is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asahi_analytics.composer import Ask, Composer, SeriesAsk
from asahi_analytics.composer.bins import Bins, Table
from asahi_analytics.composer.question import Question
from asahi_analytics.composer.rounds import Over
from asahi_analytics.replies import Matrix, Sample, Series, Vector
from asahi_analytics.tiles import RuleParameters
from asahi_analytics.windows import Window

A, B = ("a",), ("b",)
END = datetime(2026, 3, 10, 12, tzinfo=UTC)


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


def first_round(family: str, by: tuple[str, ...], step: timedelta) -> list[str]:
    """What bins of two days ask first of all as ranges: the expression of each."""
    window = Window(END - timedelta(days=2), END)
    question = Question.of(Ask(family, by, window), RuleParameters())
    requests = next(Bins(question, round(window.length / step)).answer())
    return sorted(request.promql for request in requests if isinstance(request, Over))


SCRAPED = 'last_over_time(asahi:scrapes:state{part=~"scraped|snapshot"}[1200s])'


@pytest.mark.parametrize(
    ("family", "by", "read"),
    [
        ("cost_dollars", ("model",), "asahi:cost_dollars:model"),
        ("errors", (), "asahi:errors:whole"),
        ("cache_hits", ("tier",), "asahi:cache_hits:state"),
    ],
)
def test_short_bins_ask_first_for_totals_and_for_which_of_them_were_scraped(family, by, read) -> None:
    totals, scraped = first_round(family, by, timedelta(minutes=10))
    assert totals.startswith(f"last_over_time({read}{{")
    assert scraped == SCRAPED


def test_long_bins_ask_which_were_scraped_only_when_some_are_idle() -> None:
    (totals,) = first_round("cost_dollars", (), timedelta(days=1))
    assert totals.startswith("last_over_time(asahi:cost_dollars:whole{")


def test_days_are_read_from_the_quarter_of_the_day_that_they_begin_in_and_hours_from_all() -> None:
    (days,) = first_round("cost_dollars", (), timedelta(days=1))
    assert 'quarter=~"|2"' in days
    hours, _ = first_round("cost_dollars", (), timedelta(hours=1))
    assert "quarter" not in hours
    (by_model,) = first_round("cost_dollars", ("model",), timedelta(days=1))
    assert "quarter" not in by_model


class Quarters:
    """A day of one run in which $1 an hour was spent, kept by quarters of the day but for the ``unquartered`` hours."""

    def __init__(self, unquartered: int) -> None:
        self.unquartered = unquartered
        self.start = (END - timedelta(days=1)).timestamp()

    def query_all(self, promql, at):
        state = {"__name__": "asahi:cost_dollars:state"}
        run = [Sample({**state, "part": "since"}, 0.0), Sample({**state, "part": "snapshot"}, at.timestamp())]
        return [Vector(tuple(run) if "since" in each and "state" in each else ()) for each in promql]

    def query_range(self, promql, start, end, step):
        if ":whole" not in promql:
            return Matrix(())
        times = np.arange(start.timestamp(), end.timestamp() + 1, step.total_seconds())
        snapshots = times - 74.999
        hours = (snapshots - self.start) / 3600
        rows = []
        for quarter in ("", "0", "1", "2", "3"):
            kept = np.where(hours < self.unquartered, "", (snapshots // 21_600 % 4).astype(int).astype(str))
            here = kept == quarter
            more = {"quarter": quarter} if quarter else {}
            rows += [
                Series({"part": part, **more}, times[here], values[here])
                for part, values in (("running", 7.0 + hours), ("snapshot", snapshots))
                if here.any()
            ]
        return Matrix(tuple(rows))


@pytest.mark.parametrize("unquartered", [0, 9])
def test_totals_of_all_quarters_and_of_what_was_not_kept_by_quarter_are_one_row(unquartered) -> None:
    window = Window(END - timedelta(days=1), END)
    ask = SeriesAsk("cost_dollars", (), window, step=timedelta(hours=1), trusted=False)
    (found,) = Composer(Quarters(unquartered)).all_series([ask])
    assert found.frame["total"].tolist() == pytest.approx([1.0] * 24)


def test_a_single_bin_asks_for_no_range() -> None:
    assert first_round("cost_dollars", (), timedelta(days=2)) == []


class Days:
    """Ten days of one run of which ``missing`` was not scraped; all but the first were idle."""

    def __init__(self, missing: timedelta) -> None:
        self.missing = missing.total_seconds()
        self.asked: list[str] = []
        self.start = (END - timedelta(days=10)).timestamp()

    def query_all(self, promql, at):
        return [Vector(tuple(self._samples(each, at.timestamp()))) for each in promql]

    def _samples(self, promql: str, at: float):
        name = {"__name__": "asahi:scrapes:state" if "scrapes" in promql else "asahi:cost_dollars:state"}
        if "since" in promql:
            return [Sample({**name, "part": "since"}, 0.0), Sample({**name, "part": "snapshot"}, at)]
        if "restarts" in promql:
            scraped = at - (self.missing if at > self.start + 1 else 0.0)
            return [Sample({"part": "scraped"}, scraped), Sample({"part": "restarts"}, 0.0)]
        return []

    def query_range(self, promql, start, end, step):
        self.asked.append(f"{promql} every {step}")
        times = np.arange(start.timestamp(), end.timestamp() + 1, step.total_seconds())
        snapshots = np.round((times - 299.999 - 15) / 60) * 60
        grown = np.where(times > self.start + 3600, 5.0, 0.0)
        if "scrapes" in promql:
            return Matrix(())
        return Matrix(
            (Series({"part": "running"}, times, grown), Series({"part": "snapshot"}, times, snapshots))
        )


@pytest.mark.parametrize(
    ("missing", "trusted", "looks"),
    [
        (timedelta(minutes=15), True, False),
        (timedelta(hours=13), True, True),
        (timedelta(minutes=15), False, True),
    ],
)
def test_idle_days_are_known_to_have_been_scraped_where_less_than_half_a_day_was_not(
    missing, trusted, looks
) -> None:
    backend, window = Days(missing), Window(END - timedelta(days=10), END)
    ask = SeriesAsk("cost_dollars", (), window, step=timedelta(days=1), trusted=trusted)
    (found,) = Composer(backend).all_series([ask])
    assert (f"{SCRAPED} every 1 day, 0:00:00" in backend.asked) == looks
    assert found.frame["total"].iloc[0] == 5.0

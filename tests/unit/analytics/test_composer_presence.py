"""Which bins were scraped: from the recorded seconds where they tell, from samples elsewhere."""

from __future__ import annotations

import re

import numpy as np
import pytest

from asahi_analytics.composer.presence import scraped_bins, spans_of
from asahi_analytics.composer.rounds import run
from asahi_analytics.composer.runs import Piece, Run, moment
from asahi_analytics.composer.trust import _from_bins, _of_piece
from asahi_analytics.errors import PrometheusAnswerInvalid
from asahi_analytics.replies import Matrix, Sample, Series, Vector
from asahi_analytics.tiles import RuleParameters

MINUTE = 60.0
ENDS = MINUTE * np.arange(101, 111)


class Backend:
    """Recorded seconds as a function of the minute (None: nothing recorded), and the minutes that hold samples."""

    def __init__(self, seconds, sampled=()) -> None:
        self.seconds, self.sampled = seconds, set(sampled)
        self.raw_asked: list[tuple[float, float]] = []

    def query_range(self, promql, start, end, step):
        times = np.arange(start.timestamp(), end.timestamp() + 1e-6, step.total_seconds())
        if "asahi:scrapes:state" in promql:
            minutes = np.floor((times - 15) / MINUTE)
            known = np.array([self.seconds(minute) is not None for minute in minutes])
            scraped = np.array([self.seconds(minute) or 0.0 for minute in minutes])
            return Matrix(
                (
                    Series({"part": "scraped"}, times[known], scraped[known]),
                    Series({"part": "snapshot"}, times[known], MINUTE * minutes[known]),
                )
            )
        self.raw_asked.append((times[0] / MINUTE, times[-1] / MINUTE))
        present = times[np.isin(np.rint(times / MINUTE), list(self.sampled))]
        return Matrix((Series({}, present, np.ones(present.size)),) if present.size else ())


def bins(backend: Backend) -> list[bool]:
    return run(scraped_bins(RuleParameters(), ENDS, MINUTE), backend).tolist()


def test_bins_in_which_the_seconds_grow_were_scraped_and_no_sample_is_read():
    backend = Backend(lambda minute: MINUTE * min(minute, 104))
    assert bins(backend) == [True] * 4 + [False] * 6
    assert backend.raw_asked == []


def test_what_is_not_recorded_yet_is_read_from_samples():
    backend = Backend(lambda minute: MINUTE * minute if minute <= 107 else None, sampled=[108, 110])
    assert bins(backend) == [True] * 7 + [True, False, True]
    assert backend.raw_asked == [(108.0, 110.0)]


class Lagging(Backend):
    """Two more record the same, each a while behind."""

    def query_range(self, promql, start, end, step):
        found = super().query_range(promql, start, end, step).series
        behind = [each._replace(values=each.values - 30 * MINUTE) for each in found]
        return Matrix((*behind, *found, *behind))


def test_of_several_that_are_recorded_the_highest_counts():
    assert bins(Lagging(lambda minute: MINUTE * min(minute, 104))) == [True] * 4 + [False] * 6


def test_seconds_that_began_anew_tell_nothing_of_the_bin_in_which_they_did():
    backend = Backend(lambda minute: MINUTE * (minute if minute < 105 else minute - 105), sampled=[105])
    assert bins(backend) == [True] * 10
    assert backend.raw_asked == [(105.0, 105.0)]


def test_spans_are_rows_of_chosen_bins():
    assert list(spans_of(np.array([True, False, True, True]))) == [(0, 1), (2, 4)]
    assert list(spans_of(np.array([False, False]))) == []


def test_a_gap_at_the_start_of_a_window_begins_with_the_window_whatever_the_bins():
    backend = Backend(lambda _minute: None, sampled=range(6000, 6010))
    piece = Piece(MINUTE * 2999.5, MINUTE * 6009, None)
    coverage = run(_from_bins(piece, RuleParameters()), backend)
    assert coverage.gaps[0].start == moment(piece.start)


def test_series_without_the_label_that_tells_them_apart_are_refused():
    class Stripped(Backend):
        def query_range(self, promql, start, end, step):
            told = super().query_range(promql, start, end, step)
            return Matrix(tuple(each._replace(labels={"job": "a"}) for each in told.series))

    with pytest.raises(PrometheusAnswerInvalid, match=r"its label part, and has the labels \{'job': 'a'\}"):
        bins(Stripped(lambda minute: MINUTE * minute))


class Interrupted(Backend):
    """Recorded until an interruption, and asked for the last of it as far back as a range reaches."""

    def query_all(self, promqls, at):
        return [self.query(promql, at) for promql in promqls]

    def query(self, promql, at):
        (back,) = (float(text) for text in re.findall(r"\[(\d+)s\]", promql))
        minutes = np.arange(np.ceil((at.timestamp() - back) / MINUTE), at.timestamp() // MINUTE + 1)
        told = [seconds for minute in minutes if (seconds := self.seconds(minute)) is not None]
        parts = {"scraped": told[-1], "restarts": 3.0} if told else {}
        return Vector(tuple(Sample({"part": part}, value) for part, value in parts.items()))


@pytest.mark.parametrize(
    ("start", "end", "scraped"), [(1000, 2040, 1000), (2040, 3000, 940), (1000, 3000, 1940)]
)
def test_a_window_that_begins_or_ends_in_an_interruption_knows_what_was_scraped_of_it(start, end, scraped):
    """The interruption of one hour, from minute 2000 on, is shorter than breaks a run."""

    def seconds(minute):
        if minute <= 2000:
            return MINUTE * minute
        return None if minute < 2060 else MINUTE * (minute - 60)

    piece = Piece(MINUTE * start, MINUTE * end, Run("m", 0.0, MINUTE * end))
    found = run(_of_piece(piece, RuleParameters()), Interrupted(seconds))
    assert found.scraped == pytest.approx(MINUTE * scraped)
    assert found.resets == 0

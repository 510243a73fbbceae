"""Latency in bins: the rule, what is read of it, and that judging by it is judging by the buckets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from asahi_analytics.anomaly import AnomalyConfig, AnomalyDetector, latency
from asahi_analytics.composer import Composer, Latencies, SeriesAsk, SumSeries, Trust
from asahi_analytics.latency_bins import FAMILY, GRID, METRIC, LatencyBins, rule_files
from asahi_analytics.replies import Matrix, Series, Vector
from asahi_analytics.tiles import RuleParameters
from asahi_analytics.windows import Window
from support.anomaly_traffic import END, FakeComposer, FakeEngine, traffic
from support.one_by_one import OneByOne

RULES = Path(__file__).parents[3] / "prometheus" / "rules"
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = Window(NOON - timedelta(hours=1), NOON)
STARTS = HOUR.start.timestamp() + 600.0 * np.arange(6)


def test_the_committed_rule_is_the_one_that_is_generated_and_of_the_quantile_that_is_judged():
    text = rule_files()["asahi_latency.yml"]
    assert (RULES / "asahi_latency.yml").read_text() == text
    (group,) = yaml.safe_load(text)["groups"]
    (rule,) = group["rules"]
    assert (group["interval"], rule["record"]) == ("600s", METRIC)
    assert f"histogram_quantile({AnomalyConfig().latency_quantile:g}, " in rule["expr"]


def test_nothing_is_recorded_where_snapshots_do_not_lie_on_the_grid():
    rules = RuleParameters(state_interval=timedelta(minutes=4))
    assert yaml.safe_load(rule_files(rules)["asahi_latency.yml"])["groups"] == []
    assert not LatencyBins(0.95, rules).kept


def test_what_is_longer_than_the_grid_looks_ahead_for_both_snapshots():
    rules = RuleParameters(state_interval=timedelta(minutes=10), lookback=timedelta(minutes=10))
    assert "offset -14999ms" in LatencyBins(0.95, rules).expression()


class Backend:
    """Recorded bins of the hour before noon, but for those ``without``; the exporter was scraped till ``scraped``."""

    def __init__(self, without=(), begun: float = 0.0, scraped: datetime = NOON, idle=()) -> None:
        self.without, self.begun, self.scraped, self.idle = (
            list(without),
            begun,
            scraped.timestamp(),
            list(idle),
        )

    def query_all(self, promql, _at):
        return [Vector(()) for _ in promql]

    def query_range(self, promql, start, end, step):
        times = np.arange(start.timestamp(), end.timestamp() + 1e-6, step.total_seconds())
        if "asahi:scrapes:state" in promql:
            moments = np.floor(times / 60 - 0.25) * 60
            seconds = np.minimum(moments, self.scraped)
            return Matrix(
                (Series({"part": "scraped"}, times, seconds), Series({"part": "snapshot"}, times, moments))
            )
        if METRIC not in promql:
            return Matrix(())
        assert times.size == 6
        kept = np.delete(np.arange(6), self.without)
        counts = np.where(np.isin(np.arange(6), self.idle), 0.0, 30.0)
        ms = np.where(counts > 0, 100.0 + np.arange(6), np.nan)
        parts = {
            "snapshot": STARTS + 600,
            "before": STARTS,
            "since": np.full(6, self.begun),
            "all_latency": ms,
            "all_count": 2 * counts,
        }
        rows = [Series({"part": part}, times[kept], values[kept]) for part, values in parts.items()]
        for model in ("b", "a"):
            rows.append(Series({"part": "latency", "model": model}, times[kept], ms[kept]))
            rows.append(Series({"part": "count", "model": model}, times[kept], counts[kept]))
        return Matrix(tuple(rows), ("slow",))


def read(backend: Backend, window: Window = HOUR, quantile: float = 0.95, rules=None) -> Latencies:
    return Composer(backend, rules).series_and_latencies([], window, quantile)[1]


def test_what_was_recorded_is_read_by_bin_and_model_with_its_trust():
    found = read(Backend())
    assert found.known.all()
    assert list(found.latency.columns) == list(found.count.columns) == ["a", "b"]
    assert found.latency["a"].tolist() == found.all_latency.tolist() == [100, 101, 102, 103, 104, 105]
    assert found.all_count.tolist() == [60.0] * 6
    assert (found.count == 30.0).all(axis=None)
    assert found.latency.index[0] == HOUR.start
    assert (found.trust.source, found.trust.repaired_ratio, found.trust.warnings) == (
        "running totals",
        0.0,
        ["slow"],
    )


def test_a_bin_that_was_missed_is_not_known():
    found = read(Backend(without=[2]))
    assert found.known.tolist() == [True, True, False, True, True, True]
    assert np.flatnonzero(found.all_count.isna()).tolist() == [2]
    assert np.flatnonzero(found.count["a"].isna()).tolist() == [2]


def test_bins_that_are_not_of_one_run_are_not_known():
    assert read(Backend(begun=STARTS[3])).known.tolist() == [False] * 3 + [True] * 3


def test_a_bin_without_requests_is_idle_or_unknown_as_it_was_scraped_or_not():
    found = read(Backend(idle=[1, 4, 5], scraped=HOUR.start + timedelta(minutes=40)))
    assert found.known.all()
    assert found.all_count.iloc[1] == found.count["a"].iloc[1] == 0.0
    assert found.all_count.iloc[4:].isna().all()
    assert found.count.iloc[4:].isna().all(axis=None)
    assert found.latency["b"].isna().tolist() == [False, True, False, False, True, True]


@pytest.mark.parametrize(
    ("window", "rules"),
    [
        (Window(HOUR.start + timedelta(minutes=1), NOON + timedelta(minutes=1)), None),
        (Window(HOUR.start, NOON - timedelta(minutes=5)), None),
        (Window(NOON - GRID, NOON), None),
        (HOUR, RuleParameters(state_interval=timedelta(minutes=4))),
    ],
)
def test_windows_off_the_grid_and_rules_that_do_not_record_are_not_asked_for(window, rules):
    found = read(Backend(), window, rules=rules)
    assert not found.known.any()
    assert found.all_count.isna().all()


class Recorder(FakeComposer):
    """A composer that has recorded what the buckets say, but for the bins ``without``."""

    without: slice = slice(0, 0)

    def latencies(self, window: Window, quantile: float) -> Latencies:
        ask = SeriesAsk(FAMILY.name, ("model", "le"), window, None, GRID)
        told = latency.fetch(_Silent(self.source), {}, ask, quantile).frames
        starts = told[latency.COUNT].index
        known = np.ones(len(starts), dtype=bool)
        known[self.without] = False
        kept = {name: frame[known].reindex(starts) for name, frame in told.items()}
        whole = kept[latency.WHOLE]
        return Latencies(
            known,
            kept[latency.LATENCY],
            kept[latency.COUNT],
            whole[latency.LATENCY],
            whole[latency.COUNT],
            Trust(source="recorded"),
        )


class _Silent(FakeComposer):
    """A composer that has recorded nothing."""


DAY = Window(END - timedelta(days=1), END)


def fetch(without: slice | None, step: timedelta = GRID):
    composer = Recorder(traffic(3, days=2)) if without is not None else _Silent(traffic(3, days=2))
    if without is not None:
        composer.without = without
    found = latency.fetch(composer, {}, SeriesAsk(FAMILY.name, ("model", "le"), DAY, None, step), 0.95)
    return found, composer


@pytest.mark.parametrize(
    "without", [slice(0, 0), slice(143, None), slice(0, 100), slice(40, 42), slice(None)]
)
def test_recorded_bins_and_buckets_tell_the_same_and_only_what_lacks_is_summed(without):
    summed, _ = fetch(None)
    found, composer = fetch(without)
    for name, frame in summed.frames.items():
        pd.testing.assert_frame_equal(found.frames[name], frame, check_names=False, check_freq=False)
    lacking = np.arange(144)[without].size
    assert (FAMILY.name in composer.asked) == bool(lacking)
    assert found.trust.source == {0: "recorded", 144: "fake"}.get(lacking, "recorded, fake")


def test_a_model_that_is_not_in_every_part_had_no_requests_in_the_others():
    found, composer = fetch(slice(143, None))
    recorded = composer.latencies(DAY, 0.95)
    without = replace(
        recorded, latency=recorded.latency.drop(columns="claude"), count=recorded.count.drop(columns="claude")
    )
    composer.latencies = lambda _window, _quantile: without
    ask = SeriesAsk(FAMILY.name, ("model", "le"), DAY, None, GRID)
    mixed = latency.fetch(composer, {}, ask, 0.95).frames
    assert mixed[latency.COUNT]["claude"].iloc[:143].tolist() == [0.0] * 143
    assert mixed[latency.COUNT]["claude"].iloc[143] == found.frames[latency.COUNT]["claude"].iloc[143] > 0
    assert mixed[latency.LATENCY]["claude"].iloc[:143].isna().all()


def test_bins_of_another_length_are_worked_out_from_the_buckets():
    composer = Recorder(traffic(3, days=2))
    composer.series = lambda *ask: SumSeries(pd.DataFrame(), ask[2], Trust(source=f"by {ask[3]}"))
    ask = SeriesAsk(FAMILY.name, ("model", "le"), DAY, None, timedelta(hours=1))
    found = latency.fetch(composer, {}, ask, 0.95)
    assert found.trust.source == "by 1:00:00"
    assert found.frames[latency.COUNT].empty


class NothingYet(OneByOne):
    """A composer of a service that has not counted anything."""

    def series(self, family, by, window, step, where=None):  # noqa: ARG002  (the composer's own signature)
        starts = pd.date_range(window.start, window.end, freq=step, inclusive="left")
        return SumSeries(pd.DataFrame(index=starts), window, Trust())


def test_where_nothing_was_counted_there_is_nothing_to_report_but_that():
    report = AnomalyDetector(FakeEngine(NothingYet())).report()
    assert report.anomalies == []
    assert [finding.kind for finding in report.findings] == ["short_history"]

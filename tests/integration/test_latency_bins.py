"""Latency as a real Prometheus records it in bins is, to the last bit, latency worked out from the buckets."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
import yaml

from asahi_analytics.anomaly import latency
from asahi_analytics.composer import Composer, Latencies, SeriesAsk
from asahi_analytics.history import HistorySeries
from asahi_analytics.latency_bins import BUCKETS, FAMILY, GRID, le_text, rule_files
from asahi_analytics.windows import Window
from asahi_exporter.conventions import LATENCY_MS_BUCKETS, STORE_CREATED
from support.simulated_rules import RULES, Simulation, simulation

pytestmark = pytest.mark.integration
TARGET = {"job": "asahi", "instance": "a", "store": "memory"}
END = 3 * 3600
BORN, DOWN = 5000, (6000, 6700)
"""When a second model is first seen, and when Prometheus evaluates nothing."""


class Unrecorded(Composer):
    """A composer that knows of no recorded latency."""

    def series_and_latencies(self, asks, window: Window, quantile: float):  # noqa: ARG002
        return self.all_series(asks), Latencies.unknown(window)


def scraped(made: Simulation) -> list[HistorySeries]:
    """Latencies of two models, the second one new and faster, as an exporter counts them."""
    rng = np.random.default_rng(11)
    seconds = np.arange(5, END + 900, 15)
    times_ms = np.round((made.start + seconds) * 1000).astype(np.int64)
    created = np.full(seconds.size, made.start - 50_000)
    series = [HistorySeries(STORE_CREATED.name, TARGET, times_ms, created)]
    for model, middle, since in (("slow", 900.0, 0), ("fast", 90.0, BORN)):
        seen = seconds >= since
        counts = rng.poisson(4.0, seconds.size)
        found = [rng.lognormal(np.log(middle), 0.8, count) for count in counts]
        for bound in (*LATENCY_MS_BUCKETS, np.inf):
            total = np.cumsum([np.sum(each <= bound) for each in found]).astype(float)
            text = "+Inf" if np.isinf(bound) else le_text(bound)
            labels = {**TARGET, "model": model, "cache_tier": "none", "le": text}
            series.append(HistorySeries(FAMILY.source, labels, times_ms[seen], total[seen]))
    return series


def test_what_is_recorded_equals_the_buckets_across_births_and_what_was_missed_is_told(tmp_path):
    (rule,) = yaml.safe_load(rule_files()["asahi_latency.yml"])["groups"][0]["rules"]
    with simulation(tmp_path, family=FAMILY.name) as made:
        made.writer.write(scraped(made))
        made.run(END + 900, down=DOWN)
        for moment in range(777, END + 900, 600):
            at = np.array([round((made.start + moment) * 1000)], dtype=np.int64)
            answer = made.client.query(rule["expr"], made.at(moment))
            made.writer.write(
                [
                    HistorySeries(rule["record"], dict(each.labels), at, np.array([each.value]))
                    for each in answer.samples
                ]
            )
        window = Window(made.at(1800), made.at(END))
        ask = SeriesAsk(FAMILY.name, ("model", "le"), window, {"le": BUCKETS}, GRID)
        recorded = made.composer.series_and_latencies([], window, 0.95)[1]
        found = latency.fetch(made.composer, {}, ask, 0.95)
        summed = latency.fetch(Unrecorded(made.client, RULES), {}, ask, 0.95)
        assert made.composer.series_and_latencies([], window, 0.5)[1].known.sum() == 0
    starts = (recorded.all_count.index - pd.Timestamp(window.start)) / timedelta(seconds=1) + 1800
    missed = (starts < DOWN[1]) & (starts + GRID.total_seconds() > DOWN[0])
    assert 0 < (~recorded.known).sum() <= 4
    assert set(np.flatnonzero(~recorded.known)) >= set(np.flatnonzero(missed)[:-1])
    for name, frame in summed.frames.items():
        pd.testing.assert_frame_equal(
            found.frames[name], frame, check_exact=True, check_names=False, check_freq=False
        )
    assert recorded.latency["slow"][recorded.known].notna().all()
    assert (recorded.count["fast"].fillna(0.0) > 0).sum() > 5

"""Raw samples are summed by the lives of processes: no value of an earlier life, and no first scrape, gets lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asahi_analytics.composer import Composer
from asahi_analytics.demo.servers import prometheus, prometheus_config, running
from asahi_analytics.history import HistorySeries, write_blocks
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.windows import Window
from asahi_exporter.conventions import SAVINGS, STORE_CREATED

START = datetime(2026, 1, 15, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def process(name: str, scrapes: dict[int, tuple[int, dict[str, float]]]) -> list[HistorySeries]:
    """Series of one process: by seconds of each scrape, when its memory was made and the dollars of each phase."""
    labels = {"job": "asahi", "instance": f"{name}:9464"}

    def series(metric: str, more: dict[str, str], values: dict[int, float]) -> HistorySeries:
        times = [round(after(at).timestamp() * 1000) for at in values]
        return HistorySeries(
            metric, {**labels, **more}, np.array(times), np.array(list(values.values()), float)
        )

    made = {at: after(created).timestamp() for at, (created, _) in scrapes.items()}
    phases = sorted({phase for _, dollars in scrapes.values() for phase in dollars})
    counters = [
        series(
            SAVINGS.name,
            {"phase": phase},
            {at: dollars[phase] for at, (_, dollars) in scrapes.items() if phase in dollars},
        )
        for phase in phases
    ]
    return [series(STORE_CREATED.name, {}, made), *counters]


@pytest.fixture(scope="module")
def composer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lives")
    history = [
        *process(
            "restarted",
            {
                600: (100, {"old": 5.0, "back": 3.0}),
                1200: (1000, {"old": 1.0}),
                1500: (1000, {"old": 1.0, "back": 4.0}),
            },
        ),
        *process("late", {1300: (800, {"late": 7.0}), 1400: (800, {"late": 8.0})}),
        *process("away", {600: (100, {"away": 2.0}), 12_000: (11_000, {"away": 9.0})}),
    ]
    write_blocks(history, folder / "data")
    with running(prometheus(folder, prometheus_config())) as server:
        yield Composer(PrometheusClient(server.url))


def between(composer, start: float, end: float) -> dict[str, float]:
    sums = composer.total("savings_dollars", ["phase"], Window(after(start), after(end)))
    return {phase: dollars for phase, dollars in sums.values.items() if dollars}


@pytest.mark.integration
def test_a_label_set_that_a_new_life_comes_to_later_counts_from_zero_not_from_the_old_life(composer):
    assert between(composer, 900, 1250) == {"old": 1.0}
    assert between(composer, 1250, 2000)["back"] == 4.0
    assert between(composer, 900, 2000) == {"old": 1.0, "back": 4.0, "late": 8.0}


@pytest.mark.integration
def test_a_process_that_was_made_before_the_window_and_first_scraped_in_it_counts_in_full(composer):
    assert between(composer, 900, 1350)["late"] == 7.0
    assert between(composer, 1350, 2000)["late"] == 1.0


@pytest.mark.integration
def test_a_process_that_comes_back_anew_after_hours_counts_in_full(composer):
    series = composer.series(
        "savings_dollars", ["phase"], Window(after(900), after(900 + 4 * 3600)), timedelta(hours=1)
    )
    assert series.frame["away"].fillna(0.0).tolist() == [0.0, 0.0, 0.0, 9.0]

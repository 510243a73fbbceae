"""A trace played through the exporter costs what its rows say, at the moments they say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from asahi_analytics.errors import UserInputError
from asahi_analytics.history import HistorySeries
from asahi_analytics.prices import PriceBook, given_prices
from asahi_analytics.traffic.player import Player, start_of
from asahi_analytics.traffic.scraped import end_of, scrape_moments, scrape_trace
from asahi_analytics.traffic.traces import Trace, read_trace
from asahi_exporter import MetricsCollector

START = datetime(2026, 1, 1, tzinfo=UTC)
BINNED = "model,client,t_s,requests,input_tokens_mean,output_tokens_mean\n"
BURST = "Timestamp,Elapsed time,Model,Request tokens,Response tokens\n"
BOOK = PriceBook([given_prices(["m=1,2", "n=10,0"])])


@pytest.fixture
def traced(tmp_path: Path) -> Callable[[str], Trace]:
    def read(content: str) -> Trace:
        (tmp_path / "t.csv").write_text(content)
        return read_trace(tmp_path / "t.csv")

    return read


def value(collector: MetricsCollector, name: str, **labels: str) -> float | None:
    return collector.registry.get_sample_value(name, labels)


def requests_of(collector: MetricsCollector, model: str) -> float | None:
    labels = {"model": model, "task_type": "unknown", "cache_tier": "none"}
    return collector.registry.get_sample_value("asahi_requests_total", labels)


def test_a_bin_is_spread_over_its_ten_minutes_in_whole_requests(traced: Callable[[str], Trace]) -> None:
    collector = MetricsCollector()
    player = Player(traced(BINNED + "m,7,0,10,427.5,100\n"), collector, BOOK, START)
    seen = []
    for minute in range(1, 12):
        player.play_until(START + timedelta(minutes=minute))
        seen.append(requests_of(collector, "m"))
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]
    assert value(collector, "asahi_user_cost_dollars_total", user="7") == pytest.approx(
        10 * (427.5 + 200) / 1e6, rel=1e-12
    )
    assert (player.requests, player.unpriced) == (10, 0)


def test_steps_of_any_length_play_every_request_once(traced: Callable[[str], Trace]) -> None:
    trace = traced(BINNED + "".join(f"m,{row % 3},{row * 600},{row * 7 + 1},10,1\n" for row in range(9)))
    collector = MetricsCollector()
    player = Player(trace, collector, BOOK, START)
    for seconds in np.cumsum([1, 59, 61, 599, 600, 601, 13, 1800, 3600, 10]):
        player.play_until(START + timedelta(seconds=int(seconds)))
    assert player.requests == trace.total_requests == requests_of(collector, "m")


def test_a_request_without_an_answer_is_counted_priced_and_an_error(traced: Callable[[str], Trace]) -> None:
    collector = MetricsCollector()
    player = Player(traced(BURST + "1,2.5,n,100,0\n2,,n,100,5\n"), collector, BOOK, START)
    player.play_until(START + timedelta(seconds=2))
    assert requests_of(collector, "n") == 2
    assert value(collector, "asahi_errors_total", error_type="no_response", component="model") == 1
    assert value(
        collector, "asahi_wasted_cost_dollars_total", model="n", task_type="unknown", outcome="error"
    ) == pytest.approx(0.001)
    assert value(collector, "asahi_latency_ms_count", model="n", cache_tier="none") == 1
    assert value(collector, "asahi_latency_ms_sum", model="n", cache_tier="none") == 2500


def test_a_request_counts_from_its_own_moment_on(traced: Callable[[str], Trace]) -> None:
    collector = MetricsCollector()
    player = Player(traced(BURST + "1,,m,1,1\n2,,m,1,1\n"), collector, BOOK, START)
    player.play_until(START + timedelta(seconds=1.999))
    assert requests_of(collector, "m") == 1
    player.play_until(START + timedelta(seconds=2))
    assert requests_of(collector, "m") == 2


def test_a_model_without_a_price_is_unpriced_and_a_trace_without_a_model_takes_the_given_one(
    traced: Callable[[str], Trace],
) -> None:
    trace = traced("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,1000,500\n")
    unknown, named = MetricsCollector(), MetricsCollector()
    player = Player(trace, unknown, BOOK, START)
    player.play_until(START)
    assert (player.requests, player.unpriced) == (1, 1)
    assert value(unknown, "asahi_unpriced_requests_total", model="unknown") == 1
    Player(trace, named, BOOK, START, model="m").play_until(START)
    assert value(named, "asahi_user_cost_dollars_total", user="unknown") == pytest.approx(0.002)


def total(series: list[HistorySeries], name: str, at: int = -1) -> float:
    return sum(float(one.values[at]) for one in series if one.name == name)


def test_scrapes_begin_at_zero_and_end_with_everything(traced: Callable[[str], Trace]) -> None:
    trace = traced(BINNED + "m,1,0,600,10,0\nm,2,600,60,10,0\nx,2,600,5,10,0\n")
    scrapes = scrape_trace(trace, BOOK, START)
    series = list(scrapes.series({"job": "j", "instance": "i"}))
    assert scrapes.times_ms.tolist() == [
        round(START.timestamp() * 1000) + minute * 60_000 for minute in range(21)
    ]
    assert (scrapes.requests, scrapes.unpriced) == (665, 5)
    assert total(series, "asahi_requests_total") == 665
    assert total(series, "asahi_user_cost_dollars_total") == pytest.approx(660 * 10 / 1e6, rel=1e-12)
    assert all(np.all(np.diff(one.values) >= 0) for one in series)
    assert {(one.labels["job"], one.labels["instance"]) for one in series} == {("j", "i")}


def test_a_series_begins_with_its_first_request(traced: Callable[[str], Trace]) -> None:
    scrapes = scrape_trace(traced(BINNED + "m,1,0,600,10,0\nx,2,600,60,10,0\n"), BOOK, START)
    late = next(
        one for one in scrapes.series({}) if one.name == "asahi_requests_total" and one.labels["model"] == "x"
    )
    assert late.times_ms[0] == (START.timestamp() + 660) * 1000
    assert late.values[0] == 6


def test_progress_counts_the_scrapes(traced: Callable[[str], Trace]) -> None:
    heard: list[tuple[int, int]] = []
    scrape_trace(
        traced(BINNED + "m,1,0,6,1,1\n"), BOOK, START, progress=lambda done, of: heard.append((done, of))
    )
    assert heard == [(done, 11) for done in range(1, 12)]


def test_more_users_than_an_exporter_usually_admits_keep_their_names(traced: Callable[[str], Trace]) -> None:
    trace = traced(BINNED + "".join(f"m,user-{user},0,1,1,1\n" for user in range(1_200)))
    names = {
        one.labels.get("user") for one in scrape_trace(trace, BOOK, START).series({}) if "user" in one.labels
    }
    assert len(names) == 1_200


def test_the_last_scrape_is_at_the_end_whatever_the_interval(traced: Callable[[str], Trace]) -> None:
    trace = traced(BINNED + "m,1,0,6,1,1\n")
    moments = scrape_moments(trace, START, timedelta(seconds=70))
    assert moments[-1] == START + timedelta(minutes=10)
    assert moments[0] <= START
    assert len(moments) == 10


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", datetime(2026, 5, 1, 12, 34, tzinfo=UTC)),
        ("recorded", None),
        ("2026-02-03T04:05:06+01:00", datetime(2026, 2, 3, 3, 5, 6, tzinfo=UTC)),
    ],
)
def test_the_end_is_now_as_recorded_or_a_time(text: str, moment: datetime | None) -> None:
    assert end_of(text, datetime(2026, 5, 1, 12, 34, 56, tzinfo=UTC)) == moment


@pytest.mark.parametrize(
    ("text", "message"), [("soon", "pass now, recorded or"), ("2026-01-01T00:00:00", "time zone")]
)
def test_a_wrong_end_says_what_to_pass(text: str, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        end_of(text, START)


def test_a_trace_starts_so_that_it_ends_when_it_should(traced: Callable[[str], Trace]) -> None:
    binned = traced(BINNED + "m,1,600,6,1,1\n")
    assert start_of(binned, START) == START - timedelta(minutes=20)
    azure = traced("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,1000,500\n")
    assert start_of(azure, None) == datetime(2023, 11, 16, 18, tzinfo=UTC)

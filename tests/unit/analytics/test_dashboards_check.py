"""The check asks what Grafana would ask, and tells empty panels and unknown names."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asahi_analytics import dashboards
from asahi_analytics.cli import dashboards as command
from asahi_analytics.dashboards import check
from asahi_analytics.dashboards.overview import overview
from asahi_analytics.errors import UserInputError
from asahi_analytics.replies import Matrix, Sample, Series, Vector

NOW = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)


class FakePrometheus:
    """Answers every question with the same values and remembers what was asked."""

    def __init__(self, *values: float) -> None:
        self.values = values
        self.instant: list[str] = []
        self.ranges: list[tuple[str, timedelta, timedelta]] = []

    def query(self, promql, at):
        assert at >= NOW
        self.instant.append(promql)
        return Vector(tuple(Sample({}, value) for value in self.values))

    def query_range(self, promql, start, end, step):
        self.ranges.append((promql, end - start, step))
        times = np.array([0.0, 1.0])
        return Matrix(tuple(Series({}, times, np.array([math.nan, value])) for value in self.values))


def test_every_query_of_every_panel_is_asked_with_grafanas_variables_filled_in():
    asker = FakePrometheus(1.0, 2.0)
    answers = list(check.ask(asker, overview(), NOW))
    assert [answer.series for answer in answers] == [2] * 9
    assert all(answer.good for answer in answers)
    assert not any("$" in query for query in (*asker.instant, *(query for query, _, _ in asker.ranges)))
    assert "[55800s])" in asker.instant[0]  # 15 h 30 min since midnight
    assert "[86400s])" in asker.instant[1]
    assert {(length, step) for _, length, step in asker.ranges} == {(timedelta(days=1), timedelta(minutes=2))}


def test_another_time_range_moves_all_panels_but_the_one_that_keeps_its_own():
    asker = FakePrometheus(1.0)
    list(check.ask(asker, overview(), NOW, since="now-7d"))
    assert "[55800s])" in asker.instant[0]
    assert "[604800s])" in asker.instant[1]


@pytest.mark.parametrize("values", [(), (math.nan,), (math.inf,)])
def test_a_panel_without_a_finite_value_is_empty(values):
    answers = list(check.ask(FakePrometheus(*values), overview(), NOW))
    assert not any(answer.good for answer in answers)
    assert check.listing(answers).count("FAIL") == 9


def test_an_unknown_name_is_told_even_when_there_is_data():
    dashboard = overview()
    dashboard["panels"][0]["targets"][0]["expr"] = "sum by (planet) (asahi_requests_total)"
    first = next(check.ask(FakePrometheus(1.0), dashboard, NOW))
    assert not first.good
    assert check.problems([first]) == [
        f"Asahi overview: panel {first.panel!r}: unknown label planet in by or on"
    ]


def test_the_listing_has_a_short_line_for_each_query():
    answers = [check.Answer("Board", "Panel", "a" * 600, series, ()) for series in (3, 0)]
    assert check.listing(answers) == "  ok  Board: Panel (3 series)\nFAIL  Board: Panel (0 series)"


def test_a_panel_that_fails_is_told_once_with_what_may_be_the_cause():
    budgets = [
        check.Answer("Asahi budgets", "Used", f"asahi_budget_{name}", 0, ())
        for name in ("dollars", "spent_dollars")
    ]
    money = check.Answer("Asahi money", "Saved", "sum(asahi:savings_dollars:running)", 0, ())
    told = check.problems([*budgets, money])
    assert told[:2] == [
        "Asahi budgets: panel 'Used': nothing to show",
        "Asahi money: panel 'Saved': nothing to show",
    ]
    assert "asahi-obs serve, which Prometheus must scrape" in told[2]
    assert "asahi-obs doctor" in told[3]
    assert len(told) == 4


@pytest.mark.parametrize(
    ("since", "start"),
    [
        ("now/d", datetime(2026, 3, 1, tzinfo=UTC)),
        ("now/M", datetime(2026, 3, 1, tzinfo=UTC)),
        ("now-90m", datetime(2026, 3, 1, 14, tzinfo=UTC)),
        ("now-24h", datetime(2026, 2, 28, 15, 30, tzinfo=UTC)),
        ("now-7d", datetime(2026, 2, 22, 15, 30, tzinfo=UTC)),
    ],
)
def test_a_time_range_begins_where_grafana_would_begin_it(since, start):
    assert check.range_start(since, NOW) == start


def test_today_is_at_least_a_minute_long():
    midnight = datetime(2026, 3, 1, 0, 0, 5, tzinfo=UTC)
    assert midnight - check.range_start("now/d", midnight) == timedelta(minutes=1)


@pytest.mark.parametrize("since", ["now-1y", "yesterday", "", "now-d"])
def test_another_form_of_time_range_is_refused_with_what_to_pass(since):
    with pytest.raises(UserInputError, match="pass now/d, now/M or now-<number>"):
        check.range_start(since, NOW)


@pytest.mark.parametrize(("seconds", "step"), [(60, 60), (86_400, 120), (604_800, 900), (10**9, 86_400)])
def test_the_resolution_is_a_round_step_that_keeps_about_a_thousand_points(seconds, step):
    assert check.step_seconds(seconds) == step


def test_a_panel_may_ask_for_a_longer_step_at_least():
    assert [check.step_seconds(seconds, 300) for seconds in (60, 86_400, 604_800)] == [300, 300, 900]


def run(*words):
    parser = command.argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["dashboards", *map(str, words)])
    return arguments.run(arguments)


def test_what_build_writes_check_accepts(tmp_path, capsys):
    assert run("build", tmp_path / "new") == 0
    assert run("check", tmp_path / "new") == 0
    assert "nothing to complain about" in capsys.readouterr().out


def test_check_tells_a_missing_and_a_changed_file(tmp_path, capsys):
    assert run("check", tmp_path) == 1
    assert (
        "asahi-overview.json is missing; write it with: asahi-obs dashboards build" in capsys.readouterr().err
    )
    run("build", tmp_path)
    (tmp_path / "asahi-overview.json").write_text("{}")
    assert run("check", tmp_path) == 1
    assert "asahi-overview.json differs from what is built" in capsys.readouterr().err


def test_check_with_an_address_prints_each_panel_and_fails_on_an_empty_panel(tmp_path, capsys, monkeypatch):
    run("build", tmp_path)
    asked = []
    monkeypatch.setattr(command, "PrometheusClient", lambda url: asked.append(url) or FakePrometheus(1.0))
    assert run("check", tmp_path, "--prometheus-url", "http://prometheus") == 0
    assert asked == ["http://prometheus"]
    assert capsys.readouterr().out.count("  ok  ") >= 9 * len(dashboards.DASHBOARDS)
    monkeypatch.setattr(command, "PrometheusClient", lambda _: FakePrometheus())
    assert run("check", tmp_path, "--prometheus-url", "http://prometheus") == 1
    assert "panel 'Error Rate': nothing to show" in capsys.readouterr().err


def test_check_asks_as_of_the_moment_given(tmp_path, monkeypatch):
    run("build", tmp_path)
    fake = FakePrometheus(1.0)
    monkeypatch.setattr(command, "PrometheusClient", lambda _: fake)
    assert run("check", tmp_path, "--prometheus-url", "http://x", "--at", "2026-03-01T15:30:00+00:00") == 0
    assert "[55800s])" in fake.instant[0]


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("2026-03-01T15:30:00", "has no time zone; end it with Z"),
        ("noon", "must be a time like 2026-03-01T12:00:00Z; got 'noon'"),
    ],
)
def test_a_moment_that_cannot_be_used_is_refused(moment, words, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("check", tmp_path, "--at", moment)
    assert words in capsys.readouterr().err

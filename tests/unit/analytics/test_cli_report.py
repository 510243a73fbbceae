"""``asahi-obs report``: readable in 80 columns, and as JSON."""

from __future__ import annotations

import argparse
from datetime import timedelta

import orjson
import pytest
from rich.console import Console

from asahi_analytics import engine as engine_module
from asahi_analytics.cli import main, report
from asahi_analytics.cli.printing import name_text
from asahi_analytics.composer import Trust
from asahi_analytics.engine import AnalyticsEngine
from asahi_analytics.errors import UserInputError
from asahi_analytics.models import Point
from asahi_analytics.prometheus import PrometheusClient
from support.ledger_composer import NOON, Entry, LedgerComposer, request

ENTRIES = [
    *request(NOON, model="a-model-with-a-name-that-is-longer-than-the-terminal-" * 3, cost=9.5, saved=0.5),
    *(entry for number in range(20) for entry in request(NOON, model=f"m{number:02}", cost=0.5)),
    *request(NOON - timedelta(hours=5), cost=0.0123, saved=1.0, phase="cache"),
]


def made(entries=ENTRIES, trust=None) -> AnalyticsEngine:
    return AnalyticsEngine(PrometheusClient(), composer=LedgerComposer(entries, trust), clock=lambda: NOON)


def text_of(engine: AnalyticsEngine, **options) -> str:
    answers = report.gather(engine, **{"period": "day", "group_by": "model", "window_name": None, **options})
    console = Console(width=report.WIDTH, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(report.render(answers))
    console.file.close()
    return console.export_text()


def test_a_report_holds_totals_breakdown_savings_trend_and_trust_in_80_columns() -> None:
    text = text_of(made())
    assert max(len(line) for line in text.splitlines()) <= 80
    for words in (
        "Cost",
        "$19.51",
        "Saved",
        "$1.50 (7.1 %)",
        "Cost by model",
        "(10 more)",
        "Savings by phase",
        "routing",
    ):
        assert words in text
    assert "2026-03-09 12:00 to 2026-03-10 12:00 UTC" in text
    assert "Cost of 24 hours to 10 Mar" in text
    assert "scraped 100 %" in text


def test_nothing_counted_is_said_in_words() -> None:
    trust = Trust(scraped_ratio=0.0, warnings=["nothing was ever scraped"])
    text = text_of(made([], trust))
    for words in (
        "(nothing was counted)",
        "(nothing was saved)",
        "! nothing was ever scraped",
        "scraped 0 %",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("window", "unit"),
    [
        ("last-month", "28 days to 01 Mar"),
        ("today", "24 hours to 10 Mar"),
        ("2026-03-01T00:00:00Z,2026-03-08T00:00:00Z", "7 days to 08 Mar"),
    ],
)
def test_the_trend_fits_the_window(window, unit) -> None:
    assert unit in text_of(made(), window_name=window)


def test_a_model_without_a_price_is_not_called_free() -> None:
    entries = [
        *request(NOON, model="priced", cost=2.0),
        *request(NOON, model="house", cost=0.0),
        Entry(NOON, "unpriced_requests", {"model": "house"}, 1.0),
        *request(NOON, model="free", cost=0.0),
    ]
    rows = {line.split()[1]: line for line in text_of(made(entries)).splitlines() if line.startswith("│ ")}
    assert "no price" in rows["house"]
    assert "$0.00" in rows["free"]
    assert "$2.00" in rows["priced"]


def test_a_window_that_is_not_known_is_refused() -> None:
    with pytest.raises(UserInputError, match="window must be one of"):
        text_of(made(), window_name="someday")


def test_markup_in_a_name_stays_text() -> None:
    assert "[red]x" in text_of(made(request(NOON, model="[red]x[/nothing]")))


def test_a_name_cannot_steer_the_terminal() -> None:
    names = {
        "\x1b[2Jgone": r"\x1b[2Jgone",
        "two\nlines": r"two\nlines",
        "\u202eback": r"\u202eback",
        "\0": r"\x00",
    }
    entries = [entry for name in names for entry in request(NOON, model=name, phase=name, saved=1.0)]
    text = text_of(made(entries))
    assert all(shown in text for shown in names.values())
    assert not [each for each in text if not each.isprintable() and each != "\n"]


def test_letters_of_any_script_and_joined_emoji_are_written_as_they_are() -> None:
    for name in ("\u05e9\u05dc\u05d5\u05dd", "caf\u00e9", "\U0001f468\u200d\U0001f469", " a b "):
        assert name_text(name).plain == name


def test_the_command_prints_json(monkeypatch, capsys) -> None:
    monkeypatch.setattr(report, "AnalyticsEngine", lambda *_what, **_more: made())
    parser = argparse.ArgumentParser()
    report.add_parser(parser.add_subparsers())
    for line, check in ((["report", "--json"], orjson.loads), (["report"], len)):
        given = parser.parse_args(line)
        assert given.run(given) == 0
        printed = check(capsys.readouterr().out)
        if isinstance(printed, dict):
            assert printed["cost_breakdown"]["total_cost"] == pytest.approx(19.5123)
            assert set(printed) == {"cost_breakdown", "baseline", "trend"}


def test_a_file_of_the_settings_that_cannot_be_used_is_refused_as_by_the_service(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(report, "AnalyticsEngine", lambda *_what, **_more: made())
    budgets, settings = tmp_path / "budgets.yml", tmp_path / "settings.yml"
    budgets.write_text("bugdets: []\n", encoding="utf-8")
    settings.write_text(f"analytics:\n  budgets_file: {budgets}\n", encoding="utf-8")
    assert main(["report", "--config", str(settings)]) == 2
    assert "bugdets is not a key here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "$0.00"),
        (1234.5, "$1,234.50"),
        (0.1, "$0.10"),
        (0.01234, "$0.01234"),
        (-2.0, "-$2.00"),
    ],
)
def test_dollars(value, text) -> None:
    assert report.dollars(value) == text


@pytest.mark.parametrize(
    ("values", "line"), [([0.0, 1.0, None, 2.0], "▁▅ █"), ([0.0, None], "▁ "), ([], ""), ([None], " ")]
)
def test_a_sparkline_has_a_blank_where_nothing_was_scraped(values, line) -> None:
    points = [Point(timestamp=NOON, value=value) for value in values]
    assert report.sparkline(points) == line


def test_the_clock_of_a_report_stands_still(monkeypatch) -> None:
    moments = iter([NOON, NOON + timedelta(hours=9)])
    monkeypatch.setattr(report, "utc_now", lambda: next(moments))
    seen = []
    monkeypatch.setattr(report, "gather", lambda engine, *_rest: seen.append(engine) or _stop())
    parser = argparse.ArgumentParser()
    report.add_parser(parser.add_subparsers())
    given = parser.parse_args(["report"])
    with pytest.raises(UserInputError):
        given.run(given)
    assert isinstance(seen[0], engine_module.AnalyticsEngine)
    assert seen[0].clock() == seen[0].clock() == NOON


def _stop() -> None:
    raise UserInputError("stop")

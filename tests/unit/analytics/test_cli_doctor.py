"""``asahi-obs doctor``: each check on both sides, and what it tells to do."""

from __future__ import annotations

import argparse
from datetime import timedelta

import orjson
import pytest
import responses

from asahi_analytics import deadline
from asahi_analytics.cli import doctor
from asahi_analytics.composer import Gap, Trust
from asahi_analytics.demo.servers import free_port
from asahi_analytics.engine import AnalyticsEngine
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.settings import PrometheusSettings, Settings
from asahi_analytics.transport import Reply
from support.fake_transport import FakeTransport, success
from support.ledger_composer import NOON, Entry, LedgerComposer, request


def one(value: float, **labels: str) -> dict:
    return {"metric": labels, "value": [0, str(value)]}


HEALTHY = {
    "vector(1)": [one(1)],
    "timestamp(up)": [one(NOON.timestamp() - 3)],
    "up == 0": [],
    "unless on (job, instance) up": [],
    "group by (job, instance)": [one(1, job="asahi", instance="a:1"), one(1, job="asahi", instance="b:1")],
    "iterations_missed": [one(0)],
    "group(last_over_time(asahi:requests:state[600s]))": [one(1)],
    'group(up{job="asahi-analytics"})': [one(1)],
}
PAGES = {
    "status/buildinfo": {"version": "2.53.1"},
    "rules": {"groups": [{"name": "asahi_requests", "rules": [{"name": "x", "lastError": ""}]}]},
    "alertmanagers": {"activeAlertmanagers": [{"url": "http://am"}]},
}


def engine(
    queries=None, pages=None, *, entries=(), trust=None, settings=None, metricsql=False
) -> AnalyticsEngine:
    """An engine whose Prometheus, or VictoriaMetrics, is healthy but for what is given."""
    answer = [one(1)] if metricsql else Reply(400, b"unknown function")
    found = {"label_set(": answer, **HEALTHY, **(queries or {})}
    known = {**PAGES, **(pages or {})}

    def handler(path, fields):
        if path == "/api/v1/query":
            answer = next(result for words, result in found.items() if words in fields["query"])
            return answer if isinstance(answer, Reply) else success(answer)
        page = known[path.removeprefix("/api/v1/")]
        return (
            page if isinstance(page, Reply) else Reply(200, orjson.dumps({"status": "success", "data": page}))
        )

    client = PrometheusClient(transport=FakeTransport(handler))
    composer = LedgerComposer(entries, trust or Trust(scraped_ratio=1.0, repaired_ratio=0.0))
    return AnalyticsEngine(client, composer=composer, settings=settings, clock=lambda: NOON)


def test_a_healthy_installation_has_nothing_but_good_news() -> None:
    findings = list(doctor.examine(engine()))
    assert {finding.level for finding in findings} == {"ok"}
    assert len(findings) == len(doctor.CHECKS) + 1


def test_nothing_else_is_examined_while_prometheus_is_down() -> None:
    (only,) = doctor.examine(engine({"vector(1)": Reply(503, b"starting")}))
    assert only.level == "fail"
    assert "--prometheus-url" in only.advice


def test_once_the_time_is_up_the_rest_is_left_out_and_said_once() -> None:
    made = engine()
    with deadline.within(45) as own:
        findings = doctor.examine(made)
        found = [next(findings) for _ in range(3)]
        own.left = lambda: 0.0
        found += findings
    assert [finding.level for finding in found] == ["ok", "ok", "ok", "fail"]
    assert "not ready within 45 s" in found[-1].detail
    assert found[-1].advice == f"{len(doctor.CHECKS) - 2} checks were not made for lack of time"


def test_a_check_that_prometheus_refuses_is_skipped_with_its_words() -> None:
    findings = list(doctor.examine(engine({"iterations_missed": Reply(422, b"no such thing")})))
    skipped = [finding for finding in findings if finding.level == "skip"]
    assert [finding.title for finding in skipped] == ["missed evaluations"]
    assert "no such thing" in skipped[0].detail


@pytest.mark.parametrize(
    ("version", "metricsql", "level"),
    [
        ("2.42.0+ds", False, "ok"),
        ("2.41.0", False, "warn"),
        ("3.5.0-rc.1", False, "ok"),
        ("2.24.0", True, "ok"),
    ],
)
def test_an_old_prometheus_is_told_and_victoria_metrics_is_not_mistaken_for_one(
    version, metricsql, level
) -> None:
    made = engine(pages={"status/buildinfo": {"version": version}}, metricsql=metricsql)
    finding = doctor.reachable(made)
    assert finding.level == level
    assert version in finding.detail


def _first(handler, words, answer):
    """Answer queries with ``words`` before anything else matches them."""

    def wrapped(path, fields):
        if words in fields.get("query", ""):
            return answer if isinstance(answer, Reply) else success(answer)
        return handler(path, fields)

    return wrapped


@pytest.mark.parametrize("page", [Reply(404, b""), {"version": ""}])
def test_a_backend_that_tells_no_version_is_fine(page) -> None:
    assert "not told" in doctor.reachable(engine(pages={"status/buildinfo": page})).detail


@pytest.mark.parametrize(("ahead", "level"), [(6, "warn"), (5, "ok"), (-300, "ok"), (-301, "warn")])
def test_clocks_that_differ_are_told(ahead, level) -> None:
    newest = [one((NOON + timedelta(seconds=ahead)).timestamp())]
    assert doctor.clock(engine({"timestamp(up)": newest})).level == level


def test_without_a_scrape_the_clocks_cannot_be_compared() -> None:
    assert doctor.clock(engine({"timestamp(up)": []})).level == "skip"


def test_an_exporter_that_is_not_scraped_or_down_is_told() -> None:
    assert doctor.exporter(engine({"group by (job, instance)": []})).level == "fail"
    down = doctor.exporter(engine({"up == 0": [one(0, instance="b:1")]}))
    assert (down.level, "b:1" in down.detail) == ("warn", True)


def test_an_exporter_whose_samples_were_written_by_a_replay_is_told_from_one_that_is_scraped() -> None:
    written = doctor.exporter(
        engine({"unless on (job, instance) up": [one(1, job="asahi", instance="replay")]})
    )
    assert written.level == "warn"
    assert written.detail == "2 have samples of the last minutes; Prometheus scrapes 1 of them"
    assert "scrape_configs" in written.advice


def test_rules_that_are_absent_or_broken_are_told() -> None:
    absent = doctor.rules(engine({"group(last_over_time(asahi:requests:state[600s]))": []}))
    assert (absent.level, "rule_files" in absent.advice) == ("fail", True)
    group = {"name": "asahi_cost", "rules": [{"name": "asahi:cost", "lastError": "many-to-many"}]}
    assert "many-to-many" in doctor.rules(engine(pages={"rules": {"groups": [group]}})).detail
    others = {"name": "others", "rules": [{"name": "x", "lastError": "broken"}]}
    elsewhere = doctor.rules(engine(pages={"rules": {"groups": [others]}}))
    assert (elsewhere.level, "evaluates none of them" in elsewhere.detail) == ("warn", True)
    assert "rule_files" in elsewhere.advice
    assert doctor.rules(engine(pages={"rules": Reply(404, b"")})).level == "ok"


@pytest.mark.parametrize(("results", "level"), [([one(1)], "ok"), ([], "fail")])
def test_rules_are_evaluated_by_vmalert_where_victoriametrics_is_asked(results, level) -> None:
    absent = {"group(last_over_time(asahi:requests:state[600s]))": results}
    finding = doctor.rules(engine(absent, {"rules": {"groups": []}}, metricsql=True))
    assert finding.level == level
    assert "rule_files" not in finding.advice
    assert ("vmalert" in finding.advice) is (level == "fail")


def test_rules_that_were_loaded_just_now_are_not_said_to_be_absent() -> None:
    group = {"name": "asahi_requests", "rules": [{"name": "asahi:requests:state", "lastError": ""}]}
    made = engine(pages={"rules": {"groups": [group]}})
    made.client._transport.handler = _first(made.client._transport.handler, "asahi:requests:state", [])
    young = doctor.rules(made)
    assert (young.level, young.detail) == ("warn", "they are loaded, but have no result of the last minutes")
    assert "rule_files" not in young.advice
    assert "10 minutes" in young.advice


def test_a_service_that_is_not_scraped_is_told() -> None:
    assert doctor.analytics_service(engine()).level == "ok"
    finding = doctor.analytics_service(engine({'group(up{job="asahi-analytics"})': []}))
    assert finding.level == "warn"
    assert "docs/configuration.md" in finding.advice


@pytest.mark.parametrize(("missed", "level"), [([], "skip"), ([one(0.4)], "ok"), ([one(1)], "warn")])
def test_missed_evaluations(missed, level) -> None:
    finding = doctor.missed_evaluations(engine({"iterations_missed": missed}))
    assert finding.level == level
    assert bool(finding.advice) is (level != "ok")


@pytest.mark.parametrize(
    ("ratio", "level"), [(None, "ok"), (0.0, "ok"), (0.001, "ok"), (0.0011, "warn"), (0.25, "warn")]
)
def test_history_without_totals_asks_for_a_backfill(ratio, level) -> None:
    finding = doctor.history(engine(trust=Trust(scraped_ratio=1.0, repaired_ratio=ratio)))
    assert finding.level == level
    assert ("rules backfill DATA_DIR" in finding.advice) is (level == "warn")


def test_history_that_is_younger_than_the_window_says_when_it_begins() -> None:
    gap = Gap(start=NOON - timedelta(days=30), end=NOON - timedelta(days=2))
    young = Trust(scraped_ratio=2 / 30, repaired_ratio=0.0, gaps=[gap])
    finding = doctor.history(engine(trust=young))
    assert finding.level == "ok"
    assert finding.detail.endswith(f"begins on {gap.end.day} {gap.end:%b} 12:00 UTC")


def test_what_nothing_was_scraped_of_is_not_called_fine() -> None:
    made = engine(trust=Trust(repaired_ratio=0.0))
    for check in (doctor.history, doctor.label_overflow, doctor.refused_records, doctor.unpriced_requests):
        finding = check(made)
        assert finding.level == "skip"
        assert "nothing was scraped" in finding.detail


def test_overflow_refusals_and_missing_prices_of_the_last_day_are_told() -> None:
    at = NOON - timedelta(hours=1)
    entries = [
        Entry(at, "label_overflow", {"label": "user"}, 3.0),
        Entry(at, "refused_records", {"reason": "nan"}, 2.0),
        Entry(at, "unpriced_requests", {"model": "new-model"}, 1.0),
        *request(at),
    ]
    made = engine(entries=entries)
    assert "user (3)" in doctor.label_overflow(made).detail
    assert "nan (2)" in doctor.refused_records(made).detail
    assert doctor.unpriced_requests(made).detail == "100 % of requests in the last day: new-model"


def test_an_alertmanager_that_nobody_sends_to_is_told() -> None:
    assert doctor.alertmanager(engine(pages={"alertmanagers": {"activeAlertmanagers": []}})).level == "warn"
    assert doctor.alertmanager(engine(pages={"alertmanagers": Reply(404, b"")})).level == "skip"


@responses.activate
@pytest.mark.parametrize(("status", "level"), [(200, "ok"), (503, "warn")])
def test_the_services_own_alertmanager_must_answer(status, level) -> None:
    responses.get("http://am.test/-/ready", status=status)
    settings = Settings(alertmanager_url="http://am.test/")
    assert doctor.alertmanager(engine(settings=settings)).level == level


@responses.activate
def test_an_alertmanager_that_cannot_be_reached_is_told() -> None:
    assert doctor.alertmanager(engine(settings=Settings(alertmanager_url="http://am.test"))).level == "warn"


@pytest.mark.parametrize(("queries", "code"), [({}, 0), ({"vector(1)": Reply(503, b"")}, 1)])
def test_the_command_prints_each_finding_and_fails_when_one_does(monkeypatch, capsys, queries, code) -> None:
    made = engine(queries)
    monkeypatch.setattr(doctor, "AnalyticsEngine", lambda *_what, **_more: made)
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    given = parser.parse_args(["doctor"])
    assert given.run(given) == code
    printed = capsys.readouterr().out
    assert (
        "Prometheus: http://127.0.0.1:9090" in printed
        if code == 0
        else "→ if another one is meant" in printed
    )


def test_what_to_do_about_a_prometheus_that_is_down_is_said_once() -> None:
    settings = PrometheusSettings(url=f"http://127.0.0.1:{free_port()}", retries=0)
    found = list(doctor.examine(AnalyticsEngine(PrometheusClient(settings), settings=Settings())))
    assert [finding.level for finding in found] == ["fail"]
    words = f"{found[0].detail} {found[0].advice}"
    assert words.lower().count("start") == words.count("--prometheus-url") == 1

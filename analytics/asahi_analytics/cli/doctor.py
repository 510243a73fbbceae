"""``asahi-obs doctor``: check what a new installation gets wrong, and say what to do."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

import requests
from rich.console import Console
from rich.text import Text

from asahi_analytics import deadline, limits, recording
from asahi_analytics.cli.options import add_connection_options, settings_of
from asahi_analytics.cli.printing import Printing
from asahi_analytics.engine import AnalyticsEngine
from asahi_analytics.errors import AnswerTooLate, PrometheusError, PrometheusRefused, PrometheusUnreachable
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.windows import trailing
from asahi_exporter.conventions import REQUESTS, STORE_CREATED
from asahi_exporter.promtext import quoted
from asahi_exporter.prose import percent

Level = Literal["ok", "warn", "fail", "skip"]
OLDEST_PROMETHEUS: Final = (2, 42)
MAX_SKEW_SECONDS: Final = 5.0
MAX_UNPRICED: Final = 0.001
MAX_REPAIRED: Final = 0.001
"""Of 30 days, three quarters of an hour: what the first minutes of the rules and short interruptions leave."""
FIRST_TOTALS_MINUTES: Final = 10
RULE_FILES: Final = "add prometheus/rules/*.yml to rule_files in prometheus.yml and reload Prometheus"
VMALERT: Final = "let vmalert evaluate prometheus/rules/*.yml; docs/configuration.md shows how"
MISSED: Final = ("prometheus_rule_group_iterations_missed_total", "vmalert_iteration_missed_total")
_STYLES: Final[dict[Level, str]] = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}
_EXPORTERS: Final = f"group by (job, instance) ({STORE_CREATED.name} or {REQUESTS.name})"


@dataclass(frozen=True)
class Finding:
    """What one check found; ``advice`` says what to do about it."""

    level: Level
    title: str
    detail: str
    advice: str = ""


Check = Callable[[AnalyticsEngine], Finding]


def add_parser(subparsers: Any, **words: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser("doctor", **words)
    add_connection_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print each finding; return 1 when something is wrong that makes the figures wrong or absent."""
    settings = settings_of(arguments)
    engine = AnalyticsEngine(PrometheusClient(settings.prometheus), settings=settings)
    console = Printing(100)
    failed = False
    with deadline.within(settings.answer_deadline_seconds):
        for finding in examine(engine):
            failed = failed or finding.level == "fail"
            show(console, finding)
    return 1 if failed else 0


def show(console: Console, finding: Finding) -> None:
    """Print one finding: a line, and what to do below it."""
    console.print(
        Text(f"{finding.level:>4} ", style=_STYLES[finding.level])
        + Text(f"{finding.title}: {finding.detail}")
    )
    if finding.advice:
        console.print(Text(f"     → {finding.advice}"))


def examine(engine: AnalyticsEngine) -> Iterator[Finding]:
    """Yield a finding for each check; only the first where Prometheus cannot be asked, and none after time is up."""
    first = reachable(engine)
    yield first
    if first.level == "fail":
        return
    for number, check in enumerate(CHECKS):
        title = check.__name__.replace("_", " ")
        try:
            yield check(engine)
        except AnswerTooLate as error:
            yield Finding(
                "fail", title, str(error), f"{len(CHECKS) - number} checks were not made for lack of time"
            )
            return
        except PrometheusError as error:
            yield Finding("skip", title, str(error))


def reachable(engine: AnalyticsEngine) -> Finding:
    """Does Prometheus answer, and which version is it?"""
    url, title = engine.settings.prometheus.url, "Prometheus"
    try:
        engine.client.query("vector(1)", engine.clock())
    except PrometheusUnreachable as error:  # which says what to do
        return Finding("fail", title, str(error))
    except PrometheusError as error:
        return Finding("fail", title, str(error), "if another one is meant, pass --prometheus-url")
    version = _version(engine.client)
    if version is None:
        return Finding("ok", title, f"{url} answers (its version is not told)")
    numbers = tuple(
        int(part) for part in version.split("-")[0].split("+")[0].split(".")[:2] if part.isdigit()
    )
    if numbers < OLDEST_PROMETHEUS and not _is_victoria_metrics(engine):
        return Finding(
            "warn", title, f"{url} is version {version}", "2.42 is the oldest that is tested; upgrade it"
        )
    return Finding("ok", title, f"{url} is version {version}")


def clock(engine: AnalyticsEngine) -> Finding:
    """Do this machine and Prometheus agree on the time?"""
    now = engine.clock()
    newest = _value(engine, "max(max_over_time(timestamp(up)[15m:15s]))", now + timedelta(minutes=5))
    if newest is None:
        return Finding("skip", "clock", "nothing is scraped, so the clocks cannot be compared")
    ahead = newest - now.timestamp()
    if ahead > MAX_SKEW_SECONDS:
        advice = "set both clocks by NTP; windows that end now miss what lies in their future"
        return Finding("warn", "clock", f"Prometheus's newest sample is {ahead:.0f} s in the future", advice)
    if ahead < -300:
        advice = "see whether Prometheus still scrapes, and set both clocks by NTP"
        return Finding("warn", "clock", f"Prometheus's newest sample is {-ahead:.0f} s old", advice)
    return Finding("ok", "clock", "Prometheus's newest sample is from just now")


def exporter(engine: AnalyticsEngine) -> Finding:
    """Is any exporter of ours scraped, and do its targets answer?"""
    now = engine.clock()
    found = engine.client.query(_EXPORTERS, now).samples
    if not found:
        advice = "add the exporter's address to scrape_configs in prometheus.yml; prometheus/prometheus.yml shows how"
        return Finding("fail", "exporter", "Prometheus has no metric of Asahi from the last minutes", advice)
    down = engine.client.query(f"up == 0 and on (job) {_EXPORTERS}", now).samples
    if down:
        names = ", ".join(sorted(sample.labels.get("instance", "?") for sample in down)[:5])
        return Finding(
            "warn",
            "exporter",
            f"targets that do not answer: {len(down)} ({names})",
            "see /targets of Prometheus",
        )
    unscraped = len(engine.client.query(f"{_EXPORTERS} unless on (job, instance) up", now).samples)
    if unscraped:
        detail = f"{len(found)} have samples of the last minutes; Prometheus scrapes {len(found) - unscraped} of them"
        advice = "what replay or remote write wrote does not go on; add live exporters to scrape_configs"
        return Finding("warn", "exporter", detail, advice)
    return Finding("ok", "exporter", f"targets that are scraped: {len(found)}")


def rules(engine: AnalyticsEngine) -> Finding:
    """Are the recording rules loaded, healthy and evaluated just now?"""
    ours = _our_rules(engine.client)
    broken = [f"{rule['name']}: {rule['lastError']}" for rule in ours or () if rule.get("lastError")]
    if broken:
        return Finding(
            "fail", "recording rules", f"{broken[0]}", "repair what the message says, then reload Prometheus"
        )
    now = engine.clock()
    if not engine.client.query(recording.EVALUATED, now).samples:
        if any(rule.get("name") == recording.WITNESS for rule in ours or ()):
            detail = "they are loaded, but have no result of the last minutes"
            wait = f"the first totals come {FIRST_TOTALS_MINUTES} minutes after exporter and rules; ask again then"
            return Finding("warn", "recording rules", detail, wait)
        advice = VMALERT if _is_victoria_metrics(engine) else RULE_FILES
        return Finding("fail", "recording rules", "they have no result of the last minutes", advice)
    if ours == [] and not _is_victoria_metrics(engine):
        detail = "they have results of the last minutes, but this Prometheus evaluates none of them"
        return Finding(
            "warn", "recording rules", detail, f"unless another server evaluates them: {RULE_FILES}"
        )
    return Finding("ok", "recording rules", "they are evaluated")


def analytics_service(engine: AnalyticsEngine) -> Finding:
    """Is the service itself scraped? Budgets and forecasts in Grafana, and the alerts on them, are its metrics."""
    job = limits.load(engine.settings.thresholds_file).service_job
    if engine.client.query(f"group(up{{job={quoted(job)}}})", engine.clock()).samples:
        return Finding("ok", "analytics service", "Prometheus scrapes it")
    detail = f"Prometheus scrapes no job {job!r}, so dashboards and alerts have no budgets and no forecast"
    advice = "run asahi-obs serve and add it to scrape_configs; docs/configuration.md shows how"
    return Finding("warn", "analytics service", detail, advice)


def missed_evaluations(engine: AnalyticsEngine) -> Finding:
    """Has Prometheus skipped evaluations? The totals catch up, but it has too much to do."""
    increases = " or ".join(f"increase({name}[1d])" for name in MISSED)
    missed = _value(engine, f"sum({increases})", engine.clock())
    if missed is None:
        detail = "Prometheus has not scraped itself twice, so this is not known"
        advice = (
            "wait a minute; if it lasts, let it scrape itself, or vmalert, as docs/configuration.md shows"
        )
        return Finding("skip", "missed evaluations", detail, advice)
    if missed >= 1:
        advice = "give Prometheus more CPU, or let the rules run at a longer interval (asahi-obs rules build)"
        return Finding("warn", "missed evaluations", f"{missed:.0f} in the last day", advice)
    return Finding("ok", "missed evaluations", "none in the last day")


def history(engine: AnalyticsEngine) -> Finding:
    """Do recorded totals cover the last 30 days?"""
    window = trailing("month", engine.clock())
    trust = engine.composer.total("requests", (), window).trust
    if trust.scraped_ratio is None:
        return Finding("skip", "history", "nothing was scraped in the last 30 days")
    if trust.repaired_ratio and trust.repaired_ratio > MAX_REPAIRED:
        share = f"{percent(trust.repaired_ratio)} of the last 30 days is summed from raw samples"
        advice = (
            "asahi-obs rules backfill DATA_DIR makes the missing totals, and answers get faster; DATA_DIR is "
            "Prometheus's own, which sees them within about a minute"
        )
        return Finding("warn", "history", share, advice)
    if trust.gaps and trust.gaps[0].start <= window.start:
        first = trust.gaps[0].end.strftime("%-d %b %H:%M UTC")
        return Finding(
            "ok", "history", f"recorded totals cover all that was scraped, which begins on {first}"
        )
    return Finding("ok", "history", "recorded totals cover the last 30 days")


def label_overflow(engine: AnalyticsEngine) -> Finding:
    """Did label values run over their limit in the last day?"""
    found = _totals(engine, "label_overflow", "label")
    if found is None:
        return _unseen("label overflow")
    if found:
        words = ", ".join(f"{name} ({value:.0f})" for name, value in found)
        advice = "raise the limit of the label in MetricsConfig, or pass fewer values; totals stay exact"
        return Finding("warn", "label overflow", f"counted as 'other' in the last day: {words}", advice)
    return Finding("ok", "label overflow", "none in the last day")


def refused_records(engine: AnalyticsEngine) -> Finding:
    """Did the exporter refuse records in the last day?"""
    found = _totals(engine, "refused_records", "reason")
    if found is None:
        return _unseen("refused records")
    if found:
        words = ", ".join(f"{name} ({value:.0f})" for name, value in found)
        return Finding(
            "warn", "refused records", f"in the last day: {words}", "the exporter's log names the field"
        )
    return Finding("ok", "refused records", "none in the last day")


def unpriced_requests(engine: AnalyticsEngine) -> Finding:
    """Were there requests whose cost was not known in the last day?"""
    found = _totals(engine, "unpriced_requests", "model")
    if found is None:
        return _unseen("requests without a price")
    requests_seen = sum(value for _, value in _totals(engine, "requests", "model") or ())
    missing = sum(value for _, value in found)
    if requests_seen > 0 and missing / requests_seen > MAX_UNPRICED:
        models = ", ".join(name for name, _ in found[:5])
        detail = f"{percent(missing / requests_seen)} of requests in the last day: {models}"
        return Finding(
            "warn",
            "requests without a price",
            detail,
            "add the models to the price file of the service that calls them",
        )
    return Finding("ok", "requests without a price", "none worth mentioning in the last day")


def alertmanager(engine: AnalyticsEngine) -> Finding:
    """Does Prometheus, and the service if it is told to, reach an Alertmanager?"""
    url = engine.settings.alertmanager_url
    if url is not None and not _answers(f"{url.rstrip('/')}/-/ready"):
        return Finding(
            "warn", "Alertmanager", f"{url} does not answer", "start it, or correct alertmanager_url"
        )
    try:
        active = engine.client.status("alertmanagers").get("activeAlertmanagers") or []
    except PrometheusRefused:
        return Finding("skip", "Alertmanager", "this backend does not tell which Alertmanagers it sends to")
    if not active:
        advice = "name it under alerting: in prometheus.yml, or nobody hears of an alert"
        return Finding("warn", "Alertmanager", "Prometheus sends its alerts nowhere", advice)
    return Finding("ok", "Alertmanager", f"Alertmanagers that Prometheus sends its alerts to: {len(active)}")


CHECKS: Final[tuple[Check, ...]] = (
    clock,
    exporter,
    rules,
    analytics_service,
    missed_evaluations,
    history,
    label_overflow,
    refused_records,
    unpriced_requests,
    alertmanager,
)


def _version(client: PrometheusClient) -> str | None:
    try:
        return str(client.status("status/buildinfo").get("version") or "") or None
    except PrometheusError:
        return None


def _is_victoria_metrics(engine: AnalyticsEngine) -> bool:
    """It tells version 2.24.0 whatever it is, or none; MetricsQL has functions that PromQL lacks."""
    try:
        return bool(engine.client.query('label_set(vector(1), "a", "b")', engine.clock()).samples)
    except PrometheusError:
        return False


def _value(engine: AnalyticsEngine, promql: str, at: Any) -> float | None:
    samples = engine.client.query(promql, at).samples
    return samples[0].value if samples else None


def _unseen(title: str) -> Finding:
    return Finding("skip", title, "nothing was scraped in the last day, so this is not known")


def _totals(engine: AnalyticsEngine, family: str, label: str) -> list[tuple[str, float]] | None:
    """What was counted in the last day by ``label``, largest first, without zeros; ``None``: nothing was scraped."""
    sums = engine.composer.total(family, (label,), trailing("day", engine.clock()))
    if sums.trust.scraped_ratio is None:
        return None
    found = [(str(name), float(value)) for name, value in sums.values.items() if value > 0]
    return sorted(found, key=lambda pair: -pair[1])


def _our_rules(client: PrometheusClient) -> list[dict[str, Any]] | None:
    """The rules of ours that Prometheus evaluates; ``None`` where it does not tell."""
    try:
        groups = client.status("rules").get("groups") or []
    except PrometheusError:
        return None
    return [
        rule for group in groups if str(group.get("name", "")).startswith("asahi") for rule in group["rules"]
    ]


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False

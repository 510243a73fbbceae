"""What just went wrong: anomalies in what Prometheus holds, each with its cause."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import numpy as np
import pandas as pd

from asahi_analytics.anomaly import latency
from asahi_analytics.anomaly.config import AnomalyConfig
from asahi_analytics.anomaly.evidence import Case, Explanation, explain
from asahi_analytics.anomaly.explain import clock
from asahi_analytics.anomaly.incidents import Incident, incidents
from asahi_analytics.anomaly.models import Anomaly, AnomalyReport, AnomalyType, Finding, identity
from asahi_analytics.anomaly.sources import NEEDS, Judged, judge, sources, whole
from asahi_analytics.composer import Composer, SeriesAsk, Trust
from asahi_analytics.threads import Threads
from asahi_analytics.windows import Window
from asahi_exporter import conventions as names

METRIC_NAMES: Final[dict[AnomalyType, str]] = {
    "cost_spike": names.COST.name,
    "outage": names.REQUESTS.name,
    "latency_spike": names.LATENCY.name,
    "error_rate": names.ERRORS.name,
    "cache_degradation": names.CACHE_HIT_RATE.name,
    "quality_drop": names.QUALITY_SCORE.name,
}
EVERY_TYPE: Final[tuple[AnomalyType, ...]] = tuple(METRIC_NAMES)
THREADS: Final = 8


class Engine(Protocol):
    """What the detector needs of the analytics engine."""

    composer: Composer
    clock: Callable[[], datetime]


class AnomalyDetector:
    """Finds incidents of spend, traffic, latency, errors, caches and quality, and says why.

    It judges bins of ``step_minutes`` that are over, and reports incidents that go on or ended within
    ``report_hours``. Every method raises a ``PrometheusError`` when Prometheus gives no usable answer; where a metric
    does not exist or has too little history there is nothing to report.
    """

    def __init__(self, engine: Engine, config: AnomalyConfig | None = None) -> None:
        """Ask nothing yet."""
        self._engine = engine
        self.config = config or AnomalyConfig()
        self._threads = Threads(THREADS, "anomaly")

    def check(self) -> list[Anomaly]:
        """Return every anomaly, those that go on first, then the latest."""
        return self.report().anomalies

    def check_cost(self) -> list[Anomaly]:
        """Return spikes of spend, of the whole or of one model."""
        return self.report(["cost_spike"]).anomalies

    def check_latency(self) -> list[Anomaly]:
        """Return spikes of latency (p95), of the whole or of one model."""
        return self.report(["latency_spike"]).anomalies

    def check_error_rate(self) -> list[Anomaly]:
        """Return times of too many errors for each request."""
        return self.report(["error_rate"]).anomalies

    def check_cache_performance(self) -> list[Anomaly]:
        """Return drops of the hit rate of a cache tier."""
        return self.report(["cache_degradation"]).anomalies

    def check_quality(self) -> list[Anomaly]:
        """Return drops of the quality score of a model."""
        return self.report(["quality_drop"]).anomalies

    def check_outage(self) -> list[Anomaly]:
        """Return times when requests fell to nothing although the exporter was scraped."""
        return self.report(["outage"]).anomalies

    def report(self, types: Sequence[AnomalyType] = EVERY_TYPE) -> AnomalyReport:
        """Return anomalies of ``types`` and what could not be judged."""
        step = timedelta(minutes=self.config.step_minutes)
        end = _floor(self._engine.clock(), step)
        frames, trust = self._fetch(types, end, step)
        cases = self._cases(judge(types, frames, self.config), end)
        told = self._threads.map(lambda case: explain(self._engine.composer, case), cases)
        anomalies = [_anomaly(case, words) for case, words in zip(cases, told, strict=True)]
        return AnomalyReport(
            start=end - timedelta(days=self.config.history_days),
            end=end,
            trust=trust,
            anomalies=sorted(
                anomalies, key=lambda each: (not each.ongoing, -each.start.timestamp(), each.id)
            ),
            findings=self._findings(frames, end),
        )

    def _fetch(
        self, types: Sequence[AnomalyType], end: datetime, step: timedelta
    ) -> tuple[dict[str, pd.DataFrame], Trust]:
        """Return the frames that ``types`` need, and the trust in all of them."""
        known, composer = sources(self.config), self._engine.composer
        needed = {name: known[name] for kind in types for name in NEEDS[kind]}
        asks = {
            name: SeriesAsk(
                each.family, each.by, Window(end - timedelta(days=each.days), end), each.where, step
            )
            for name, each in needed.items()
        }
        buckets = asks.pop(latency.LATENCY, None)
        found = latency.fetch(composer, asks, buckets, self.config.latency_quantile)
        return dict(found.frames), found.trust

    def _cases(self, judged: Iterable[Judged], now: datetime) -> list[Case]:
        """Return the incidents to report; one in the whole stands for those of its parts."""
        since = now - timedelta(hours=self.config.report_hours)
        cases: list[Case] = []
        for series in judged:
            found = incidents(series.values, series.scores) if series.found.anomalous.any() else []
            for incident in found:
                case = _case(series, incident)
                if incident.end > since and not any(_covers(known, case) for known in cases):
                    cases.append(case)
        return cases

    def _findings(self, frames: dict[str, pd.DataFrame], now: datetime) -> list[Finding]:
        since = now - timedelta(hours=self.config.report_hours)
        frame = next((frames[name] for name in ("requests", "cost", *frames) if name in frames), None)
        if frame is None or frame.empty:
            return [_no_history(since, now, 0.0, self.config.min_history_hours)]
        series = whole(frame)
        known_hours = series.notna().sum() * self.config.step_minutes / 60
        if known_hours < self.config.min_history_hours:
            return [_no_history(since, now, known_hours, self.config.min_history_hours)]
        known = series[series.first_valid_index() :]
        return _gaps(known[known.index >= since], timedelta(minutes=self.config.step_minutes))


def _floor(moment: datetime, step: timedelta) -> datetime:
    seconds = step.total_seconds()
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def _case(series: Judged, incident: Incident) -> Case:
    """Return the incident with its latest value, and what was expected where it was told."""
    span = slice(incident.first, incident.last + 1)
    flagged = series.found.anomalous[span]
    expected = series.found.expected[span][flagged]
    return Case(series, incident, float(series.numbers[incident.last]), float(np.median(expected)))


def _covers(known: Case, case: Case) -> bool:
    """Return whether ``known`` is the whole of which ``case`` is a part, at the same time."""
    return (
        known.judged.anomaly_type == case.judged.anomaly_type
        and not known.judged.labels
        and bool(case.judged.labels)
        and known.incident.start < case.incident.end
        and case.incident.start < known.incident.end
    )


def _anomaly(case: Case, words: Explanation) -> Anomaly:
    incident, labels = case.incident, dict(case.judged.labels)
    base = case.expected or float(case.judged.found.threshold[incident.told])
    return Anomaly(
        id=identity(case.judged.anomaly_type, labels, incident.start),
        anomaly_type=case.judged.anomaly_type,
        severity=incident.severity,
        metric_name=METRIC_NAMES[case.judged.anomaly_type],
        current_value=case.current,
        expected_value=case.expected,
        deviation_pct=100 * (case.current - base) / base if base > 0 else 0.0,
        message=words.message,
        detected_at=incident.detected_at,
        start=incident.start,
        peak=incident.peak_at,
        peak_value=float(case.judged.numbers[incident.peak]),
        end=incident.end,
        ongoing=incident.ongoing,
        labels=labels,
        causes=list(words.causes),
        parts=dict(words.parts or {}),
    )


def _no_history(since: datetime, now: datetime, known: float, needed: float) -> Finding:
    there = f"{known:.1f} hours" if known >= 1 else f"{60 * known:.0f} minutes"
    message = f"Of the history {there} are known; anomalies are told from {needed:g} hours on."
    return Finding(kind="short_history", message=message, start=since, end=now)


def _gaps(series: pd.Series, step: timedelta) -> list[Finding]:
    """Return one finding for each run of bins of which nothing is known."""
    missing = series.isna().to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(int), [0]])))
    return [
        _gap(series.index[first].to_pydatetime(), series.index[last - 1].to_pydatetime() + step)
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    ]


def _gap(start: datetime, end: datetime) -> Finding:
    minutes = (end - start).total_seconds() / 60
    message = (
        f"Nothing was scraped from {clock(start)} for {minutes:.0f} minutes: nothing can be told about it."
    )
    return Finding(kind="scrape_gap", message=message, start=start, end=end)

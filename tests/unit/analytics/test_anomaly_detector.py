"""The detector on a whole service: what it asks, what it reports, and what it says."""

from __future__ import annotations

import math
import re
from datetime import timedelta

import numpy as np
import pytest

from asahi_analytics.anomaly import AnomalyConfig, AnomalyDetector
from asahi_exporter import conventions as names
from support.anomaly_traffic import END, STEP, FakeComposer, FakeEngine, Traffic, cost_of, traffic

AGO = END - timedelta(minutes=50)
COUNTS = ["requests", "input", "output"]


def detector(source: Traffic, now=END, config: AnomalyConfig | None = None) -> AnomalyDetector:
    return AnomalyDetector(FakeEngine(FakeComposer(source), now), config)


def rows(source: Traffic, start=AGO, end=END, model: str | None = None) -> np.ndarray:
    inside = source.at(start, end)
    return inside if model is None else inside & (source.leaves.index.get_level_values("model") == model)


@pytest.fixture(scope="module")
def base() -> Traffic:
    return traffic(1)


@pytest.fixture
def source(base: Traffic) -> Traffic:
    frames = {
        name: getattr(base, name).copy()
        for name in ("leaves", "users", "latency", "errors", "hits", "lookups", "score")
    }
    return Traffic(**frames)


def test_healthy_traffic_is_left_alone(source):
    report = detector(source).report()
    assert report.anomalies == []
    assert report.findings == []
    assert report.trust.source == "fake"


def test_a_surge_of_one_user_on_one_model_is_told_with_its_cause(source):
    source.leaves.loc[rows(source, model="gpt-4o"), COUNTS] *= 6
    source.users.loc[AGO:] = [0.85, 0.1, 0.05]
    (anomaly,) = detector(source).check_cost()
    assert (anomaly.anomaly_type, anomaly.metric_name) == ("cost_spike", names.COST.name)
    assert (anomaly.start, anomaly.end, anomaly.ongoing, anomaly.labels) == (AGO, END, True, {})
    assert anomaly.detected_at == AGO + 2 * STEP
    assert anomaly.current_value == pytest.approx(cost_of(source.leaves).loc[END - STEP].sum())
    assert anomaly.deviation_pct == pytest.approx(100 * (anomaly.current_value / anomaly.expected_value - 1))
    actual = cost_of(source.leaves)[rows(source)].sum()
    assert math.fsum(anomaly.parts.values()) == pytest.approx(actual - 5 * anomaly.expected_value, abs=0.005)
    assert anomaly.causes[0].factor == "volume"
    assert anomaly.causes[0].labels == {"model": "gpt-4o", "cache_tier": "none", "user": "acme-batch"}
    assert "more requests (mostly user acme-batch on gpt-4o)" in anomaly.message
    assert "since 11:10 UTC" in anomaly.message


def test_the_id_stays_while_the_incident_goes_on_and_it_is_dropped_a_day_after(source):
    source.leaves.loc[rows(source), COUNTS] *= 4
    early = detector(source, END - 2 * STEP).check_cost()
    late = detector(source).check_cost()
    assert [each.id for each in early] == [each.id for each in late]
    old = traffic(1)
    old.leaves.loc[rows(old, END - timedelta(hours=30), END - timedelta(hours=29)), COUNTS] *= 4
    assert detector(old).check_cost() == []
    assert len(detector(old, config=AnomalyConfig(report_hours=48)).check_cost()) == 1


def test_a_spike_of_one_model_that_the_whole_hides_carries_its_label(source):
    source.leaves.loc[rows(source, model="gpt-4o-mini"), COUNTS] *= 5
    (anomaly,) = detector(source).check_cost()
    assert anomaly.labels == {"model": "gpt-4o-mini"}
    assert anomaly.message.startswith("Cost of gpt-4o-mini at $")
    assert anomaly.causes[0].factor == "volume"


@pytest.mark.parametrize(
    ("factor", "change"),
    [
        (
            "token_size",
            lambda leaves, inside: leaves.__setitem__(
                "output", leaves["output"].where(~inside, leaves["output"] * 8)
            ),
        ),
        (
            "unit_price",
            lambda leaves, inside: [
                leaves.__setitem__(name, leaves[name].where(~inside, leaves[name] * 3))
                for name in ("in_price", "out_price")
            ],
        ),
    ],
)
def test_other_causes_are_named_too(source, factor, change):
    change(source.leaves, rows(source))
    (anomaly,) = detector(source).check_cost()
    assert anomaly.causes[0].factor == factor


def test_a_slow_model_is_named_with_what_is_slow(source):
    source.latency.loc[AGO:, "claude"] *= 4
    (anomaly,) = detector(source).check_latency()
    assert anomaly.labels == {"model": "claude"}
    assert anomaly.causes[0].factor == "queue"
    assert "Latency of claude (p95)" in anomaly.message


def test_slowness_everywhere_is_one_anomaly(source):
    source.latency.loc[AGO:] *= 4
    (anomaly,) = detector(source).check_latency()
    assert anomaly.labels == {}
    assert {cause.labels["model"] for cause in anomaly.causes} >= {"gpt-4o", "gpt-4o-mini"}


def test_errors_are_named_by_type_and_component(source):
    source.errors.loc[AGO:] += 300
    (anomaly,) = detector(source).check_error_rate()
    assert anomaly.metric_name == names.ERRORS.name
    assert anomaly.causes[0].labels == {"error_type": "timeout", "component": "router"}
    assert "of requests fail (usually 0.3" in anomaly.message


def test_a_cache_tier_and_a_model_of_low_quality_are_named(source):
    source.hits.loc[AGO:, "2"] *= 0.1
    source.score.loc[AGO:, "gpt-4o"] -= 1.2
    cache, quality = detector(source).check_cache_performance(), detector(source).check_quality()
    assert [each.labels for each in (*cache, *quality)] == [{"tier": "2"}, {"model": "gpt-4o"}]
    assert "Hit rate of cache tier 2" in cache[0].message
    assert quality[0].causes[0].labels == {"task_type": "chat"}
    assert quality[0].severity == "critical"


SPELL = (END - timedelta(hours=4), END - timedelta(hours=3))


def ended(source: Traffic, *, check: str) -> str:
    """The sentence of the one incident, which is over."""
    (anomaly,) = getattr(detector(source), check)()
    assert not anomaly.ongoing
    assert anomaly.message.count(" UTC") == 1
    return anomaly.message


def test_incidents_that_are_over_are_told_in_the_past_tense_with_their_end(source):
    during = source.latency.loc[SPELL[0] : SPELL[1] - STEP].index
    source.latency.loc[during, "claude"] *= 6
    source.errors.loc[during] += 300
    source.hits.loc[during, "2"] *= 0.05
    source.score.loc[during, "gpt-4o"] -= 1.5
    spell = "from 08:00 to 09:00 UTC"
    latency = ended(source, check="check_latency")
    assert re.match(
        rf"Latency \(p95\) at [\d,]+ ms was at its worst \S+x the usual [\d,]+ ms {spell}: ", latency
    )
    assert "requests were slower" in latency
    assert re.match(
        rf"[\d.]+ % of requests failed at worst \(usually \S+ %\) {spell}: ",
        ended(source, check="check_error_rate"),
    )
    cache = ended(source, check="check_cache_performance")
    assert re.match(
        rf"Hit rate of cache tier 2 at \S+ % was at its worst down from the usual \S+ % {spell}: ", cache
    )
    quality = ended(source, check="check_quality")
    assert re.match(
        rf"Quality of gpt-4o at \S+ points was at its worst \S+ below the usual \S+ {spell}: ", quality
    )
    for message in (latency, cache, quality):
        assert " is " not in message
        assert " are " not in message


def test_a_spike_that_is_over_is_told_by_its_peak(source):
    during = rows(source, *SPELL)
    source.leaves.loc[during, COUNTS] *= 3
    first = rows(source, SPELL[0], SPELL[0] + STEP)
    source.leaves.loc[first, COUNTS] *= 3
    (anomaly,) = detector(source).check_cost()
    assert anomaly.peak == SPELL[0]
    assert anomaly.peak_value > 2 * anomaly.current_value
    assert anomaly.message.startswith(f"Cost at ${anomaly.peak_value:,.2f}/10 min was at its worst ")


def test_an_outage_and_a_spike_that_are_over_are_told_in_the_past_tense(source):
    spike = traffic(1)
    spike.leaves.loc[rows(spike, *SPELL), COUNTS] *= 6
    assert re.match(
        r"Cost at \S+ min was at its worst \S+x the usual \S+ from 08:00 to 09:00 UTC; .* in all: ",
        ended(spike, check="check_cost"),
    )
    source.leaves.loc[rows(source, *SPELL), COUNTS] = 0.0
    assert re.fullmatch(
        r"No requests from 08:00 to 09:00 UTC, where \S+ min are usual; the exporter was scraped, so the "
        r"traffic itself was gone\.",
        ended(source, check="check_outage"),
    )


def test_no_requests_at_all_are_an_outage_and_no_scrape_is_a_finding(source):
    source.leaves.loc[rows(source), COUNTS] = 0.0
    source.errors.loc[AGO:] = 0.0
    (outage,) = detector(source).check()
    assert (outage.anomaly_type, outage.severity, outage.current_value) == ("outage", "critical", 0.0)
    assert outage.message.startswith("No requests since 11:10 UTC")
    source.gaps = [(AGO, END - STEP)]
    report = detector(source).report()
    assert report.anomalies == []
    (gap,) = report.findings
    assert (gap.kind, gap.start, gap.end) == ("scrape_gap", AGO, END - STEP)
    assert "40 minutes" in gap.message


def test_short_history_and_an_empty_prometheus_are_findings():
    short = traffic(2, days=0.1)
    report = detector(short).report()
    assert [each.kind for each in report.findings] == ["short_history"]
    assert report.anomalies == []


def test_bins_are_aligned_and_only_whole_ones_are_judged(source):
    report = detector(source, END + timedelta(minutes=7)).report()
    assert report.end == END
    assert detector(source, END + timedelta(minutes=7)).check_outage() == []


def test_each_check_asks_only_for_what_it_needs(source):
    checks = {
        "check_cost": {"cost_dollars"},
        "check_latency": {"latency_ms_bucket"},
        "check_error_rate": {"errors", "requests"},
        "check_cache_performance": {"cache_hits", "cache_misses"},
        "check_quality": {"quality_points", "quality_samples"},
        "check_outage": {"requests"},
    }
    for name, families in checks.items():
        composer = FakeComposer(source)
        getattr(AnomalyDetector(FakeEngine(composer)), name)()
        assert set(composer.asked) == families

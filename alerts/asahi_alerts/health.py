"""Rules about the data itself: exporters, scrapes, rules, labels and refused records."""

from __future__ import annotations

from typing import Final

from asahi_alerts.expressions import (
    NUMBER,
    PERCENT,
    exporters,
    growth,
    label,
    plain,
    running,
    up_of,
    value,
)
from asahi_alerts.rule import Alert, Group
from asahi_alerts.thresholds import Thresholds, seconds
from asahi_exporter.conventions import LABEL, REASON, REQUESTS

SCRAPES_WINDOW: Final = "10m"
"""The best window of this length within the last tells how many scrapes there should be."""
OUR_RULES: Final = '{rule_group=~".*asahi.*"}'
"""Prometheus names a group ``file;group``, so only a regular expression can tell ours."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """Return the groups of rules about the data itself."""
    return (
        Group(
            "asahi_alerts_scrapes",
            (
                _down_alert(thresholds),
                _absent_alert(thresholds),
                _gaps_alert(thresholds),
                _service_alert(thresholds),
            ),
        ),
        Group(
            "asahi_alerts_records",
            (_overflow_alert(thresholds), _refused_alert(thresholds)),
            thresholds.slow_evaluation_interval,
        ),
        Group(
            "asahi_alerts_rules",
            (_missed_alert(thresholds), _failed_alert(thresholds), _totals_alert(thresholds)),
            thresholds.slow_evaluation_interval,
        ),
    )


# Scrapes ------------------------------------------------------------------------------------------------------
def _down_alert(thresholds: Thresholds) -> Alert:
    return Alert(
        name="AsahiExporterDown",
        incident="exporter",
        expr=f"{exporters(thresholds)} == 0",
        hold=thresholds.exporter_down.hold,
        severity="critical",
        summary="An exporter does not answer scrapes.",
        description=(
            f"The exporter {label('instance')} of the job {label('job')} has not answered a scrape for "
            f"{thresholds.exporter_down.hold}. What it records now shows up when it is back, "
            f"provided that it keeps its state in a directory."
        ),
    )


def _absent_alert(thresholds: Thresholds) -> Alert:
    return Alert(
        name="AsahiExporterAbsent",
        incident="exporter",
        expr=(
            f"absent({exporters(thresholds)})\n"
            f"unless on () group(last_over_time({REQUESTS.name}[{thresholds.exporter_absent.hold}]))"
        ),
        hold=thresholds.exporter_absent.hold,
        severity="critical",
        summary="Prometheus scrapes no exporter at all.",
        description=(
            f"For {thresholds.exporter_absent.hold} there has been no scrape target of the job "
            f"{plain(' or '.join(thresholds.exporter_jobs))}, and no {REQUESTS.name} from anywhere "
            f"({value(NUMBER)} = absent)."
        ),
    )


def _gaps_alert(thresholds: Thresholds) -> Alert:
    """Return the alert on scrapes that failed or did not happen, of targets that were there a window ago.

    The window in which scrapes are counted is a second short of its length: Prometheus 2.x counts a scrape on either
    edge, and of few scrapes one too many would make all others look missed.
    """
    gaps = thresholds.scrape_gaps
    up = exporters(thresholds)
    parts = seconds(gaps.window) / seconds(SCRAPES_WINDOW)
    counted = f"count_over_time({up}[{seconds(SCRAPES_WINDOW) - 1}s])"
    return Alert(
        name="AsahiScrapeGaps",
        incident="exporter",
        expr=(
            f"sum_over_time({up}[{gaps.window}])\n"
            f"/ ({parts:g} * max_over_time({counted}[{gaps.window}:1m]))\n"
            f"< {gaps.min_ratio:g}\n"
            f"and present_over_time({up}[{SCRAPES_WINDOW}] offset {gaps.window})"
        ),
        hold=gaps.hold,
        severity="warning",
        summary="Scrapes of an exporter fail or are missed.",
        description=(
            f"Only {value(PERCENT)} of the scrapes of {label('instance')} (job {label('job')}) in the last "
            f"{gaps.window} succeeded. Sums stay right, but when within a gap the money was spent is not known."
        ),
    )


def _service_alert(thresholds: Thresholds) -> Alert:
    return Alert(
        name="AsahiServiceDown",
        incident="service",
        expr=f"{up_of([thresholds.service_job])} == 0",
        hold=thresholds.service_down.hold,
        severity="warning",
        summary="The analytics service does not answer scrapes.",
        description=(
            f"The analytics service {label('instance')} has not answered a scrape for "
            f"{thresholds.service_down.hold}: no anomaly and no budget risk is reported meanwhile."
        ),
    )


# Records ------------------------------------------------------------------------------------------------------
def _overflow_alert(thresholds: Thresholds) -> Alert:
    overflow = thresholds.label_overflow
    return Alert(
        name="AsahiLabelOverflow",
        incident="records",
        expr=f"{growth('label_overflow', (LABEL,), overflow.window)} >= {overflow.min_records}",
        hold=overflow.hold,
        severity="info",
        summary="A label has more values than its limit allows.",
        description=(
            f"{value(NUMBER)} values of the label {label(LABEL)} were counted as other in the last "
            f"{overflow.window}. Totals stay right; the breakdown by {label(LABEL)} does not show them."
        ),
    )


def _refused_alert(thresholds: Thresholds) -> Alert:
    refused = thresholds.refused_records
    return Alert(
        name="AsahiRecordsRefused",
        incident="records",
        expr=f"{growth('refused_records', (REASON,), refused.window)} >= {refused.min_records}",
        hold=refused.hold,
        severity="warning",
        summary="An exporter refuses records that are not valid.",
        description=(
            f"{value(NUMBER)} records were refused in the last {refused.window} for the reason "
            f"{label(REASON)}; their money is in no sum. The exporter's log shows one of them a minute."
        ),
    )


# Rules --------------------------------------------------------------------------------------------------------
def _missed_alert(thresholds: Thresholds) -> Alert:
    missed = thresholds.rules_missed
    counter = f"prometheus_rule_group_iterations_missed_total{OUR_RULES}"
    return Alert(
        name="AsahiRuleEvaluationMissed",
        incident="rules",
        expr=f"round(increase({counter}[{missed.window}])) >= {missed.min_evaluations}",
        hold=missed.hold,
        severity="warning",
        summary="Prometheus misses evaluations of the rules.",
        description=(
            f"Prometheus skipped {value(NUMBER)} evaluations of {label('rule_group')} in the last "
            f"{missed.window}: it is too slow or was suspended. Totals catch up; single minutes are coarser."
        ),
    )


def _failed_alert(thresholds: Thresholds) -> Alert:
    failed = thresholds.rules_failed
    counter = f"prometheus_rule_evaluation_failures_total{OUR_RULES}"
    return Alert(
        name="AsahiRuleEvaluationFailed",
        incident="rules",
        expr=f"round(increase({counter}[{failed.window}])) >= {failed.min_evaluations}",
        hold=failed.hold,
        severity="warning",
        summary="A rule cannot be evaluated.",
        description=(
            f"Rules of {label('rule_group')} failed {value(NUMBER)} times in the last {failed.window}; "
            f"the alerts that stand on them are blind. The log of Prometheus says why."
        ),
    )


def _totals_alert(thresholds: Thresholds) -> Alert:
    hold = thresholds.totals_missing.hold
    return Alert(
        name="AsahiTotalsMissing",
        incident="rules",
        expr=(
            f"group(last_over_time({REQUESTS.name}[5m]))\n"
            f"unless on () group(last_over_time({running('requests')}[10m]))"
        ),
        hold=hold,
        severity="critical",
        summary="Exporters are scraped, but the running totals are not recorded.",
        description=(
            f"{REQUESTS.name} is there ({value(NUMBER)} = present), {running('requests')} has not been for {hold}: "
            f"the recording rules are not loaded or fail, and every alert on money or traffic is blind."
        ),
    )

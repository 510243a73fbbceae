"""Rules about what users feel: latency, errors, caches, quality, and silence."""

from __future__ import annotations

from typing import Final

from asahi_alerts.expressions import (
    NUMBER,
    PERCENT,
    POINTS,
    aggregated,
    asked,
    asked_about,
    asked_label,
    both,
    exporters,
    grown_total,
    growth,
    indented,
    label,
    one_line,
    value,
)
from asahi_alerts.rule import Alert, Group, Record, total_record, usual_record
from asahi_alerts.thresholds import Severity, Thresholds
from asahi_exporter.conventions import CACHE_TIER, COMPONENT, ERROR_TYPE, MODEL, TIER

REQUESTS: Final = "asahi_total:requests"
ERRORS: Final = "asahi_total:errors"
ATTEMPTS: Final = "asahi_total:attempts"
LATENCY: Final = "asahi_model_tier:latency_ms"
CACHE: Final = "asahi_tier:cache"
QUALITY: Final = "asahi_model:quality_score"


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """Return the groups of rules about traffic."""
    slow = thresholds.slow_evaluation_interval
    return (
        Group("asahi_alerts_latency", _latency_rules(thresholds), slow),
        Group("asahi_alerts_requests", (*_silence_rules(thresholds), *_error_rules(thresholds))),
        Group("asahi_alerts_cache", _cache_rules(thresholds), slow),
        Group("asahi_alerts_quality", _quality_rules(thresholds), slow),
    )


# Latency ------------------------------------------------------------------------------------------------------
def _latency_rules(thresholds: Thresholds) -> tuple[Record | Alert, ...]:
    spike = thresholds.latency_spike
    by = (MODEL, CACHE_TIER)
    now, usually = f"{LATENCY}:quantile{spike.window}", f"{LATENCY}:usual{spike.window}"
    warning = thresholds.latency_spike_threshold
    return (
        Record(now, _latency_quantile(thresholds)),
        usual_record(usually, now, by, spike.window, pick="max", thresholds=thresholds),
        _latency_alert(thresholds, warning, "warning"),
        _latency_alert(thresholds, warning * thresholds.critical_factor, "critical"),
    )


def _latency_quantile(thresholds: Thresholds) -> str:
    """Return the quantile of each model and tier, where there are requests enough to speak of one."""
    spike = thresholds.latency_spike
    by = (MODEL, CACHE_TIER)
    buckets = growth("latency_ms_bucket", (*by, "le"), spike.window)
    count = growth("latency_ms_count", by, spike.window)
    return both(
        f"histogram_quantile({spike.quantile:g},\n{indented(buckets)}\n)", f"{count} >= {spike.min_requests}"
    )


def _latency_alert(thresholds: Thresholds, ratio: float, severity: Severity) -> Alert:
    spike = thresholds.latency_spike
    now, usually = f"{LATENCY}:quantile{spike.window}", f"{LATENCY}:usual{spike.window}"
    same = f"{usually}{{{MODEL}=%q,{CACHE_TIER}=%q}}"
    return Alert(
        name="AsahiLatencySpike",
        incident="latency",
        expr=both(f"{now} > {ratio:g} * {usually}", f"{now} - {usually} >= {spike.min_excess_ms:g}"),
        hold=spike.hold,
        keep=spike.keep,
        severity=severity,
        summary="Answers take far longer than is usual at this time.",
        description=(
            f"{spike.quantile * 100:g} % of the requests to the model {label(MODEL)} (cache tier {label(CACHE_TIER)}) "
            f"were answered within {value(NUMBER)} ms in the last {spike.window}; "
            f"usually within {asked_about(same, (MODEL, CACHE_TIER), NUMBER)} ms."
        ),
    )


# Errors -------------------------------------------------------------------------------------------------------
def _error_rules(thresholds: Thresholds) -> tuple[Record | Alert, ...]:
    windows = (thresholds.error_rate.short_window, thresholds.error_rate.window)
    rate = thresholds.error_rate_threshold
    return (
        total_record("errors"),
        *(record for window in windows for record in _error_records(window)),
        _error_alert(thresholds, rate, "warning"),
        _error_alert(thresholds, rate * thresholds.error_rate.critical_factor, "critical"),
    )


def _error_records(window: str) -> tuple[Record, ...]:
    """Return errors, attempts and their ratio; where errors outnumber the requests answered, they are the attempts."""
    errors, attempts = f"{ERRORS}:sum{window}", f"{ATTEMPTS}:sum{window}"
    return (
        Record(errors, grown_total("errors", window)),
        Record(attempts, f"(\n{indented(grown_total('requests', window))}\n) >= {errors}\nor {errors}"),
        Record(f"{ERRORS}:ratio{window}", f"{errors} / ({attempts} > 0)"),
    )


def _error_alert(thresholds: Thresholds, rate: float, severity: Severity) -> Alert:
    """Return the alert on a rate that both windows exceed, and the long one by more than chance.

    Of n requests that fail with probability p, n p fail, give or take sqrt(n p (1 - p)).
    """
    limit = thresholds.error_rate
    errors, attempts = f"{ERRORS}:sum{limit.window}", f"{ATTEMPTS}:sum{limit.window}"
    chance = f"{limit.sigmas:g} * sqrt({rate:g} * {1 - rate:g} * {attempts})"
    worst = f"topk(1, {one_line(growth('errors', (ERROR_TYPE, COMPONENT), limit.window))})"
    return Alert(
        name="AsahiErrorRateHigh",
        incident="errors",
        expr=both(
            f"{ERRORS}:ratio{limit.window} > {rate:g}",
            f"{ERRORS}:ratio{limit.short_window} > {rate:g}",
            f"{errors} > {rate:g} * {attempts} + {chance}",
            f"{attempts} >= {limit.min_requests}",
        ),
        hold=limit.hold,
        keep=limit.keep,
        severity=severity,
        summary="Too many requests fail.",
        description=(
            f"{value(PERCENT)} of the requests failed in the last {limit.window}: "
            f"{asked(errors, NUMBER)} of {asked(attempts, NUMBER)} (more than {rate * 100:g} % is too many). "
            f"Most of them: {asked_label(worst, ERROR_TYPE)} in {asked_label(worst, COMPONENT)}."
        ),
    )


# Caches -------------------------------------------------------------------------------------------------------
def _cache_rules(thresholds: Thresholds) -> tuple[Record | Alert, ...]:
    limit = thresholds.cache_degradation
    ratio, usually = f"{CACHE}:hit_ratio{limit.window}", f"{CACHE}:usual_hit_ratio{limit.window}"
    return (
        Record(f"{CACHE}:hits{limit.window}", growth("cache_hits", (TIER,), limit.window)),
        Record(f"{CACHE}:lookups{limit.window}", _lookups(limit.window)),
        Record(ratio, _hit_ratio(thresholds)),
        usual_record(usually, ratio, (TIER,), limit.window, pick="min", thresholds=thresholds),
        _cache_alert(thresholds),
    )


def _lookups(window: str) -> str:
    """Return hits and misses together, also of a tier that has only one of them."""
    return aggregated(
        "sum",
        (TIER,),
        f'label_replace({CACHE}:hits{window}, "outcome", "hit", "", "")\n'
        f'or label_replace(\n{indented(growth("cache_misses", (TIER,), window))},\n  "outcome", "miss", "", ""\n)',
    )


def _hit_ratio(thresholds: Thresholds) -> str:
    limit = thresholds.cache_degradation
    hits, lookups = f"{CACHE}:hits{limit.window}", f"{CACHE}:lookups{limit.window}"
    return f"({hits} or {lookups} * 0)\n/ ({lookups} >= {limit.min_lookups})"


def _cache_alert(thresholds: Thresholds) -> Alert:
    """Return the alert on a hit rate that is below the threshold, by more than chance.

    Of n look-ups that hit with probability p, the share that hits is p, give or take sqrt(p (1 - p) / n).
    """
    limit = thresholds.cache_degradation
    ratio, usually = f"{CACHE}:hit_ratio{limit.window}", f"{CACHE}:usual_hit_ratio{limit.window}"
    least = f"{thresholds.cache_degradation_threshold:g} * {usually}"
    chance = f"{limit.sigmas:g} * sqrt({least} * (1 - {least}) / {CACHE}:lookups{limit.window})"
    return Alert(
        name="AsahiCacheDegraded",
        incident="cache",
        expr=f"{ratio} < {least} - {chance}",
        hold=limit.hold,
        keep=limit.keep,
        severity="warning",
        summary="A cache tier hits far less often than is usual at this time.",
        description=(
            f"Cache tier {label(TIER)} answered {value(PERCENT)} of its look-ups in the last {limit.window}; "
            f"usually at least {asked_about(f'{usually}{{{TIER}=%q}}', (TIER,), PERCENT)}. "
            f"Requests that it no longer answers cost money."
        ),
    )


# Quality ------------------------------------------------------------------------------------------------------
def _quality_rules(thresholds: Thresholds) -> tuple[Record | Alert, ...]:
    limit = thresholds.quality_drop
    mean, usually = f"{QUALITY}:mean{limit.window}", f"{QUALITY}:usual{limit.window}"
    points, samples = (growth(f"quality_{what}", (MODEL,), limit.window) for what in ("points", "samples"))
    return (
        Record(mean, f"{points}\n/ (\n{indented(samples)} >= {limit.min_samples}\n)"),
        usual_record(usually, mean, (MODEL,), limit.window, pick="min", thresholds=thresholds),
        _quality_alert(thresholds),
    )


def _quality_alert(thresholds: Thresholds) -> Alert:
    limit = thresholds.quality_drop
    mean, usually = f"{QUALITY}:mean{limit.window}", f"{QUALITY}:usual{limit.window}"
    return Alert(
        name="AsahiQualityDrop",
        incident="quality",
        expr=f"{usually} - {mean} > {thresholds.quality_drop_threshold:g}",
        hold=limit.hold,
        keep=limit.keep,
        severity="warning",
        summary="The quality score of a model has dropped.",
        description=(
            f"Answers of the model {label(MODEL)} scored {value(POINTS)} points below the usual in the last "
            f"{limit.window}: {asked_about(f'{mean}{{{MODEL}=%q}}', (MODEL,), POINTS)} against "
            f"{asked_about(f'{usually}{{{MODEL}=%q}}', (MODEL,), POINTS)}."
        ),
    )


# Silence ------------------------------------------------------------------------------------------------------
def _silence_rules(thresholds: Thresholds) -> tuple[Record | Alert, ...]:
    silent = thresholds.exporter_silent
    now, usually = f"{REQUESTS}:sum{silent.window}", f"{REQUESTS}:usual{silent.window}"
    return (
        total_record("requests"),
        Record(now, grown_total("requests", silent.window)),
        usual_record(usually, now, (), silent.window, pick="min", thresholds=thresholds, off_days=True),
        Alert(
            name="AsahiExporterSilent",
            incident="traffic",
            expr=both(
                f"{now} == 0",
                f"{usually} >= {silent.min_usual_requests:g}",
                f"on () max({exporters(thresholds)}) == 1",
            ),
            hold=silent.hold,
            severity="critical",
            summary="Exporters are up, but no request is recorded.",
            description=(
                f"{value(NUMBER)} requests recorded in the last {silent.window}; "
                f"usually at least {asked(usually, NUMBER)} at this time. Exporters answer scrapes: "
                f"either no traffic arrives or the code no longer records it."
            ),
        ),
    )

"""Thresholds of the alerts: one data file, ``thresholds.yml``, with a validator behind it."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from asahi_alerts.errors import ThresholdsError
from asahi_exporter import yamltext
from asahi_exporter.wording import complaints

DEFAULT_PATH: Final = Path(__file__).with_name("thresholds.yml")
S = TypeVar("S", bound="_Section")
Severity = Literal["critical", "warning", "info"]

_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION: Final = re.compile(r"([1-9][0-9]*)([smhd])")


def seconds(duration: str) -> int:
    """Return the seconds of a Prometheus duration of one part, such as ``15m``.

    Raises ``ValueError`` for anything else.
    """
    parts = _DURATION.fullmatch(duration)
    if parts is None:
        raise ValueError(f"{duration!r} is not a duration: pass a whole number and one of s, m, h, d")
    return int(parts[1]) * _UNIT_SECONDS[parts[2]]


def _checked_duration(value: str) -> str:
    seconds(value)
    return value


Duration = Annotated[str, AfterValidator(_checked_duration)]
JobName = Annotated[str, Field(min_length=1)]
Ratio = Annotated[FiniteFloat, Field(gt=0, le=1)]
Spike = Annotated[FiniteFloat, Field(gt=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
NotNegative = Annotated[FiniteFloat, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
MAX_ROLLING_WINDOW_HOURS: Final = 24 * 14


class _Section(BaseModel):
    """A part of the file: unknown keys are refused, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class _Held(_Section):
    hold: Duration = Field(alias="for")


class _Windowed(_Held):
    window: Duration


class _Kept(_Windowed):
    keep: Duration


class Usual(_Section):
    """What the usual is made of, beside the rolling mean."""

    days: Count
    weeks: Count
    min_history: Duration


class CostSpike(_Kept):
    """Spend far above the usual."""

    min_excess_dollars: NotNegative


class LatencySpike(_Kept):
    """Latency far above the usual."""

    quantile: Annotated[FiniteFloat, Field(gt=0, lt=1)]
    min_requests: Count
    min_excess_ms: NotNegative


class ErrorRate(_Kept):
    """Errors for each request."""

    short_window: Duration
    min_requests: Count
    sigmas: NotNegative
    critical_factor: Spike

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _require_shorter(self, self.short_window, self.window, "short_window", "window")


class CacheDegradation(_Kept):
    """Hit rate far below the usual."""

    min_lookups: Count
    sigmas: NotNegative


class QualityDrop(_Kept):
    """Quality score far below the usual."""

    min_samples: Count


class SavingsZero(_Kept):
    """Savings that are gone."""

    ratio: Ratio
    min_usual_dollars: NotNegative


class MinRequests(_Windowed):
    """So many requests in a window."""

    min_requests: Count


class MinRecords(_Windowed):
    """So many records in a window."""

    min_records: Count


class MinEvaluations(_Windowed):
    """So many rule evaluations in a window."""

    min_evaluations: Count


class ExporterSilent(_Windowed):
    """Nothing recorded where something usually is."""

    min_usual_requests: Positive


class ScrapeGaps(_Windowed):
    """Scrapes that did not happen."""

    min_ratio: Ratio


class BurnWindow(_Held):
    """One pair of windows of the money burn-rate alerts."""

    burn_rate: Positive
    short: Duration
    long: Duration
    severity: Severity

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _require_shorter(self, self.short, self.long, "short", "long")


class Budget(_Held):
    """Money against the monthly budget."""

    monthly_dollars: Positive | None
    overrun_probability: Ratio
    burn_windows: Annotated[tuple[BurnWindow, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _faster_is_shorter(self) -> Self:
        by_rate = sorted(self.burn_windows, key=lambda window: -window.burn_rate)
        longs = [seconds(window.long) for window in by_rate]
        if longs != sorted(set(longs)):
            raise ValueError("a higher burn_rate needs a shorter long window, and no two may share one")
        return self


class Thresholds(_Section):
    """Everything in the thresholds file; the file's own comments state meanings and units."""

    cost_spike_threshold: Spike
    latency_spike_threshold: Spike
    error_rate_threshold: Annotated[FiniteFloat, Field(gt=0, lt=1)]
    cache_degradation_threshold: Annotated[FiniteFloat, Field(gt=0, lt=1)]
    quality_drop_threshold: Positive
    rolling_window_hours: Annotated[Count, Field(le=MAX_ROLLING_WINDOW_HOURS)]

    usual: Usual
    critical_factor: Spike
    evaluation_interval: Duration
    slow_evaluation_interval: Duration
    exporter_jobs: Annotated[tuple[JobName, ...], Field(min_length=1)]
    service_job: JobName
    runbook_base_url: Annotated[str, Field(pattern=r"^https?://\S+$")]

    cost_spike: CostSpike
    latency_spike: LatencySpike
    error_rate: ErrorRate
    cache_degradation: CacheDegradation
    quality_drop: QualityDrop
    savings_zero: SavingsZero
    unpriced_requests: MinRequests
    label_overflow: MinRecords
    refused_records: MinRecords
    exporter_down: _Held
    exporter_absent: _Held
    exporter_silent: ExporterSilent
    scrape_gaps: ScrapeGaps
    rules_missed: MinEvaluations
    rules_failed: MinEvaluations
    totals_missing: _Held
    service_down: _Held
    budget: Budget

    @model_validator(mode="after")
    def _critical_error_rate_is_a_rate(self) -> Self:
        critical = self.error_rate_threshold * self.error_rate.critical_factor
        if critical > 1:
            raise ValueError(
                f"error_rate_threshold times its critical_factor is {critical:g}: a rate is at most 1"
            )
        return self

    @property
    def rolling_window(self) -> str:
        """``rolling_window_hours`` as a Prometheus duration."""
        return f"{self.rolling_window_hours}h"


def load(path: Path | str | None = None) -> Thresholds:
    """Return the thresholds of the file at ``path`` laid over the shipped ones, or those alone.

    Raises ``ThresholdsError`` when the file cannot be read or a key or value in it cannot be used.
    """
    return _shipped() if path is None else parse(_read(Path(path)), source=str(path))


def parse(values: Mapping[str, Any], source: str = "thresholds") -> Thresholds:
    """Return ``values`` laid over the shipped thresholds; ``source`` names them in errors.

    Sections are merged key by key; a list replaces the list shipped.
    """
    return _validated(_merged(_read(DEFAULT_PATH), values), source)


@functools.cache
def _shipped() -> Thresholds:
    return _validated(_read(DEFAULT_PATH), DEFAULT_PATH.name)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yamltext.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ThresholdsError(f"the thresholds {path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ThresholdsError(
            f"the thresholds {path} are not YAML: {' '.join(str(error).split())}"
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ThresholdsError(f"{path} must hold keys and values, got a {type(content).__name__}")
    return content


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _validated(values: Mapping[str, Any], source: str) -> Thresholds:
    try:
        return Thresholds.model_validate(values)
    except ValidationError as error:
        raise ThresholdsError(f"{source}: {complaints(error, Thresholds)}") from error


def _require_shorter(section: S, short: str, long: str, short_name: str, long_name: str) -> S:
    if seconds(short) >= seconds(long):
        raise ValueError(f"{short_name} {short} must be shorter than {long_name} {long}")
    return section

"""``forecast_series``: from a history to a forecast of each step and of the total."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd

from asahi_analytics.forecasting.ended import NO_SILENCE, Silence, silence_of
from asahi_analytics.forecasting.history import (
    BadInput,
    History,
    check_confidence,
    check_history,
    check_horizon,
)
from asahi_analytics.forecasting.kernels import Array
from asahi_analytics.forecasting.outlook import Outlook
from asahi_analytics.forecasting.simple import ema, linear
from asahi_analytics.forecasting.sparse import EndedOutlook, flat
from asahi_analytics.forecasting.structural import DAILY, HOURLY, Options, structural
from asahi_exporter.prose import percent

Method = Literal["auto", "ema", "linear"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
AVERAGE: Final = "structural average"
"""What the method of a long enough history is called."""
FEW: Final = 10
"""Days below which only a flat level is forecast: weekdays cannot be told from chance yet."""
FEW_HOURS: Final = 24
"""The same for hours: a day that was seen once at least."""


@dataclass(frozen=True)
class SeriesForecast:
    """A forecast in the history's own steps and units (dollars, say).

    ``mean`` is the central path: it sums to ``total``, the median of the total's distribution; ``low`` and
    ``high`` hold each step with probability ``confidence``, ``total_low`` and ``total_high`` the total.
    ``outlook`` is the whole distribution, ``index`` the time of each step, ``silence`` what zeros at the end may mean
    (to the plain methods nothing).
    """

    index: pd.DatetimeIndex
    mean: Array
    low: Array
    high: Array
    total: float
    total_low: float
    total_high: float
    confidence: float
    method: str
    outlook: Outlook = field(repr=False)
    silence: Silence = NO_SILENCE


def forecast_series(
    history: pd.Series,
    horizon: int = 30,
    confidence: float = 0.95,
    method: Method = "auto",
    *,
    resumed: bool = False,
) -> SeriesForecast:
    """Forecast the ``horizon`` steps after ``history``, and their total, with intervals of ``confidence``.

    ``history``: values of a day or an hour each (NaN: missing, which is not zero) on a regular UTC index; it is not
    changed. ``auto`` averages structural models; with values of fewer than ten days or 24 hours it is a flat level with
    a wide interval, and ``method`` of the answer says so. ``ema`` and ``linear`` are the plain methods. ``resumed``: it
    has spent since ``history`` ended, so that zeros at its end are no end.

    Raises ``BadInput`` (a ``ValueError``) for what cannot be used and ``TooShort`` for fewer than two finite values.
    """
    checked = check_history(history)
    horizon, confidence = check_horizon(horizon), check_confidence(confidence)
    silence = _silence(checked) if method == "auto" else NO_SILENCE
    if resumed:
        silence = replace(silence, ended=0.0)
    outlook, name = _outlook(checked, horizon, method, silence)
    return replace(_answer(checked, horizon, confidence, outlook, name), silence=silence)


def _silence(history: History) -> Silence:
    if not (history.values > 0).any():
        return NO_SILENCE
    return silence_of(
        history.values,
        history.was_festive,
        history.at_years_end,
        _options(history).grid.period,
        steps_a_day=24 if history.hourly else 1,
    )


def _outlook(history: History, horizon: int, method: Method, silence: Silence) -> tuple[Outlook, str]:
    if method == "ema":
        return ema(history.values, horizon), "ema"
    if method == "linear":
        return linear(history.values, horizon), "linear"
    if method != "auto":
        raise BadInput(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    return _automatic(history, horizon, silence)


def _automatic(history: History, horizon: int, silence: Silence) -> tuple[Outlook, str]:
    values = history.values
    if not (values > 0).any():
        return EndedOutlook(horizon, None, 0.0), "zero: nothing was ever spent"
    if silence.new:
        values = _before(values)
    active, name = _active(history, values, horizon)
    if silence.ended == 0.0:
        return active, name
    return EndedOutlook(horizon, active, 1.0 - silence.ended), _named(name, silence)


def _before(values: Array) -> Array:
    """Return ``values`` with nothing known after the last that spent."""
    return np.where(np.arange(len(values)) > np.flatnonzero(values > 0)[-1], np.nan, values)


def _named(active: str, silence: Silence) -> str:
    """Return what the method is called where a series that ``active`` forecasts may have ended."""
    if not silence.counts:
        return active
    zeros = "value is" if silence.count == 1 else f"{silence.count} values are"
    stopped = f"stopped: the last {zeros} zero ({percent(silence.ended, 0)} likely)"
    return stopped if silence.likely else f"{active}, or {stopped}"


def _options(history: History) -> Options:
    return HOURLY if history.hourly else DAILY


def _active(history: History, values: Array, horizon: int) -> tuple[Outlook, str]:
    values = values[int(np.argmax(values > 0)) :]
    count = int(np.isfinite(values).sum())
    if count < (FEW_HOURS if history.hourly else FEW):
        return flat(values, horizon), f"flat: only {count} values since the first spend"
    options = _options(history)
    if not (values[-options.max_history :] > 0).any():
        steps = f"{options.max_history} {'hours' if history.hourly else 'days'}"
        return flat(values, horizon), f"flat: no spend is known of the last {steps}"
    return structural(values, options, history.festive(horizon)), AVERAGE


def _answer(history: History, horizon: int, confidence: float, outlook: Outlook, name: str) -> SeriesForecast:
    tail = (1.0 - confidence) / 2.0
    ask = (tail, 0.5, 1.0 - tail)
    low, middle, high = outlook.steps(ask)
    total_low, total, total_high = (float(value) for value in outlook.total(ask))
    scale = total / middle.sum() if middle.sum() > 0 else 0.0
    mean = middle * scale if scale else np.full(horizon, total / horizon)
    return SeriesForecast(
        index=history.future(horizon),
        mean=mean,
        low=np.minimum(low, mean),
        high=np.maximum(high, mean),
        total=total,
        total_low=total_low,
        total_high=total_high,
        confidence=confidence,
        method=name,
        outlook=outlook,
    )

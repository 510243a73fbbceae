"""Budgets: a YAML file of dollars a calendar month, where each stands, and the same as gauges.

The file, `docs/budgets.md`:

    budgets:
      - monthly_dollars: 5000       # a cent or more; without a label it is the budget over everything, called "total"
        warn_at: [0.5, 0.8, 1.0]    # optional: shares of the budget worth a word
      - model: gpt-4o               # or task_type, user, tier: at most one of them
        name: big-model             # optional, unique; the label's value unless given
        monthly_dollars: 1200
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from asahi_analytics.errors import AnalyticsError, UserInputError
from asahi_analytics.forecasting import BudgetRisk, Forecast, ForecastingModel, Plan
from asahi_analytics.forecasting.risk import LEAST_DOLLARS, MOST_DOLLARS, WARN_AT
from asahi_analytics.models import GROUPINGS
from asahi_exporter import conventions as names
from asahi_exporter import yamltext
from asahi_exporter.conventions import Metric
from asahi_exporter.wording import complaints

MAX_BUDGETS: Final = 200
Bounds = tuple[float | None, float | None, float | None]


def no_truth(value: Any) -> Any:
    """Refuse true and false, which would pass for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"must be a number; got {str(value).lower()}")
    return value


Share = Annotated[float, BeforeValidator(no_truth), Field(gt=0, le=10)]


def no_repeats(shares: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse a share that is given twice."""
    repeated = [share for share, count in Counter(shares).items() if count > 1]
    if repeated:
        raise ValueError(f"must name each share once; got {', '.join(map(str, repeated))} more than once")
    return shares


TIERS: Final = (names.NO_CACHE, *names.CACHE_TIERS)
"""Values that the label of a tier has."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BudgetEntry(_Strict):
    """One entry of the file."""

    name: str | None = Field(None, min_length=1, max_length=100)
    monthly_dollars: Annotated[float, BeforeValidator(no_truth)] = Field(ge=LEAST_DOLLARS, le=MOST_DOLLARS)
    model: str | None = Field(None, min_length=1)
    task_type: str | None = Field(None, min_length=1)
    user: str | None = Field(None, min_length=1)
    tier: str | None = Field(None, min_length=1)
    warn_at: Annotated[tuple[Share, ...], AfterValidator(no_repeats)] = WARN_AT

    @model_validator(mode="after")
    def _one_label(self) -> BudgetEntry:
        given = [label for label in GROUPINGS if getattr(self, label) is not None]
        empty = [label for label in GROUPINGS if label in self.model_fields_set and label not in given]
        if empty:
            raise ValueError(
                f"{empty[0]} is left empty; say which, or leave the key out for the budget over everything"
            )
        if len(given) > 1:
            raise ValueError(f"give at most one of {', '.join(GROUPINGS)}, got {' and '.join(given)}")
        if self.tier is not None and self.tier not in TIERS:
            raise ValueError(f"tier must be one of {', '.join(TIERS)} (in quotes), got {self.tier!r}")
        if self.name == names.WHOLE_BUDGET and given:
            raise ValueError(
                f"the name {names.WHOLE_BUDGET!r} is for the budget over everything; give that of {given[0]} another"
            )
        if not given and self.name not in {None, names.WHOLE_BUDGET}:
            raise ValueError(
                f"the budget over everything is called {names.WHOLE_BUDGET!r}, got the name {self.name!r}; "
                f"leave the name out, or say whose budget it is: one of {', '.join(GROUPINGS)}"
            )
        return self

    @property
    def plan(self) -> Plan:
        """The same as the forecasts take it."""
        group_by = next((label for label in GROUPINGS if getattr(self, label) is not None), None)
        value = None if group_by is None else str(getattr(self, group_by))
        return Plan(
            self.name or value or names.WHOLE_BUDGET,
            self.monthly_dollars,
            group_by,
            value,
            tuple(sorted(self.warn_at)),
        )


class BudgetFile(_Strict):
    """The whole file."""

    budgets: tuple[BudgetEntry, ...] = Field(default=(), max_length=MAX_BUDGETS)

    @model_validator(mode="after")
    def _unique_names(self) -> BudgetFile:
        counts = Counter(entry.plan.name for entry in self.budgets)
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated:
            raise ValueError(f"names must be unique, got {', '.join(map(repr, repeated))} more than once")
        return self


class BudgetReport(BaseModel):
    """Where every budget of the file stands."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    budgets: list[BudgetRisk] = Field(description="In the order of the file; empty when there is none.")


def load_plans(path: Path | None) -> tuple[Plan, ...]:
    """Return the budgets of the file at ``path`` (None: no budgets).

    Raises ``UserInputError`` that names the file, the entry and what is allowed.
    """
    if path is None:
        return ()
    try:
        document = yamltext.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserInputError(f"the budgets file {path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserInputError(
            f"the budgets file {path} is not YAML: {' '.join(str(error).split())[:300]}"
        ) from error
    if not isinstance(document, dict):
        raise UserInputError(f"the budgets file {path} must hold 'budgets:' and a list, see docs/budgets.md")
    try:
        return tuple(entry.plan for entry in BudgetFile.model_validate(document).budgets)
    except ValidationError as error:
        raise UserInputError(f"the budgets file {path}: {complaints(error, BudgetFile)}") from error


class Budgets:
    """The budgets of the file, asked of one ``ForecastingModel``."""

    def __init__(self, model: ForecastingModel, plans: Iterable[Plan] = ()) -> None:
        """Ask nothing yet."""
        self.model = model
        self.plans = tuple(plans)

    def report(self, confidence: float = 0.95) -> BudgetReport:
        """Return where each budget stands in the running calendar month."""
        return BudgetReport(budgets=self.model.budget_risks(self.plans, confidence))


class BudgetCollector(Collector):
    """Budgets and the forecast of the coming 30 days as gauges, for a registry of prometheus-client.

    ``report`` and ``forecast`` are called on each scrape, so they should be answers kept for a minute or so. What
    cannot be answered is left out of the exposition: an absent series, never a zero.
    """

    def __init__(self, report: Callable[[], BudgetReport], forecast: Callable[[], Forecast]) -> None:
        """Ask nothing yet."""
        self._report = report
        self._forecast = forecast

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the families without values, so that registering asks nothing."""
        return list(_families().values())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each family that has a value."""
        families = _families()
        for risk in self._risks():
            _add_budget(families, risk)
        for bound, value in zip(names.FORECAST_BOUNDS, self._bounds(), strict=True):
            _add(families, names.FORECAST_COST, value, bound)
        yield from (family for family in families.values() if family.samples)

    def _risks(self) -> list[BudgetRisk]:
        try:
            return self._report().budgets
        except AnalyticsError:
            return []

    def _bounds(self) -> Bounds:
        try:
            forecast = self._forecast()
        except AnalyticsError:
            return None, None, None
        return forecast.confidence_low, forecast.predicted_cost, forecast.confidence_high


_GAUGES: Final = (
    names.BUDGET_DOLLARS,
    names.BUDGET_SPENT,
    names.BUDGET_PLANNED,
    names.BUDGET_LEVEL,
    names.BUDGET_FORECAST,
    names.BUDGET_OVERRUN_PROBABILITY,
    names.BUDGET_EXHAUSTION,
    names.FORECAST_COST,
)


def _families() -> dict[str, GaugeMetricFamily]:
    return {gauge.name: GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels) for gauge in _GAUGES}


def _add_budget(families: Mapping[str, GaugeMetricFamily], risk: BudgetRisk) -> None:
    _add(families, names.BUDGET_DOLLARS, risk.budget, risk.name)
    _add(families, names.BUDGET_SPENT, risk.spent, risk.name)
    _add(families, names.BUDGET_PLANNED, risk.planned, risk.name)
    _add(families, names.BUDGET_LEVEL, max(risk.levels_reached, default=0.0), risk.name)
    _add(families, names.BUDGET_OVERRUN_PROBABILITY, risk.overrun_probability, risk.name)
    when = None if risk.exhaustion_at is None else risk.exhaustion_at.timestamp()
    _add(families, names.BUDGET_EXHAUSTION, when, risk.name)
    bounds = (risk.forecast_low, risk.forecast_total, risk.forecast_high)
    for bound, value in zip(names.FORECAST_BOUNDS, bounds, strict=True):
        _add(families, names.BUDGET_FORECAST, value, risk.name, bound)


def _add(
    families: Mapping[str, GaugeMetricFamily], metric: Metric, value: float | None, *labels: str
) -> None:
    if value is not None:
        families[metric.name].add_metric(labels, value)

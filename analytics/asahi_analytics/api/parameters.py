"""Query parameters: their models, and the reader that refuses what it does not know and says what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeVar, get_args
from urllib.parse import parse_qsl

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from asahi_analytics.api.problems import InvalidParameters, ParameterProblem
from asahi_analytics.engine import MAX_DRIVERS, MAX_INTERVALS
from asahi_analytics.forecasting import Method
from asahi_analytics.forecasting.model import MAX_HORIZON_DAYS
from asahi_analytics.forecasting.risk import LEAST_DOLLARS, MOST_DOLLARS
from asahi_analytics.models import GroupBy
from asahi_analytics.trends import METRICS
from asahi_analytics.windows import WINDOW_NAMES, Period
from asahi_exporter import wording

MAX_FIELDS: Final = 50
WINDOW_HELP: Final = (
    f"Instead of period: {', '.join(WINDOW_NAMES)} in the configured time zone, or two RFC 3339 times with a comma "
    "between them."
)


class Parameters(BaseModel):
    """No parameters; the base of those that have some."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WindowParameters(Parameters):
    """Which time an answer is about."""

    period: Period = Field("day", description="Trailing window that ends now; a week is 7 days, a month 30.")
    window: str | None = Field(
        None,
        description=WINDOW_HELP,
        max_length=100,
        examples=["month-to-date", "2026-01-01T00:00:00Z,2026-01-08T00:00:00Z"],
    )


class CostBreakdownParameters(WindowParameters):
    """Of ``/analytics/cost-breakdown``."""

    group_by: GroupBy = Field("model", description="The label to break the cost down by.")


class TrendParameters(Parameters):
    """Of ``/analytics/trends``."""

    metric: str = Field("cost", description="What to show.", json_schema_extra={"enum": list(METRICS)})
    period: Period = Field("day", description="Length of a bin.")
    intervals: int = Field(30, ge=1, le=MAX_INTERVALS, description="Number of bins; the last one ends now.")

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError("unknown")
        return metric


class BaselineParameters(WindowParameters):
    """Of ``/analytics/baseline``."""

    group_by: GroupBy | None = Field(None, description="Break the comparison down by this label, too.")
    baseline_model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Compare with this model's dated list prices instead of the savings recorded with each request.",
        examples=["gpt-4"],
    )


class DriverParameters(WindowParameters):
    """Of ``/analytics/top-cost-drivers``."""

    limit: int = Field(10, ge=1, le=MAX_DRIVERS, description="How many label sets, and how many users.")


class ForecastParameters(Parameters):
    """Of ``/analytics/forecast``."""

    horizon_days: int = Field(30, ge=1, le=MAX_HORIZON_DAYS, description="Days ahead, today being the first.")
    confidence: float = Field(
        0.95, gt=0, lt=1, description="Probability that the interval is meant to hold, between 0 and 1."
    )
    group_by: GroupBy | None = Field(None, description="Forecast the ten largest of these, too.")
    name: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Forecast this one model, task type, tier or user only.",
    )
    method: Method = Field("auto", description="How to forecast; auto is the most accurate.")
    monthly_budget: float | None = Field(
        None,
        ge=LEAST_DOLLARS,
        le=MOST_DOLLARS,
        description="Dollars a calendar month: says whether they last, too.",
    )


class BudgetParameters(Parameters):
    """Of ``/analytics/budgets``."""

    confidence: float = Field(
        0.95, gt=0, lt=1, description="Probability that the interval is meant to hold, between 0 and 1."
    )


class HitRateForecastParameters(Parameters):
    """Of ``/analytics/forecast/cache-hit-rate``."""

    horizon_days: int = Field(30, ge=1, le=MAX_HORIZON_DAYS, description="Days ahead, today being the first.")
    confidence: float = Field(
        0.95, gt=0, lt=1, description="Probability that the interval is meant to hold, between 0 and 1."
    )
    tier: Literal["1", "2", "3"] | None = Field(None, description="One cache tier; without it all look-ups.")


Model = TypeVar("Model", bound=Parameters)


def read(model: type[Model], query: bytes) -> Model:
    """Return the parameters in a query string.

    Raises ``InvalidParameters`` naming each parameter that is unknown, given twice, or has a value that is not
    allowed, with what is.
    """
    values = _pairs(model, query)
    if "period" in values and values.get("window"):
        raise _invalid("window", "give period or window, not both")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_explained(model, problem) for problem in error.errors(include_url=False)]
        raise InvalidParameters(problems) from error


def allowed_values(field: FieldInfo) -> list[str] | None:
    """Return the values that a parameter may have, where they can be listed."""
    extra = field.json_schema_extra
    listed = extra.get("enum") if isinstance(extra, dict) else None
    if isinstance(listed, list):
        return [str(value) for value in listed]
    literals = _literals(field.annotation)
    return [str(value) for value in literals] or None


def _literals(annotation: Any) -> list[Any]:
    found: list[Any] = []
    for argument in get_args(annotation):
        if isinstance(argument, str):
            found.append(argument)
        else:
            found.extend(_literals(argument))
    return found


def _pairs(model: type[Parameters], query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except UnicodeDecodeError as error:
        raise _invalid("query", "the query string must be UTF-8, percent-encoded") from error
    except ValueError as error:
        raise _invalid("query", f"the query string may have at most {MAX_FIELDS} parameters") from error
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in model.model_fields:
            raise _unknown(model, name)
        if name in values:
            raise _invalid(name, f"{name} may be given once only")
        values[name] = value
    return values


def _unknown(model: type[Parameters], name: str) -> InvalidParameters:
    known = sorted(model.model_fields)
    allowed = f"allowed: {', '.join(known)}" if known else "this endpoint takes none"
    return _invalid(name[:80], f"{name[:80]!r} is not a parameter here; {allowed}", known)


def _invalid(name: str, detail: str, allowed: Sequence[str] | None = None) -> InvalidParameters:
    return InvalidParameters(
        [ParameterProblem(name=name, detail=detail, allowed=list(allowed) if allowed else None)]
    )


def _explained(model: type[Parameters], problem: ErrorDetails) -> ParameterProblem:
    name = str(problem["loc"][0]) if problem["loc"] else "query"
    field = model.model_fields.get(name)
    got = f"{str(problem['input'])[:80]!r}"
    allowed = allowed_values(field) if field else None
    if allowed:
        return ParameterProblem(
            name=name, detail=f"{name} must be one of {', '.join(allowed)}; got {got}", allowed=allowed
        )
    wanted = _wanted(problem, field) if field else wording.wanted(problem)
    return ParameterProblem(name=name, detail=f"{name} must be {wanted}; got {got}", allowed=None)


def _wanted(problem: ErrorDetails, field: FieldInfo) -> str:
    """What a number or a text must be, with its limits."""
    kind = "a whole number" if field.annotation is int else "a number"
    inside = [next((item for item in field.metadata if isinstance(item, type_)), None) for type_ in (Ge, Le)]
    if isinstance(inside[0], Ge) and isinstance(inside[1], Le):
        return f"{kind} from {inside[0].ge} to {inside[1].le}"
    outside = [next((item for item in field.metadata if isinstance(item, type_)), None) for type_ in (Gt, Lt)]
    if isinstance(outside[0], Gt) and isinstance(outside[1], Lt):
        return f"{kind} between {outside[0].gt} and {outside[1].lt}, neither included"
    if isinstance(outside[0], Gt):
        return f"{kind} greater than {outside[0].gt}"
    return wording.wanted(problem)

"""What the caller tells about one inference: validated when it is built."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from asahi_exporter.conventions import UNKNOWN

MAX_DOLLARS: Final = 1e9
"""Most dollars in one record; more is a mistake of units that would drown every sum."""
MAX_TOKENS: Final = 10**9
MAX_MILLISECONDS: Final = 1e9
MAX_POINTS: Final = 1e6

Dollars = Annotated[float, Field(ge=0, le=MAX_DOLLARS, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=0, le=MAX_TOKENS)]
Milliseconds = Annotated[float, Field(ge=0, le=MAX_MILLISECONDS, allow_inf_nan=False)]
Points = Annotated[float, Field(ge=0, le=MAX_POINTS, allow_inf_nan=False)]


def _no_flag(tier: object) -> object:
    """Refuse whether a cache answered where the tier that did is meant: Python takes True for 1."""
    if isinstance(tier, bool):
        raise ValueError("Input should be the number of the tier that answered, or None, not True or False")
    return tier


CacheTier = Annotated[Literal[1, 2, 3], BeforeValidator(_no_flag)]
Outcome = Literal["ok", "error", "retry"]


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class InferenceEvent:
    """One answered request.

    Fields are keyword arguments and validated on construction: ``pydantic.ValidationError`` names each field
    that is wrong. Values do not change afterwards; ``dataclasses.replace`` makes a changed copy.

    ``cost_dollars=None`` means that no price is known: the request is counted as unpriced, never as free.
    ``cache_tier=None``: no cache answered. ``user=None``: counted under ``unknown``. ``latency_ms=None`` and
    ``quality_score=None``: not measured, counted nowhere. ``savings_dollars`` maps an optimisation phase to the
    dollars it saved. ``outcome`` other than ``ok`` adds the cost to ``asahi_wasted_cost_dollars_total`` too.
    """

    model: Annotated[str, Field(min_length=1)]
    task_type: Annotated[str, Field(min_length=1)] = UNKNOWN
    cache_tier: CacheTier | None = None
    user: str | None = None
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cost_dollars: Dollars | None = None
    savings_dollars: dict[str, Dollars] = Field(default_factory=dict)
    latency_ms: Milliseconds | None = None
    quality_score: Points | None = None
    outcome: Outcome = "ok"

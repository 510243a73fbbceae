"""What a piece of advice is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from asahi_analytics.models import Answer

Category = Literal["cache", "routing", "token", "model"]
Level = Literal["low", "medium", "high"]


class Evidence(BaseModel):
    """One number that was seen, and the PromQL that shows it."""

    model_config = ConfigDict(frozen=True)

    statement: str = Field(description="What was seen, in words.")
    value: float = Field(description="The number, in the unit that the statement names.")
    promql: str = Field(description="A query that gives the number, or the numbers it is made of.")


class Recommendation(BaseModel):
    """Something to change, what it is worth, and how that was computed.

    Dollars are per month of 365.25/12 days. ``savings_low`` and ``savings_high`` bound a 90 % interval for a month to
    come in which days are as they were; it says nothing of changes in how the traffic will behave.
    """

    model_config = ConfigDict(frozen=True)

    id: str = Field(
        description="Stable: the rule and what it is about, so that it can be followed or dismissed."
    )
    category: Category
    title: str
    description: str = Field(description="What was seen and how the dollars were computed.")
    estimated_savings: float = Field(description="Dollars per month.", ge=0)
    savings_low: float = Field(description="Dollars per month, lower end.", ge=0)
    savings_high: float = Field(description="Dollars per month, upper end.", ge=0)
    priority: Level
    confidence: Level
    action: str = Field(description="What to do, naming the model, task type, tier or user concerned.")
    evidence: list[Evidence]
    quality_guard: str | None = Field(
        default=None,
        description="What is known of the quality of the alternative; null where quality is not touched.",
    )


class AdviceReport(Answer):
    """What to change, and what it was read from."""

    generated_at: datetime = Field(description="When the advice was given.")
    warning: str | None = Field(description="Why there is no advice, where there is too little to judge by.")
    recommendations: list[Recommendation] = Field(
        description="The most urgent first; empty where nothing is to be gained or there is too little traffic. "
        "Each saving is counted by itself; some are of the same dollars."
    )

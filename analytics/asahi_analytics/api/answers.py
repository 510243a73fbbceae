"""Answers that are lists elsewhere: an HTTP answer is an object, so that it can grow."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from asahi_analytics.recommendations import Recommendation


class Recommendations(BaseModel):
    """What to change."""

    model_config = ConfigDict(frozen=True)

    generated_at: datetime = Field(description="End of the traffic that was looked at.")
    recommendations: list[Recommendation] = Field(
        description="The most urgent first; empty where nothing is to be gained or there is too little traffic."
    )

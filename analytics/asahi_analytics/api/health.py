"""Liveness and readiness."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from asahi_analytics.api.service import Service
from asahi_analytics.errors import PrometheusError
from asahi_analytics.recording import EVALUATED


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether Prometheus can be asked, and whether the recording rules have results."""

    ready: bool
    prometheus: str = Field(description="ok, or what went wrong.")
    rules: Literal["ok", "missing", "unknown"] = Field(
        description="missing: no recording rule of ours has a recent result; answers come from raw samples."
    )


def readiness(service: Service) -> Readiness:
    """Ask Prometheus for a number, and whether the recording rules were evaluated lately."""
    client, now = service.engine.client, service.engine.clock()
    try:
        client.query("vector(1)", now)
        found = client.query(EVALUATED, now).samples
    except PrometheusError as error:
        return Readiness(ready=False, prometheus=str(error), rules="unknown")
    return Readiness(ready=True, prometheus="ok", rules="ok" if found else "missing")

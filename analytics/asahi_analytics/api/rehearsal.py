"""What a worker does before it takes requests: it answers each question once, for nobody.

A worker is forked from a process that has loaded everything, but of that it copies each page when it touches it for the
first time, and its connections and threads are still to be made. Left to the first answers, that took each of them up
to a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from asahi_analytics.api.app import dump
from asahi_analytics.api.endpoints import Endpoint
from asahi_analytics.api.service import Service
from asahi_analytics.deadline import within
from asahi_analytics.errors import AnalyticsError, PrometheusError

LONGEST_SECONDS: Final = 5.0


def rehearse(
    service: Service, endpoints: Sequence[Endpoint], longest_seconds: float = LONGEST_SECONDS
) -> None:
    """Answer each of ``endpoints`` with its defaults, and forget what was heard: nobody asked.

    Raises a ``PrometheusError`` where Prometheus gives no usable answer, or all of them take too long.
    """
    try:
        with within(longest_seconds):
            for endpoint in endpoints:
                _work_out(service, endpoint)
    finally:
        service.engine.client.clear_cache()


def _work_out(service: Service, endpoint: Endpoint) -> None:
    """Work the answer out; where there is too little history for one, that is as good."""
    try:
        dump(endpoint.handle(service, endpoint.parameters()))
    except PrometheusError:
        raise
    except AnalyticsError:
        return

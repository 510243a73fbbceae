"""A worker answers each question once before anybody asks, keeps nothing of it, and is not kept from its work."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from asahi_analytics import deadline
from asahi_analytics.api.endpoints import ENDPOINTS
from asahi_analytics.api.parameters import Parameters
from asahi_analytics.api.rehearsal import rehearse
from asahi_analytics.errors import AnswerTooLate, NotEnoughData, PrometheusUnreachable
from asahi_analytics.models import Point


class Remembering:
    """Counts how often what was heard is forgotten."""

    def __init__(self) -> None:
        self.forgotten = 0
        self.engine = SimpleNamespace(client=SimpleNamespace(clear_cache=self.forget))

    def forget(self) -> None:
        self.forgotten += 1


def endpoint(outcome, asked: list[Parameters]):
    def handle(_service, given):
        asked.append(given)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return replace(ENDPOINTS[0], parameters=Parameters, handle=handle)


POINT = Point(timestamp="2026-03-10T12:00:00Z", value=1.0)


def test_every_question_is_asked_with_its_defaults_though_some_have_too_little_history():
    service, asked = Remembering(), []
    rehearse(service, [endpoint(outcome, asked) for outcome in (POINT, NotEnoughData("a day"), POINT)])
    assert asked == [Parameters()] * 3
    assert service.forgotten == 1


def test_it_ends_with_the_first_question_that_prometheus_does_not_answer():
    service, asked = Remembering(), []
    endpoints = [endpoint(outcome, asked) for outcome in (POINT, PrometheusUnreachable("away"), POINT)]
    with pytest.raises(PrometheusUnreachable):
        rehearse(service, endpoints)
    assert len(asked) == 2
    assert service.forgotten == 1


def test_it_takes_no_longer_than_it_may():
    def late(_service, _given):
        deadline.check()

    with pytest.raises(AnswerTooLate):
        rehearse(Remembering(), [replace(ENDPOINTS[0], parameters=Parameters, handle=late)], 0.0)


def test_every_endpoint_can_be_asked_without_parameters():
    assert [each.parameters() for each in ENDPOINTS]

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest
from pydantic import ValidationError

from asahi_exporter import InferenceEvent
from support.exporting import inference


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("model", ""),
        ("model", None),
        ("model", "\ud800"),
        ("task_type", ""),
        ("cache_tier", 0),
        ("cache_tier", 4),
        ("cache_tier", "none"),
        ("cache_tier", True),
        ("cache_tier", False),
        ("user", 7),
        ("input_tokens", -1),
        ("input_tokens", 1.5),
        ("output_tokens", 10**30),
        ("cost_dollars", -0.01),
        ("cost_dollars", float("nan")),
        ("cost_dollars", float("inf")),
        ("cost_dollars", 1e12),
        ("cost_dollars", "a lot"),
        ("savings_dollars", {"routing": -1.0}),
        ("savings_dollars", {"routing": float("nan")}),
        ("savings_dollars", 3.0),
        ("latency_ms", -1.0),
        ("latency_ms", float("inf")),
        ("quality_score", -0.1),
        ("quality_score", float("nan")),
        ("outcome", "maybe"),
    ],
)
def test_a_wrong_field_is_named(field: str, wrong: object) -> None:
    with pytest.raises(ValidationError) as caught:
        inference(**{field: wrong})
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(ValidationError, match="cost_dollar"):
        inference(cost_dollar=1.0)


def test_only_the_model_is_needed() -> None:
    event = InferenceEvent(model="m")
    assert (event.task_type, event.user, event.cost_dollars, event.latency_ms) == (
        "unknown",
        None,
        None,
        None,
    )
    assert event.savings_dollars == {}
    assert event.outcome == "ok"


def test_numbers_of_other_libraries_are_taken() -> None:
    assert inference(cost_dollars=Decimal("0.125")).cost_dollars == 0.125


def test_an_event_does_not_change_but_a_changed_copy_is_validated() -> None:
    event = inference()
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.model = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="cost_dollars"):
        dataclasses.replace(event, cost_dollars=-1.0)


def test_two_events_do_not_share_their_savings() -> None:
    one, two = InferenceEvent(model="m"), InferenceEvent(model="m")
    assert one.savings_dollars is not two.savings_dollars

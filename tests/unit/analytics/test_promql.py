"""Pieces of PromQL: nothing that comes from outside can leave its string."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asahi_analytics import promql
from asahi_analytics.errors import UserInputError
from asahi_exporter import conventions
from asahi_exporter.promtext import regex_escaped

_UNESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\x00": "\0"}


def unquote(literal: str) -> str:
    """The naive reader of a PromQL string."""
    assert literal[0] == literal[-1] == '"'
    return re.sub(r'\\(\\|"|n|r|t|x00)', lambda match: _UNESCAPES[match.group()], literal[1:-1])


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_a_quoted_value_reads_back_as_itself(value) -> None:
    literal = promql.quote(value)
    assert unquote(literal) == value
    assert not re.search(r'(?<!\\)(\\\\)*"', literal[1:-1])
    assert "\n" not in literal


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1))
def test_an_escaped_value_matches_itself_only(value) -> None:
    pattern = re.compile(regex_escaped(value), re.DOTALL)
    assert pattern.fullmatch(value)
    assert not pattern.fullmatch(value + "x")


@pytest.mark.parametrize("value", ["\ud800", "x" * (promql.MAX_VALUE_LENGTH + 1)])
def test_text_that_cannot_be_a_label_value_is_refused(value) -> None:
    with pytest.raises(UserInputError, match="label value"):
        promql.quote(value)


def test_matchers_are_in_order_and_several_values_become_one_expression() -> None:
    where = {"task_type": ["chat"], "model": ["gpt.4", "a|b"], "user": []}
    assert promql.matchers(where) == '{model=~"gpt\\\\.4|a\\\\|b",task_type="chat",user=~".^"}'
    assert promql.matchers({}) == ""
    assert promql.matchers(None) == ""


def test_a_selector_names_a_metric_of_ours() -> None:
    assert promql.selector("asahi_requests_total", {"model": ['a"} or vector(1)']}) == (
        'asahi_requests_total{model="a\\"} or vector(1)"}'
    )


@pytest.mark.parametrize(
    "name",
    ["asahi_requests_total", "asahi_latency_ms_bucket", "asahi_latency_ms_sum", "asahi:requests:state"],
)
def test_our_metrics_are_allowed(name) -> None:
    assert promql.metric_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "up",
        "asahi_requests_total_bucket",
        "asahi_requests_total{",
        "",
        "asahi_latency_ms_nothing",
        "asahi: x",
        "bucket",
    ],
)
def test_other_metrics_are_refused(name) -> None:
    with pytest.raises(UserInputError, match="not a metric of Asahi"):
        promql.metric_name(name)


def test_every_family_can_be_asked() -> None:
    for family in conventions.FAMILIES.values():
        assert promql.metric_name(family.source) == family.source


@pytest.mark.parametrize("name", ["a-b", "", "1a", 'a="', "é"])
def test_names_that_are_no_label_are_refused(name) -> None:
    with pytest.raises(UserInputError, match="label name"):
        promql.by_clause(["model", name])


def test_by_clauses() -> None:
    assert promql.by_clause(["model", "task_type"]) == "by (model, task_type)"
    assert promql.by_clause([]) == "by ()"


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(hours=1), "3600s"),
        (timedelta(milliseconds=1500), "1500ms"),
        (timedelta(days=90), "7776000s"),
    ],
)
def test_durations_are_whole_seconds_or_milliseconds(length, text) -> None:
    assert promql.duration(length) == text


@pytest.mark.parametrize("length", [timedelta(), timedelta(seconds=-1), timedelta(microseconds=400)])
def test_a_duration_must_be_positive(length) -> None:
    with pytest.raises(UserInputError, match="positive"):
        promql.duration(length)


def test_a_template_asks_one_metric_or_several_by_name():
    assert promql.of_names("max({$names,part=x})", ["b"]) == 'max({__name__="b",part=x})'
    assert (
        promql.of_names("f({$names}) or g({$names})", ["b", "a", "b"])
        == 'f({__name__=~"a|b"}) or g({__name__=~"a|b"})'
    )

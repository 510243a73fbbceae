"""Why spend changed: the parts add up to the whole, and the cause is named."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from asahi_analytics.anomaly import split_cost_change
from asahi_analytics.anomaly.attribution import FACTORS, LEAF, OUTPUT_WEIGHT, log_mean
from asahi_analytics.anomaly.explain import (
    Span,
    cost_causes,
    cost_message,
    dollars,
    latency_causes,
    share_causes,
    span_words,
)
from support.anomaly_traffic import END, STEP

PRICE = {"large": (2.5e-6, 10e-6), "small": (0.15e-6, 0.6e-6)}
GOES_ON = Span(END, END + 3 * STEP, ongoing=True)
OVER = Span(END, END + 3 * STEP, ongoing=False)
SHAPE = {"chat": (800.0, 200.0), "summarise": (3000.0, 300.0)}


def traffic(requests: float = 1000.0, hit: float = 0.3, large: float = 0.4) -> pd.DataFrame:
    rows = {}
    for model, share in (("large", large), ("small", 1 - large)):
        for task, part in (("chat", 0.7), ("summarise", 0.3)):
            for tier, kept in (("1", hit), ("none", 1 - hit)):
                count = requests * share * part * kept
                size = [count * each for each in SHAPE[task]]
                paid = 0.0 if tier == "1" else 1.0
                cost = paid * sum(tokens * price for tokens, price in zip(size, PRICE[model], strict=True))
                rows[model, task, tier] = [count, *size, cost]
    columns = ["requests", "input_tokens", "output_tokens", "cost"]
    index = pd.MultiIndex.from_tuples(rows, names=LEAF)
    return pd.DataFrame(list(rows.values()), index=index, columns=columns)


def scaled(table: pd.DataFrame, columns: list[str], factor: float, model: str | None = None) -> pd.DataFrame:
    table = table.copy()
    rows = slice(None) if model is None else table.index.get_level_values("model") == model
    table.loc[rows, columns] *= factor
    return table


def priced(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the cost that its tokens have."""
    table = table.copy()
    paid = table.index.get_level_values("cache_tier") == "none"
    prices = np.array([PRICE[model] for model in table.index.get_level_values("model")])
    table["cost"] = paid * (table[["input_tokens", "output_tokens"]].to_numpy() * prices).sum(axis=1)
    return table


INCIDENTS = {
    "volume": traffic(3000),
    "token_size": priced(scaled(traffic(), ["output_tokens"], 4.0)),
    "model_mix": traffic(large=0.95),
    "unit_price": scaled(traffic(), ["cost"], 2.5),
    "hit_rate": traffic(hit=0.0),
}


@pytest.mark.parametrize("cause", INCIDENTS)
def test_a_pure_cause_carries_the_whole_change(cause):
    change = split_cost_change(traffic(), INCIDENTS[cause])
    assert math.fsum(change.parts.values()) == pytest.approx(change.change, abs=1e-9)
    assert change.parts[cause] == pytest.approx(change.change, rel=0.02)
    (named, *_) = cost_causes(change)
    assert named.factor == cause


leaf_numbers = st.tuples(*(st.sampled_from([0.0, 1e-9, 0.5, 3.0, 1e3]) | st.floats(0, 1e6) for _ in range(4)))


@settings(max_examples=25, phases=[Phase.explicit, Phase.generate])
@given(
    st.lists(st.tuples(leaf_numbers, leaf_numbers), min_size=1, max_size=6), st.none() | st.floats(0.01, 1e5)
)
def test_the_parts_add_up_to_the_change_whatever_happened(numbers, expected):
    names = pd.MultiIndex.from_tuples(
        [(f"m{position % 2}", f"t{position // 2}", "none") for position in range(len(numbers))], names=LEAF
    )
    columns = ["requests", "input_tokens", "output_tokens", "cost"]
    before = pd.DataFrame([each[0] for each in numbers], index=names, columns=columns)
    after = pd.DataFrame([each[1] for each in numbers], index=names, columns=columns)
    change = split_cost_change(before, after, expected)
    assert set(change.parts) == set(FACTORS)
    assert all(math.isfinite(part) for part in change.parts.values())
    size = max(1.0, change.before, change.after)
    assert abs(math.fsum(change.parts.values()) - change.change) <= 1e-9 * size
    by_leaf = change.by_leaf.sum(axis=1).sum()
    assert abs(by_leaf - change.change) <= 1e-9 * size


def test_the_parts_are_those_of_the_textbook_for_one_label_set():
    before = traffic().iloc[[1]]
    after = scaled(scaled(before, ["requests", "input_tokens", "output_tokens", "cost"], 2.0), ["cost"], 1.5)
    change = split_cost_change(before, after)
    first, last = float(before["cost"].iloc[0]), float(after["cost"].iloc[0])
    mean = (last - first) / math.log(last / first)
    assert change.parts["volume"] == pytest.approx(mean * math.log(2))
    assert change.parts["unit_price"] == pytest.approx(mean * math.log(1.5))


def test_a_new_model_that_takes_requests_over_is_mix_and_one_on_top_is_volume():
    before = traffic(large=0.0)
    before = before[before["requests"] > 0]
    moved = split_cost_change(before, traffic(large=0.5))
    assert max(moved.parts, key=moved.parts.__getitem__) == "model_mix"
    on_top = pd.concat([before, traffic(large=0.5).loc[["large"]]])
    added = split_cost_change(before, on_top)
    assert added.parts["volume"] == pytest.approx(added.change)


def test_nothing_before_is_volume_and_the_argument_stays():
    before, after = traffic().iloc[:0], traffic()
    copy = after.copy()
    change = split_cost_change(before, after, expected=5.0)
    assert change.parts["volume"] == pytest.approx(after["cost"].sum())
    pd.testing.assert_frame_equal(after, copy)


def test_a_price_that_was_nothing_is_the_price():
    free = scaled(traffic(), ["cost"], 0.0)
    change = split_cost_change(free, traffic())
    assert change.parts["unit_price"] == pytest.approx(change.change)


def test_the_expected_spend_scales_the_reference_as_volume():
    change = split_cost_change(traffic(1000), traffic(500), expected=float(traffic(100)["cost"].sum()))
    assert change.before == pytest.approx(traffic(100)["cost"].sum())
    assert change.parts["volume"] == pytest.approx(change.change)


def test_output_tokens_weigh_what_the_traffic_says_or_a_usual_ratio():
    one_task = traffic().xs("chat", level="task_type", drop_level=False)
    longer = priced(scaled(one_task, ["output_tokens"], 3.0))
    change = split_cost_change(one_task, longer)
    assert change.parts["token_size"] == pytest.approx(change.change, rel=1e-6)
    assert PRICE["large"][1] / PRICE["large"][0] == OUTPUT_WEIGHT
    other = traffic()
    other["cost"] = np.where(
        other["cost"] > 0, other["input_tokens"] * 1e-6 + other["output_tokens"] * 8e-6, 0.0
    )
    longer = scaled(other, ["output_tokens"], 3.0)
    longer["cost"] = np.where(
        other["cost"] > 0, longer["input_tokens"] * 1e-6 + longer["output_tokens"] * 8e-6, 0.0
    )
    change = split_cost_change(other, longer)
    assert change.parts["token_size"] == pytest.approx(change.change, rel=1e-6)


def test_the_logarithmic_mean_has_its_limits():
    after, before = np.array([2.0, 3.0, 0.0, 5.0]), np.array([2.0, 1.0, 4.0, 0.0])
    np.testing.assert_allclose(log_mean(after, before), [2.0, 2 / math.log(3), 0.0, 0.0])


def test_the_sentence_names_who_and_where():
    after = scaled(traffic(), ["requests", "input_tokens", "output_tokens", "cost"], 6.0, model="large")
    change = split_cost_change(traffic(), after)
    users = pd.Series({"acme-batch": 0.9 * change.change, "team-a": 0.1 * change.change})
    causes = cost_causes(change, users)
    assert causes[0].labels == {"model": "large", "cache_tier": "none", "user": "acme-batch"}
    words = cost_message(after["cost"].sum(), change.before, change, causes, span=GOES_ON, step=STEP)
    assert words.startswith(f"Cost at ${change.after:,.2f}/10 min is 5.")
    assert "from more requests (mostly user acme-batch on large)" in words
    assert "since 12:00 UTC" in words
    nothing = cost_message(5.0, 0.0, change, [], span=GOES_ON, step=STEP)
    assert nothing.startswith("Cost at $5.00/10 min, where there usually is none, since 12:00 UTC; $")
    assert nothing.endswith("more than usual so far.")


def test_what_began_on_another_day_is_told_with_that_day():
    start = OVER.start - timedelta(days=1)
    assert Span(start, OVER.end, True).when == f"since {start.day} {start:%b} 12:00 UTC"
    assert Span(start, OVER.end, False).when == f"from {start.day} {start:%b} 12:00 to 12:30 UTC"


def test_a_task_type_is_named_as_one():
    after = traffic()
    after.loc[after.index.get_level_values("task_type") == "chat"] *= 6.0
    (cause,) = cost_causes(split_cost_change(traffic(), after))
    assert cause.text.endswith("from more requests (mostly on large for task type chat)")


def test_what_came_out_of_nothing_and_is_over_is_told_at_its_worst():
    change = split_cost_change(traffic(), traffic(requests=5000.0))
    words = cost_message(5.0, 0.0, change, [], span=OVER, step=STEP)
    assert words.startswith(
        "Cost at $5.00/10 min at its worst, where there usually is none, from 12:00 to 12:30 UTC; $"
    )


def test_what_is_over_is_told_in_the_past_tense_and_with_its_end():
    change = split_cost_change(traffic(), traffic(requests=5000.0))
    words = cost_message(5.0, 1.0, change, [], span=OVER, step=STEP)
    assert words.startswith(
        "Cost at $5.00/10 min was at its worst 5.0x the usual $1.00 from 12:00 to 12:30 UTC; $"
    )
    assert words.endswith("more than usual in all.")


def test_dollars_and_spans_are_written_as_people_do():
    assert [dollars(each) for each in (0, 1234.5, -2.5, 0.00123)] == [
        "$0.00",
        "$1,234.50",
        "-$2.50",
        "$0.00123",
    ]
    assert [span_words(STEP), span_words(6 * STEP)] == ["10 min", "h"]


def test_a_queue_moves_the_median_and_a_tail_does_not():
    index = pd.MultiIndex.from_tuples([("large", "none"), ("small", "1")], names=["model", "cache_tier"])
    before = pd.DataFrame({"p50": [500.0, 5.0], "p95": [1500.0, 10.0], "requests": 100.0}, index=index)
    queue = before.assign(p50=[2000.0, 5.0], p95=[6000.0, 10.0])
    (cause,) = latency_causes(before, queue, GOES_ON)
    assert "all requests are slower" in cause.text
    (past,) = latency_causes(before, queue, OVER)
    assert "all requests were slower" in past.text
    assert (cause.factor, cause.labels["model"]) == ("queue", "large")
    assert "median 500 → 2,000 ms" in cause.text
    tail = before.assign(p95=[1500.0, 90.0])
    (past,) = latency_causes(before, tail, OVER)
    assert "only the slowest were" in past.text
    (cause,) = latency_causes(before, tail, GOES_ON)
    assert (cause.factor, cause.labels) == ("tail", {"model": "small", "cache_tier": "1"})
    assert "cache tier 1" in cause.text
    assert latency_causes(before, before, GOES_ON) == []


def test_label_sets_that_moved_are_named_largest_first():
    index = pd.MultiIndex.from_tuples(
        [("timeout", "router"), ("oom", "model")], names=["error_type", "component"]
    )
    causes = share_causes(
        "error_type", pd.Series([5.0, 5.0], index), pd.Series([105.0, 45.0], index), "errors"
    )
    assert [cause.labels["error_type"] for cause in causes] == ["timeout", "oom"]
    assert causes[0].text == "+100 errors of timeout / router"
    assert share_causes("x", pd.Series([5.0, 5.0], index), pd.Series([1.0, 1.0], index), "errors") == []

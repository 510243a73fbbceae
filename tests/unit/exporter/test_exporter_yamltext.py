from __future__ import annotations

import datetime

import pytest
import yaml

from asahi_exporter import yamltext


def test_plain_data_comes_back() -> None:
    text = "a: {b: [1, 2.5, true, 2026-02-28]}\nc: text\n"
    assert yamltext.load(text) == {"a": {"b": [1, 2.5, True, datetime.date(2026, 2, 28)]}, "c": "text"}
    assert yamltext.load("") is None


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\nb: 2\na: 3\n", 3), ("m:\n- {x: 1, x: 1}\n", 2), ("m:\n  5: a\n  5: b\n", 3)],
)
def test_a_key_given_twice_is_refused_with_its_place(text: str, line: int) -> None:
    with pytest.raises(yaml.YAMLError, match=rf"the key '\w' is given twice(.|\n)*line {line}"):
        yamltext.load(text)


def test_equal_keys_of_different_mappings_and_types_are_none_of_its_business() -> None:
    assert yamltext.load("a: {x: 1}\nb: {x: 1}\n5: n\n'5': t\n") == {
        "a": {"x": 1},
        "b": {"x": 1},
        5: "n",
        "5": "t",
    }


def test_a_mapping_may_be_merged_into_another_and_keep_its_own_values() -> None:
    assert yamltext.load("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")["b"] == {"x": 3, "y": 2}


def test_a_date_that_does_not_exist_is_named() -> None:
    with pytest.raises(yaml.YAMLError, match=r"'2025-02-29' is no date(.|\n)*line 1"):
        yamltext.load("from: 2025-02-29\n")


def test_a_key_that_is_a_list_is_left_to_yaml() -> None:
    with pytest.raises(yaml.YAMLError, match="unhashable"):
        yamltext.load("{[1]: 2}")

"""Names and shares read well in a sentence, whatever was sent as a name."""

from __future__ import annotations

import pytest

from asahi_exporter.prose import LONGEST, named, percent, shown


@pytest.mark.parametrize(
    ("ratio", "digits", "text"),
    [
        (0.0, 1, "0 %"),
        (0.3, 1, "30 %"),
        (1.0, 0, "100 %"),
        (0.0521, 1, "5.2 %"),
        (0.0521, 2, "5.21 %"),
        (0.95, 0, "95 %"),
        (0.000414, 1, "<0.1 %"),
        (0.0006, 1, "0.1 %"),
        (0.9997, 1, ">99.9 %"),
        (0.999, 0, ">99 %"),
        (1.0, 1, "100 %"),
        (1.5, 1, "150 %"),
        (0.05001, 2, "5 %"),
    ],
)
def test_a_share_is_rounded_but_never_to_nothing_or_to_all(ratio: float, digits: int, text: str) -> None:
    assert percent(ratio, digits) == text


def test_in_a_column_shares_have_their_decimals() -> None:
    assert (percent(0.3, column=True), percent(1.0, column=True)) == ("30.0 %", "100.0 %")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gpt-4o", "gpt-4o"),
        ("code_review", "code_review"),
        ("Übersetzung", "Übersetzung"),
        ("two words", "'two words'"),
        ("a\nb", r"a\nb"),
        ('say "hi"', "'say \"hi\"'"),
        ("team's bot", '"team\'s bot"'),
        ("", "''"),
    ],
)
def test_a_name_stands_in_one_line_and_ends_where_it_ends(name: str, text: str) -> None:
    assert shown(name) == text


def test_a_long_name_is_cut_in_sentences() -> None:
    assert shown("x" * LONGEST) == "x" * LONGEST
    assert shown("x" * 500) == "x" * (LONGEST - 1) + "…"


def test_a_label_is_said_in_words() -> None:
    assert named("task_type", "chat") == "task type chat"
    assert named("tier", "none") == "tier none"

"""Tokens become dollars exactly, and a model without a price is unpriced, never free."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from asahi_analytics.errors import UserInputError
from asahi_analytics.prices import (
    GenaiPrices,
    PriceBook,
    PriceTable,
    Rate,
    bundled_table,
    given_prices,
    parse_price,
    read_price_file,
)

LATE = datetime(2026, 1, 1, tzinfo=UTC)


def text(*prices: str, more: str = "") -> str:
    return "models:\n  m:\n    prices:\n" + "".join(f"      - {price}\n" for price in prices) + more


def test_a_request_costs_its_tokens_exactly() -> None:
    assert PriceBook.bundled().price("gpt-4", LATE, 1_001, 333) == Decimal("0.05001")


def test_an_unknown_model_is_unpriced_and_not_free() -> None:
    assert PriceBook.bundled().price("house-model", LATE, 10, 10) is None


def test_a_free_model_costs_zero_and_is_priced() -> None:
    assert PriceBook([given_prices(["mine=0,0"])]).price("mine", LATE, 10, 10) == 0


@pytest.mark.parametrize(
    ("at", "dollars"),
    [
        (datetime(2024, 5, 12, 23, 59, 59, tzinfo=UTC), None),
        (datetime(2024, 5, 13, tzinfo=UTC), Decimal(5)),
        (datetime(2024, 10, 1, 23, 59, 59, tzinfo=UTC), Decimal(5)),
        (datetime(2024, 10, 2, tzinfo=UTC), Decimal("2.5")),
    ],
)
def test_the_price_of_the_day_counts_from_midnight_utc(at: datetime, dollars: Decimal | None) -> None:
    assert PriceBook.bundled().price("gpt-4o", at, 1_000_000, 0) == dollars


def test_names_match_whatever_their_case_and_by_alias() -> None:
    table = bundled_table()
    assert table.rate("GPT-4", LATE) == table.rate("gpt-4", LATE) == Rate(Decimal(30), Decimal(60))
    assert table.rate("ChatGPT", LATE) == table.rate("gpt-3.5-turbo", LATE)


def test_negative_tokens_are_refused() -> None:
    with pytest.raises(UserInputError, match="-1 in, 0 out"):
        PriceBook.bundled().price("gpt-4", LATE, -1, 0)


def test_a_preferred_source_answers_first_and_leaves_the_others() -> None:
    book = PriceBook.bundled().preferring(given_prices(["gpt-4=1,2"]))
    assert book.price("gpt-4", LATE, 1_000_000, 0) == 1
    assert book.price("gpt-4o", LATE, 1_000_000, 0) == Decimal("2.5")


def test_a_file_of_the_users_own_is_read_with_its_decimals_as_written(tmp_path: Path) -> None:
    path = tmp_path / "prices.yml"
    path.write_text(text("{from: 2024-01-01, input: 0.1, output: 1.6}"))
    assert PriceBook.from_path(path).rate("m", LATE) == Rate(Decimal("0.1"), Decimal("1.6"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=r"none\.yml cannot be read"):
        PriceBook.from_path(tmp_path / "none.yml")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserInputError, match=r"p\.yml cannot be read"):
        PriceBook.from_path(tmp_path / "p.yml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("models: [", "is not YAML"),
        ("", "the price file prices.yml: must be keys and values; got None"),
        ("models: {m: {prices: []}}", r"models\.m\.prices must be a list of 1 or more entries"),
        (
            text("{from: 2024-01-01, input: -1, output: 1}"),
            r"prices\.0\.input must be a number of 0 or more; got -1",
        ),
        (text("{from: 2024-01-01, input: .nan, output: 1}"), r"prices\.0\.input must be a (finite )?number"),
        (
            text("{from: 2024-01-01, input: 20000, output: 1}"),
            r"prices\.0\.input must be a number less than 10000; got 20000",
        ),
        (text("{from: 2024-01-01, input: yes, output: 1}"), r"prices\.0\.input must be a (finite )?number"),
        (text("{from: soon, input: 1, output: 1}"), r"prices\.0\.from must be a date such as 2026-01-31"),
        (text("{from: 2025-02-29, input: 1, output: 1}"), "'2025-02-29' is no date"),
        (text(more="    prices: []\n"), "the key 'prices' is given twice"),
        (text("{from: 2024-01-01, input: 1}"), r"prices\.0\.output is missing"),
        (text("{from: 2024-01-01, input: 1, output: 1, cached: 1}"), r"prices\.0\.cached is not a key here"),
        (
            text("{from: 2024-01-02, input: 1, output: 1}", "{from: 2024-01-02, input: 1, output: 1}"),
            "must ascend, oldest price first; got 2024-01-02 after 2024-01-02",
        ),
        (
            text("{from: 2024-01-01, input: 1, output: 1}", more="    aliases: [M]\n"),
            "'M' names two models",
        ),
    ],
)
def test_a_file_that_breaks_a_rule_names_the_place(content: str, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        read_price_file(content, "prices.yml")


def test_a_price_argument_is_read() -> None:
    assert parse_price("m-large=1.60,6.40") == ("m-large", Rate(Decimal("1.60"), Decimal("6.40")))
    assert parse_price("a=b=1,2")[0] == "a=b"


@pytest.mark.parametrize(
    "wrong", ["m-large", "m=1", "m=1,2,3", "m=a,b", "m=1,-2", "m=nan,1", "m=1,inf", "=1,2", ""]
)
def test_a_wrong_price_argument_shows_how_to_write_it(wrong: str) -> None:
    with pytest.raises(UserInputError, match=r"such as m-large=1\.60,6\.40"):
        parse_price(wrong)


def test_an_empty_table_prices_nothing() -> None:
    assert PriceTable({}).rate("gpt-4", LATE) is None


def test_the_bundled_prices_of_today_agree_with_genai_prices() -> None:
    package = GenaiPrices()
    bundled = read_price_file(
        Path(__file__).parents[3].joinpath("analytics/asahi_analytics/prices.yml").read_text(), "bundled"
    )
    now = datetime(2026, 3, 1, tzinfo=UTC)
    known = 0
    for model, entry in bundled.models.items():
        theirs = package.rate(f"{entry.provider}/{model}", now)
        if theirs is not None:
            known += 1
            assert (model, bundled_table().rate(model, now)) == (model, theirs)
    assert known >= 20


def test_genai_prices_answers_only_for_a_named_provider() -> None:
    assert GenaiPrices().rate("gpt-4o", LATE) is None
    assert GenaiPrices("openai").rate("gpt-4o", LATE) == GenaiPrices().rate("openai/gpt-4o", LATE)
    assert GenaiPrices("openai").rate("no-such-model-at-all", LATE) is None


def test_genai_prices_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "genai_prices", None)
    with pytest.raises(UserInputError, match=r"pip install 'asahi-observability\[prices\]'"):
        GenaiPrices()

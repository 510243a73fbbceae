"""What is wrong with a file, in our words: the key, what to pass and what was got, and never pydantic's own words."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from asahi_exporter import wording


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    weight: float = 1.0
    hold: str = Field("1m", alias="for")


class File(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    above: Annotated[float, Field(gt=0)] = 1
    least: Annotated[int, Field(ge=1)] = 1
    below: Annotated[Decimal, Field(lt=10_000)] = Decimal(1)
    most: Annotated[int, Field(le=1_000_000)] = 1
    on: bool = True
    name: Annotated[str, Field(min_length=1, max_length=5)] = "n"
    url: Annotated[str, Field(pattern="^http")] = "http"
    kind: Literal["a", "b", "c"] = "a"
    day: date = date(2026, 1, 1)
    path: Path | None = None
    token: SecretStr | None = None
    names: list[str] = Field(default_factory=list)
    levels: tuple[float, ...] = ()
    parts: Annotated[tuple[Inner, ...], Field(min_length=1, max_length=2)] = (Inner(),)
    by_name: dict[str, Inner] = Field(default_factory=dict)
    inner: Inner | None = None

    @model_validator(mode="after")
    def _own_rule(self) -> File:
        if self.name == "bad":
            raise ValueError("the name 'bad' is taken; pass another")
        return self


class Needy(BaseModel):
    dollars: float


def said(model: type[BaseModel] = File, /, **values: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(values)
    return wording.complaints(refused.value, model)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"above": 0}, "above must be a number greater than 0; got 0"),
        ({"above": "much"}, "above must be a number; got 'much'"),
        ({"above": [1]}, "above must be a number; got [1]"),
        ({"above": float("inf")}, "above must be a finite number; got inf"),
        ({"least": 0}, "least must be a number of 1 or more; got 0"),
        ({"least": 1.5}, "least must be a whole number; got 1.5"),
        ({"least": "x"}, "least must be a whole number; got 'x'"),
        ({"least": None}, "least must be a whole number; got None"),
        ({"below": 20_000}, "below must be a number less than 10000; got 20000"),
        ({"below": "x"}, "below must be a number; got 'x'"),
        ({"below": []}, "below must be a number; got []"),
        ({"most": 1_000_001}, "most must be a number of 1000000 or less; got 1000001"),
        ({"on": "maybe"}, "on must be true or false; got 'maybe'"),
        ({"on": []}, "on must be true or false; got []"),
        ({"name": 17}, "name must be text; put it in quotes; got 17"),
        ({"name": ""}, "name must be text of 1 or more characters; got ''"),
        ({"name": "sixsix"}, "name must be text of 5 or fewer characters; got 'sixsix'"),
        ({"name": "bad"}, "the name 'bad' is taken; pass another"),
        ({"url": "ftp"}, "url must be text that matches ^http; got 'ftp'"),
        ({"kind": "x"}, "kind must be 'a', 'b' or 'c'; got 'x'"),
        ({"day": "soon"}, "day must be a date such as 2026-01-31; got 'soon'"),
        ({"day": []}, "day must be a date such as 2026-01-31; got []"),
        ({"day": 1.5}, "day must be a date such as 2026-01-31; got 1.5"),
        ({"path": 5}, "path must be the path of a file or folder; got 5"),
        ({"token": 123456}, "token must be text; put it in quotes; got a secret"),
        ({"names": "x"}, "names must be a list; got 'x'"),
        ({"levels": 0.5}, "levels must be a list; got 0.5"),
        ({"parts": []}, "parts must be a list of 1 or more entries; got []"),
        ({"parts": [{}, {}, {}]}, "parts must be a list of 2 or fewer entries; got [{}, {}, {}]"),
        ({"parts": [{"weight": "x"}]}, "parts.0.weight must be a number; got 'x'"),
        ({"parts": [{"wieght": 1}]}, "parts.0.wieght is not a key here; did you mean weight?"),
        ({"parts": [{"planet": 1}]}, "parts.0.planet is not a key here; there are weight, for"),
        ({"by_name": {"parts": {"fro": 1}}}, "by_name.parts.fro is not a key here; did you mean for?"),
        ({"by_name": 3}, "by_name must be keys and values; got 3"),
        ({"inner": 3}, "inner must be keys and values; got 3"),
        ({"inner": {"hold": "1m"}}, "inner.hold is not a key here; there are weight, for"),
        (
            {"abvoe": 1, "on": 5},
            "on must be true or false; got 5; abvoe is not a key here; did you mean above?",
        ),
    ],
)
def test_each_mistake_says_the_key_what_to_pass_and_what_was_got(values: dict[str, Any], words: str) -> None:
    assert said(**values) == words


def test_a_key_that_is_missing_is_said_to_be() -> None:
    assert said(Needy) == "dollars is missing"


def test_what_is_no_mapping_at_all_has_no_key() -> None:
    with pytest.raises(ValidationError) as refused:
        Needy.model_validate([1])
    assert wording.complaints(refused.value, Needy) == "must be keys and values; got [1]"


def test_keys_are_named_as_their_reader_knows_them() -> None:
    with pytest.raises(ValidationError) as refused:
        File.model_validate({"above": 0})
    assert wording.complaints(refused.value, File, str.upper).startswith("ABOVE must be")


def test_a_long_value_is_cut() -> None:
    assert len(said(above="x" * 500)) < 130


def test_a_mistake_without_words_of_ours_keeps_pydantics() -> None:
    class Odd(BaseModel):
        step: Annotated[int, Field(multiple_of=5)]

    assert said(Odd, step=3) == "step: Input should be a multiple of 5; got 3"

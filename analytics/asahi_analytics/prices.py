"""What tokens cost: dated list prices from a file, from arguments, or from genai-prices.

A price is dollars per million tokens, apart for input and output, valid from a day on. A model without a price is
*unpriced*: every function here answers None for it, which callers count, and nothing ever takes it for free.
"""

from __future__ import annotations

import importlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from asahi_analytics.errors import UserInputError
from asahi_exporter import yamltext
from asahi_exporter.wording import complaints

PER: Final = Decimal(1_000_000)
"""Prices are for this many tokens."""
BUNDLED: Final = "prices.yml"
ALWAYS: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Rate:
    """Dollars per million input and output tokens, exact decimals."""

    input: Decimal
    output: Decimal

    def dollars(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Return the exact price of so many tokens, which must not be negative."""
        if input_tokens < 0 or output_tokens < 0:
            raise UserInputError(f"tokens are {input_tokens} in, {output_tokens} out; pass 0 or more")
        return (input_tokens * self.input + output_tokens * self.output) / PER


class RateSource(Protocol):
    """Whatever knows rates: a table, or a package."""

    def rate(self, model: str, at: datetime) -> Rate | None:
        """Return what ``model`` costs at ``at`` (aware), or None if that is not known."""


# The file ---------------------------------------------------------------------------------------------------
def _exact(value: Any) -> Any:
    """Turn a YAML number into the decimal that was written, not the binary fraction nearest to it."""
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


DollarsPerMillion = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, lt=10_000, allow_inf_nan=False)]


class DatedPrice(BaseModel):
    """One price of one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    valid_from: Annotated[date, Field(alias="from")]
    input: DollarsPerMillion
    output: DollarsPerMillion


class PricedModel(BaseModel):
    """All the prices of one model, oldest first."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    provider: str | None = None
    aliases: tuple[str, ...] = ()
    prices: Annotated[tuple[DatedPrice, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _dates_ascend(self) -> Self:
        days = [price.valid_from for price in self.prices]
        for earlier, later in pairwise(days):
            if later <= earlier:
                raise ValueError(
                    f"the dates of 'from' must ascend, oldest price first; got {later} after {earlier}"
                )
        return self


class PriceFile(BaseModel):
    """A whole price file; its rules stand at the head of the bundled one."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    models: dict[str, PricedModel]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        seen: set[str] = set()
        for name in [name for model, entry in self.models.items() for name in (model, *entry.aliases)]:
            if name.casefold() in seen:
                raise ValueError(f"{name!r} names two models")
            seen.add(name.casefold())
        return self


def read_price_file(text: str, where: str) -> PriceFile:
    """Return the prices in ``text``; ``where`` names it in errors.

    Raises ``UserInputError`` for text that is not YAML and for each key or value that breaks the rules, by name.
    """
    try:
        return PriceFile.model_validate(yamltext.load(text))
    except yaml.YAMLError as error:
        raise UserInputError(f"the price file {where} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise UserInputError(f"the price file {where}: {complaints(error, PriceFile)}") from error


# Sources ----------------------------------------------------------------------------------------------------
class PriceTable:
    """Dated rates by model name; the case of names does not matter."""

    def __init__(
        self,
        rates: Mapping[str, Sequence[tuple[datetime, Rate]]],
        providers: Mapping[str, str] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        """Take ``rates``: for each model (valid from, rate), the times aware and ascending.

        ``providers`` names who sells a model, and ``aliases`` the models that other names stand for: what ``offered``
        tells.
        """
        self._providers = dict(providers or {})
        named = {**{model: model for model in self._providers}, **(aliases or {})}
        self._named = {name.casefold(): model for name, model in named.items()}
        self._rates = {
            model.casefold(): ([start for start, _ in dated], [rate for _, rate in dated])
            for model, dated in rates.items()
        }

    @classmethod
    def from_file(cls, price_file: PriceFile) -> PriceTable:
        """Return the table of a price file, under names and aliases alike."""
        rates = {}
        for model, entry in price_file.models.items():
            dated = [
                (datetime.combine(price.valid_from, time(), UTC), Rate(price.input, price.output))
                for price in entry.prices
            ]
            rates.update(dict.fromkeys((model, *entry.aliases), dated))
        sold = {model: entry.provider for model, entry in price_file.models.items() if entry.provider}
        aliases = {alias: model for model, entry in price_file.models.items() for alias in entry.aliases}
        return cls(rates, sold, aliases)

    def rate(self, model: str, at: datetime) -> Rate | None:
        """Return the rate of ``model`` that is valid at ``at``; None for an unknown model or before its first price."""
        starts, rates = self._rates.get(model.casefold(), ((), ()))
        position = bisect_right(starts, at)
        return rates[position - 1] if position else None

    def offered(self, models: Iterable[str], at: datetime) -> dict[str, Rate]:
        """Return what those who sell ``models`` ask for their other models at ``at``."""
        known = {self._named.get(name.casefold()) for name in models}
        sellers = {provider for model, provider in self._providers.items() if model in known}
        rates = {
            model: self.rate(model, at)
            for model, provider in self._providers.items()
            if provider in sellers and model not in known
        }
        return {name: rate for name, rate in rates.items() if rate is not None}


class GenaiPrices:
    """The prices of the package genai-prices (extra ``prices``), for models written ``provider/model``.

    The provider is always named, because the package may otherwise answer for another one; a model written without
    is asked for at ``provider``, or has no price when that is None. The rate is that of a short request: prices that
    rise with the length of the context are taken at their first step.
    """

    def __init__(self, provider: str | None = None) -> None:
        """Raise ``UserInputError`` when the package is not installed."""
        try:
            self._package: Any = importlib.import_module("genai_prices")
        except ImportError as error:
            raise UserInputError(
                "genai-prices is not installed; install it with: pip install 'asahi-observability[prices]'"
            ) from error
        self._provider = provider

    def rate(self, model: str, at: datetime) -> Rate | None:
        """Return the rate of ``model`` at ``at``, or None if the package does not know it."""
        provider, _, name = model.rpartition("/")
        provider = provider or (self._provider or "")
        if not provider:
            return None
        try:
            priced = [self._dollars(provider, name, at, *tokens) for tokens in ((1000, 0), (0, 1000))]
        except LookupError:
            return None
        return Rate(priced[0] * 1000, priced[1] * 1000)

    def _dollars(
        self, provider: str, name: str, at: datetime, input_tokens: int, output_tokens: int
    ) -> Decimal:
        usage = self._package.Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        answer = self._package.calc_price(usage, name, provider_id=provider, genai_request_timestamp=at)
        return Decimal(answer.total_price)


class PriceBook:
    """Asks its sources in order; the first that knows a model answers."""

    def __init__(self, sources: Iterable[RateSource]) -> None:
        self._sources = tuple(sources)

    @classmethod
    def bundled(cls) -> PriceBook:
        """Return the prices that come with the package."""
        return cls([bundled_table()])

    @classmethod
    def from_path(cls, path: Path) -> PriceBook:
        """Return the prices of the file at ``path``; raise ``UserInputError`` if it cannot be read or used."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserInputError(f"the price file {path} cannot be read: {reason}") from error
        return cls([PriceTable.from_file(read_price_file(text, str(path)))])

    def preferring(self, source: RateSource) -> PriceBook:
        """Return a book that asks ``source`` before this one's."""
        return PriceBook([source, *self._sources])

    def rate(self, model: str, at: datetime) -> Rate | None:
        """Return dollars per million tokens of ``model`` at ``at`` (aware), or None: unpriced."""
        return next((rate for source in self._sources if (rate := source.rate(model, at)) is not None), None)

    def offered(self, models: Iterable[str], at: datetime) -> dict[str, Rate]:
        """Return what those who sell ``models`` ask for their other models at ``at``, as far as files tell."""
        tables = [source for source in self._sources if isinstance(source, PriceTable)]
        found: dict[str, Rate] = {}
        for table in reversed(tables):
            found.update(table.offered(list(models), at))
        return found

    def price(self, model: str, at: datetime, input_tokens: int, output_tokens: int) -> Decimal | None:
        """Return the exact dollars of one request, or None: unpriced, to be counted as such and never as zero."""
        rate = self.rate(model, at)
        return None if rate is None else rate.dollars(input_tokens, output_tokens)


def price_book(path: Path | None = None, genai_provider: str | None = None) -> PriceBook:
    """Return the prices of the file at ``path`` (None: those of the package), then genai-prices if a provider is named.

    Raises ``UserInputError`` for a file that cannot be used and where genai-prices is not installed.
    """
    book = PriceBook.bundled() if path is None else PriceBook.from_path(path)
    return book if genai_provider is None else PriceBook([book, GenaiPrices(genai_provider)])


@cache
def bundled_table() -> PriceTable:
    """Return the table of the price file that comes with the package."""
    text = files(__package__).joinpath(BUNDLED).read_text(encoding="utf-8")
    return PriceTable.from_file(read_price_file(text, BUNDLED))


# Arguments --------------------------------------------------------------------------------------------------
EXAMPLE: Final = "m-large=1.60,6.40"


def parse_price(text: str) -> tuple[str, Rate]:
    """Return (model, rate) of an argument such as ``m-large=1.60,6.40``: dollars per million tokens in, out."""
    model, _, numbers = text.rpartition("=")
    parts = [part.strip() for part in numbers.split(",")]
    how = f"write MODEL=INPUT,OUTPUT in dollars a million tokens, such as {EXAMPLE}"
    try:
        named = dict(zip(("input", "output"), parts, strict=True))
        entry = DatedPrice.model_validate({"from": date.min, **named})
    except ValidationError as error:
        raise UserInputError(f"{text!r} is not a price: {complaints(error, DatedPrice)}; {how}") from error
    except ValueError as error:
        raise UserInputError(f"{text!r} is not a price; {how}") from error
    if not model:
        raise UserInputError(f"{text!r} names no model; {how}")
    return model, Rate(entry.input, entry.output)


def given_prices(texts: Iterable[str]) -> PriceTable:
    """Return the table of ``MODEL=INPUT,OUTPUT`` arguments, valid at any time."""
    return PriceTable({model: [(ALWAYS, rate)] for model, rate in map(parse_price, texts)})

"""The trace formats that are known, told apart by their header.

``binned``    requests per model, client and ten minutes, from ``t_s`` seconds after the start of the trace on:
              ``model,client,t_s,requests,input_tokens_mean,output_tokens_mean``
``azure``     single requests of the Azure LLM inference traces: ``TIMESTAMP,ContextTokens,GeneratedTokens``
``burstgpt``  single requests of BurstGPT: ``Timestamp,Model,Request tokens,Response tokens`` and more; a row with
              0 response tokens is a request that failed
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from asahi_analytics.errors import UserInputError

BIN_SECONDS: Final = 600.0
MAX_TOKENS: Final = 1e9
MAX_REQUESTS: Final = 1e12
Cells = Mapping[str, str]


class RowError(UserInputError):
    """One row of a trace is wrong; the message names the column and the value, the reader adds file and line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a trace.

    ``at_s`` is in seconds: since 1970 for formats with absolute times, else since the start of the trace.
    Tokens are per request; ``latency_ms`` is NaN when not known.
    """

    at_s: float
    requests: int
    input_tokens: float
    output_tokens: float
    model: str | None = None
    user: str | None = None
    task_type: str | None = None
    latency_ms: float = math.nan
    failed: bool = False


@dataclass(frozen=True)
class TraceFormat:
    """How one kind of trace is read: the columns it must have, and what a row of it means."""

    name: str
    columns: tuple[str, ...]
    parse: Callable[[Cells], Row]
    span_s: float = 0.0
    """Seconds that a row stands for, from its time on; 0 for single requests."""
    absolute: bool = False
    """Whether its times are points in time, not seconds since the start of the trace."""


def number(cells: Cells, column: str, most: float, *, least: float = 0.0) -> float:
    """Return the finite number in ``column``, between ``least`` and ``most``."""
    text = cells[column]
    try:
        value = float(text)
    except ValueError as error:
        raise RowError(f"{column} is {text!r}, not a number") from error
    if not least <= value <= most:
        raise RowError(f"{column} is {text}; it must be from {least:g} to {most:g}")
    return value


def whole(cells: Cells, column: str, most: float) -> int:
    """Return the whole number in ``column``, from 0 to ``most``."""
    value = number(cells, column, most)
    if value != int(value):
        raise RowError(f"{column} is {cells[column]}; it must be a whole number")
    return int(value)


def _text(cells: Cells, column: str) -> str:
    if not (text := cells[column].strip()):
        raise RowError(f"{column} is empty")
    return text


def _timestamp(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise RowError(f"TIMESTAMP is {text!r}; write it like 2023-11-16 18:15:46.6805900") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _binned(cells: Cells) -> Row:
    return Row(
        at_s=number(cells, "t_s", 1e10),
        requests=whole(cells, "requests", MAX_REQUESTS),
        input_tokens=number(cells, "input_tokens_mean", MAX_TOKENS),
        output_tokens=number(cells, "output_tokens_mean", MAX_TOKENS),
        model=_text(cells, "model"),
        user=_text(cells, "client"),
    )


def _azure(cells: Cells) -> Row:
    return Row(
        at_s=_timestamp(cells["TIMESTAMP"]),
        requests=1,
        input_tokens=whole(cells, "ContextTokens", MAX_TOKENS),
        output_tokens=whole(cells, "GeneratedTokens", MAX_TOKENS),
    )


def _burstgpt(cells: Cells) -> Row:
    answer = whole(cells, "Response tokens", MAX_TOKENS)
    seconds = cells.get("Elapsed time", "").strip()
    return Row(
        at_s=number(cells, "Timestamp", 1e10),
        requests=1,
        input_tokens=whole(cells, "Request tokens", MAX_TOKENS),
        output_tokens=answer,
        model=_text(cells, "Model"),
        task_type=cells.get("Log Type", "").strip() or None,
        latency_ms=number(cells, "Elapsed time", 1e6) * 1000 if seconds else math.nan,
        failed=answer == 0,
    )


FORMATS: Final = (
    TraceFormat(
        "binned",
        ("model", "client", "t_s", "requests", "input_tokens_mean", "output_tokens_mean"),
        _binned,
        span_s=BIN_SECONDS,
    ),
    TraceFormat("azure", ("TIMESTAMP", "ContextTokens", "GeneratedTokens"), _azure, absolute=True),
    TraceFormat("burstgpt", ("Timestamp", "Model", "Request tokens", "Response tokens"), _burstgpt),
)


def format_of(header: Sequence[str]) -> TraceFormat:
    """Return the format whose columns are all in ``header``; more columns than those do no harm.

    Raises ``UserInputError`` that says what was found and which headers are known.
    """
    found = {column.strip() for column in header}
    for known in FORMATS:
        if found.issuperset(known.columns):
            return known
    headers = "\n".join(f"  {known.name}: {','.join(known.columns)}" for known in FORMATS)
    got = ",".join(header)
    raise UserInputError(f"the header is not known; found: {got[:300]!r}; known headers:\n{headers}")

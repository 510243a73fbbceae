"""Pieces of PromQL: strings, matchers, selectors, durations.

Everything that comes from outside enters a query through here: label values are escaped, and the names of
metrics and labels are refused unless ``asahi_exporter.conventions`` knows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Final

from asahi_analytics.errors import UserInputError
from asahi_exporter import conventions
from asahi_exporter.promtext import quoted, regex_escaped

MILLISECOND: Final = timedelta(milliseconds=1)
NAME: Final = "__name__"
"""The label that holds the name of a metric."""
NAMES: Final = "$names"
"""Stands in a template for the matcher on the names of metrics, see ``of_names``."""
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_HISTOGRAM_SUFFIXES: Final = ("_bucket", "_sum", "_count")
MAX_VALUE_LENGTH: Final = 16_384
"""Characters; the exporter serves no longer label value."""


def quote(value: str) -> str:
    """Return ``value`` as a PromQL string literal with its quotes.

    Raises ``UserInputError`` for text that is not valid Unicode (lone surrogates) or absurdly long.
    """
    if len(value) > MAX_VALUE_LENGTH:
        raise UserInputError(
            f"a label value may have at most {MAX_VALUE_LENGTH} characters; got {len(value)}"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserInputError(f"a label value must be valid Unicode text; got {value[:80]!r}") from error
    return quoted(value)


def label_name(name: str) -> str:
    """Return ``name`` if it can be a label; raise ``UserInputError`` otherwise."""
    if not _LABEL_NAME.fullmatch(name):
        raise UserInputError(f"a label name has letters, digits and _ only; got {name[:80]!r}")
    return name


def metric_name(name: str) -> str:
    """Return ``name`` if it is a metric of ours, raw or recorded (``asahi:…``).

    Raises ``UserInputError`` for any other.
    """
    if not _METRIC_NAME.fullmatch(name) or not _known(name):
        raise UserInputError(
            f"{name[:80]!r} is not a metric of Asahi; they stand in asahi_exporter.conventions"
        )
    return name


def matcher(label: str, values: Sequence[str]) -> str:
    """Return the matcher of ``label`` for any of ``values``; no value at all matches no series."""
    name = label_name(label)
    if not values:
        return f'{name}=~".^"'
    if len(values) == 1:
        return f"{name}={quote(values[0])}"
    return f"{name}=~{quote('|'.join(regex_escaped(value) for value in values))}"


def matchers(where: Mapping[str, Sequence[str]] | None) -> str:
    """Return ``{a="x",b=~"y|z"}`` for ``where``, labels in order of name; ``""`` for nothing to match."""
    if not where:
        return ""
    return "{" + ",".join(matcher(label, where[label]) for label in sorted(where)) + "}"


def selector(metric: str, where: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return the selector of ``metric`` (allow-listed) with ``where``."""
    return metric_name(metric) + matchers(where)


def by_clause(labels: Sequence[str]) -> str:
    """Return ``by (a, b)``, and ``by ()`` for no label: one sum over everything."""
    return f"by ({', '.join(label_name(label) for label in labels)})"


def of_names(template: str, names: Iterable[str]) -> str:
    """Return the expression that asks ``template`` of the metrics ``names``, which it must tell apart by ``NAME``."""
    several = sorted(set(names))
    matching = f'{NAME}="{several[0]}"' if len(several) == 1 else f'{NAME}=~"{"|".join(several)}"'
    return template.replace(NAMES, matching)


@lru_cache(maxsize=1024)
def duration(length: timedelta) -> str:
    """Return a PromQL duration in whole seconds or milliseconds, such as ``3600s``."""
    milliseconds = round(length.total_seconds() * 1000)
    if milliseconds <= 0:
        raise UserInputError(f"a duration must be positive; got {length}")
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def of_snapshot(recorded: str, kept: timedelta) -> str:
    """Return what ``recorded`` holds of the snapshot at the moment of evaluation, up to ``kept`` after it."""
    return f"last_over_time({recorded}[{duration(kept)}] offset -{duration(kept)})"


def at_grid(expression: str, grid: timedelta, delay: timedelta) -> str:
    """Return ``expression`` as of the last multiple of ``grid`` that is ``delay`` ago."""
    step = duration(grid)
    return f"last_over_time(({expression})[{step}:{step}] offset {duration(delay)})"


def _known(name: str) -> bool:
    if name.startswith("asahi:"):
        return True
    if name in conventions.BY_NAME:
        return True
    base, underscore, suffix = name.rpartition("_")
    metric = conventions.BY_NAME.get(base)
    return metric is not None and metric.kind == "histogram" and underscore + suffix in _HISTOGRAM_SUFFIXES

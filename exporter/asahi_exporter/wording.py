"""What is wrong with a file or a setting, in our words instead of pydantic's: which key, what to pass, what was got."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

_LISTS: Final = (list, tuple, set, frozenset)
_NUMBER: Final = "a number"
_WHOLE: Final = "a whole number"
_LIST: Final = "a list"
_KEYS: Final = "keys and values"
_DATE: Final = "a date such as 2026-01-31"
_WANTED: Final[Mapping[str, str]] = {
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of {ge} or more",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of {le} or less",
    "finite_number": "a finite number",
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "decimal_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text; put it in quotes",
    "string_too_short": "text of {min_length} or more characters",
    "string_too_long": "text of {max_length} or fewer characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "literal_error": "{expected}",
    "path_type": "the path of a file or folder",
    "too_short": "a list of {min_length} or more entries",
    "too_long": "a list of {max_length} or fewer entries",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _KEYS,
    "model_type": _KEYS,
    "model_attributes_type": _KEYS,
    "date_type": _DATE,
    "date_parsing": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": _DATE,
}
"""What must be passed, by pydantic's type of error; ``{name}`` is filled in from the error's context."""


def complaints(
    error: ValidationError, model: type[BaseModel], named: Callable[[str], str] = lambda key: key
) -> str:
    """Return a sentence for each thing that is wrong with the input of ``model``, joined by semicolons.

    ``named`` turns a dotted key (``budgets.0.model``) into what its reader calls it. Secrets are never shown.
    """
    problems = error.errors(include_url=False)
    places = [problem["loc"] for problem in problems]
    return "; ".join(
        _sentence(problem, model, named) for problem in problems if not _is_echo(problem, places)
    )


def wanted(problem: ErrorDetails) -> str:
    """Return what must be passed instead: the words after "must be"."""
    words = _WANTED.get(problem["type"])
    if words is None:
        return problem["msg"]
    return words.format_map({name: _short(value) for name, value in problem.get("ctx", {}).items()})


def _short(value: Any) -> Any:
    """A bound as it is written: 0 and not 0.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_echo(problem: ErrorDetails, places: Sequence[Sequence[int | str]]) -> bool:
    """Whether a list is called too short only because what is wrong with its entries is told already."""
    place = problem["loc"]
    return problem["type"] == "too_short" and any(
        len(other) > len(place) and other[: len(place)] == place for other in places
    )


def _sentence(problem: ErrorDetails, model: type[BaseModel], named: Callable[[str], str]) -> str:
    place = problem["loc"]
    key = named(_dotted(place)) if place else ""
    if problem["type"] == "extra_forbidden":
        return f"{key} is not a key here{_suggestion(str(place[-1]), _keys(_at(model, place[:-1])))}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    if problem["type"] == "value_error":
        own = problem["msg"].removeprefix("Value error, ")
        return f"{key}{' ' if own.startswith('must ') else ': '}{own}" if key else own
    must = f" must be {wanted(problem)}" if problem["type"] in _WANTED else f": {problem['msg']}"
    got = "a secret" if _is_secret(_at(model, place)) else f"{problem['input']!r:.80}"
    return f"{key}{must}; got {got}".lstrip()


def _dotted(place: Sequence[int | str]) -> str:
    return ".".join(map(str, place))


def _suggestion(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _at(annotation: Any, place: Sequence[int | str]) -> Any:
    """The type of what stands at ``place`` below ``annotation``; ``None`` where that cannot be told."""
    for part in place:
        annotation = _below(_plain(annotation), part)
    return _plain(annotation)


def _plain(annotation: Any) -> Any:
    """``X`` for ``X | None`` and for ``Annotated[X, …]``."""
    arguments = [each for each in get_args(annotation) if each is not type(None)]
    if hasattr(annotation, "__metadata__") or len(arguments) < len(get_args(annotation)):
        return _plain(arguments[0])
    return annotation


def _below(annotation: Any, part: int | str) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict and arguments:
        return arguments[1]
    if origin in _LISTS and arguments:
        return arguments[0]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        return fields[str(part)].annotation if str(part) in fields else None
    return None


def _keys(annotation: Any) -> list[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [field.alias or name for name, field in annotation.model_fields.items()]
    return []


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr

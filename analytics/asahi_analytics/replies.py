"""What the API of Prometheus answers: values out of its JSON, and errors that say what it said.

``Vector`` and ``Matrix`` keep the warnings of the backend beside the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple, TypeVar, final

import numpy as np
import numpy.typing as npt
import orjson

from asahi_analytics.errors import (
    PrometheusAnswerInvalid,
    PrometheusError,
    PrometheusRefused,
    PrometheusTimeout,
)
from asahi_analytics.transport import Reply
from asahi_analytics.unions import take_member

_MAX_WORDS: Final = 500
_VALUES: Final = b'"values":[['
_QUOTES_AND_BRACKETS: Final = b'"[]'
_BRACKETS: Final = b"[]"
PARTIAL: Final = "the answer is partial: storage of the backend did not answer"
"""What is said of an answer that a cluster of VictoriaMetrics calls so; it gives no warnings."""
_OUT_OF_TIME: Final = ("timeout exceeded", "deadline exceeded")
"""Words of VictoriaMetrics, which calls every error by its status."""
Floats = npt.NDArray[np.float64]


class Sample(NamedTuple):
    """One series at one moment."""

    labels: Mapping[str, str]
    value: float


@final
@dataclass(frozen=True)
class Vector:
    """The answer to an instant query; a scalar is one sample without labels."""

    samples: tuple[Sample, ...]
    warnings: tuple[str, ...] = ()


class Series(NamedTuple):
    """One series over time: ``times`` in seconds since 1970, ascending, and as many ``values``."""

    labels: Mapping[str, str]
    times: Floats
    values: Floats


@final
@dataclass(frozen=True)
class Matrix:
    """The answer to a range query."""

    series: tuple[Series, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """``data`` and ``warnings`` of a reply of the API."""

    data: Any
    warnings: tuple[str, ...]
    size_bytes: int


Parsed = TypeVar("Parsed", Vector, Matrix)


def read_answer(reply: Reply, url: str) -> Answer:
    """Return ``data`` and ``warnings`` of a reply.

    Raises ``PrometheusTimeout`` when the server cut the query off, ``PrometheusRefused`` with its words for any
    other error, and ``PrometheusAnswerInvalid`` when a success is not the API's JSON.
    """
    document = _json_object(reply.body)
    if reply.status // 100 == 2 and document is not None and document.get("status") == "success":
        notes = [*(document.get("warnings") or ()), *(document.get("infos") or ())]
        if document.get("isPartial"):
            notes.append(PARTIAL)
        return Answer(document.get("data"), tuple(str(note) for note in notes), len(reply.body))
    if document is not None and document.get("status") == "error":
        raise _server_error(reply.status, document)
    if reply.status // 100 == 2:
        raise PrometheusAnswerInvalid(
            f"{url} answered with something that is not the Prometheus API's JSON: {_text(reply.body)}"
        )
    raise _http_error(reply, url)


def _server_error(status: int, document: Mapping[str, Any]) -> PrometheusError:
    kind, words = document.get("errorType", ""), _ends(str(document.get("error", "")))
    if kind in {"timeout", "canceled"} or any(told in words for told in _OUT_OF_TIME):
        return PrometheusTimeout(f"Prometheus cut the query off: {words}")
    named = f"{status} {kind}" if kind != str(status) else kind
    return PrometheusRefused(f"Prometheus refused the query ({named}): {words}")


def _ends(words: str) -> str:
    """The beginning and the end of long ``words``: VictoriaMetrics repeats the query before it says what is wrong."""
    return words if len(words) <= _MAX_WORDS else f"{words[: _MAX_WORDS // 3]} ... {words[-_MAX_WORDS:]}"


_HINTS: Final[Mapping[int, str]] = {
    401: "; check the credentials",
    403: "; check the credentials and the tenant",
    404: "; check prometheus.url and its path prefix",
    405: "; set prometheus.method to GET if a proxy refuses POST",
    429: "; it asks for fewer queries",
}


def _http_error(reply: Reply, url: str) -> PrometheusError:
    if 300 <= reply.status < 400:
        lower = {name.lower(): value for name, value in reply.headers.items()}
        target = lower.get("location", "nowhere")[:200]
        return PrometheusRefused(f"{url} redirects to {target}; set prometheus.url to what answers")
    if reply.status == 504:
        return PrometheusTimeout(f"{url}: the gateway got no answer from Prometheus in time (504)")
    hint = _HINTS.get(reply.status, "")
    return PrometheusRefused(f"{url} answered {reply.status}{hint}: {_text(reply.body)}")


def _json_object(body: bytes) -> dict[str, Any] | None:
    for text in (_flattened(body), body):
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        return document if isinstance(document, dict) else None
    return None


def _flattened(body: bytes) -> bytes:
    """Return ``body`` with the points of each series as one list of numbers, times and values in turn.

    A pair of its own for each point, and values as text, take longer to read. What is no number in JSON, NaN and
    infinity, stays text. Within a label value the quotes are escaped, so that none looks like the beginning of values.
    """
    first, *others = body.split(_VALUES)
    if not others:
        return body
    pieces = [first]
    for other in others:
        points, _, rest = other.partition(b"]]")
        needless = _BRACKETS if b"N" in points or b"I" in points else _QUOTES_AND_BRACKETS
        pieces += [_VALUES[:-1], points.translate(None, needless), b"]", rest]
    return b"".join(pieces)


def vector(answer: Answer) -> Vector:
    """Return an instant vector or a scalar; raise ``PrometheusAnswerInvalid`` for anything else."""
    kind, result = _result(answer.data, ("vector", "scalar"))
    try:
        if kind == "scalar":
            return Vector((Sample({}, float(result[1])),), answer.warnings)
        samples = tuple(Sample(entry["metric"], float(entry["value"][1])) for entry in result)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PrometheusAnswerInvalid(f"a sample could not be read ({error!r})") from error
    return Vector(samples, answer.warnings)


def matrix(answer: Answer) -> Matrix:
    """Return a range vector; raise ``PrometheusAnswerInvalid`` for anything else."""
    _, result = _result(answer.data, ("matrix",))
    try:
        return Matrix(tuple(_series(result)), answer.warnings)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PrometheusAnswerInvalid(f"a series could not be read ({error!r})") from error


def samples(answer: Answer) -> Matrix:
    """Return the samples of a range selector; raise ``PrometheusAnswerInvalid`` for anything else.

    Prometheus keeps the markers to itself that say where a series ended; VictoriaMetrics hands them out as NaN.
    """
    told = matrix(answer)
    known = ((series, ~np.isnan(series.values)) for series in told.series)
    kept = (Series(one.labels, one.times[real], one.values[real]) for one, real in known if real.any())
    return Matrix(tuple(kept), told.warnings)


def _series(result: Sequence[Mapping[str, Any]]) -> Iterable[Series]:
    """The series of an answer; their points are read at once, thousands of short series cost too much one by one."""
    rows: list[list[float | str]] = [_flat(entry["values"]) for entry in result]
    points = np.fromiter(chain.from_iterable(rows), dtype=np.float64)
    times, values = points.reshape(-1, 2).T.copy()
    first = 0
    for entry, row in zip(result, rows, strict=True):
        last = first + len(row) // 2
        yield Series(entry["metric"], times[first:last], values[first:last])
        first = last


def _flat(points: list[Any]) -> list[float | str]:
    """The points of a series as ``_flattened`` leaves them, which it does not where the JSON is spaced."""
    return list(chain.from_iterable(points)) if points and isinstance(points[0], list) else points


def _result(data: Any, kinds: tuple[str, ...]) -> tuple[str, Any]:
    kind = data.get("resultType") if isinstance(data, dict) else None
    if kind not in kinds or not isinstance(data.get("result"), list):
        got = kind if kind and kind not in kinds else shown(data)
        raise PrometheusAnswerInvalid(f"expected a {' or '.join(kinds)}, got {got}")
    return kind, data["result"]


def separated(whole: Answer, count: int) -> list[Answer]:
    """Return the answer to each of the ``count`` expressions that were asked as one; what is no vector stays whole."""
    data = whole.data if isinstance(whole.data, dict) else {}
    result = data.get("result")
    if data.get("resultType") != "vector" or not isinstance(result, list):
        return [whole] * count
    parts: list[list[Any]] = [[] for _ in range(count)]
    for entry in result:
        parts[take_member(entry["metric"])].append(entry)
    return [Answer({**whole.data, "result": part}, whole.warnings, 0) for part in parts]


def weight_of(answer: Vector) -> int:
    """Return about the bytes of an answer, as the server would have written it."""
    return 100 * (1 + len(answer.samples))


def label_of(labels: Mapping[str, str], name: str) -> str:
    """Return the label ``name``, without which an answer cannot be read; raise ``PrometheusAnswerInvalid``."""
    if name not in labels:
        raise PrometheusAnswerInvalid(
            f"a series was to be told by its label {name}, and has the labels {shown(labels)}"
        )
    return labels[name]


def _text(body: bytes) -> str:
    return " ".join(body[:300].decode(errors="replace").split())[:200] or "an empty body"


def shown(data: Any) -> str:
    """Return the beginning of ``data``, for a message."""
    return repr(data)[:80]

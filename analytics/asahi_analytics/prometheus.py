"""The only module that talks to Prometheus: questions in PromQL go in, labels and numbers come out.

Queries go as form bodies by POST, so that their length does not matter. Warnings of the server (a partial
answer of Thanos, say) are kept and travel with the values. Equal questions in flight are asked once, and
answers about the past are remembered for a while.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import quote as quote_path

import numpy as np
import numpy.typing as npt
import orjson

from asahi_analytics.cache import CacheInfo, SingleFlight, TtlCache
from asahi_analytics.errors import (
    PrometheusAnswerInvalid,
    PrometheusError,
    PrometheusRefused,
    PrometheusTimeout,
    UserInputError,
)
from asahi_analytics.settings import CacheSettings, PrometheusSettings
from asahi_analytics.transport import Fields, HttpTransport, Reply, Transport

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

Floats = npt.NDArray[np.float64]
Observe = Callable[[str, float, str], None]
"""Told of every question: API path, seconds, outcome (``ok``, ``cached`` or the error's class name)."""
MAX_POINTS: Final = 11_000
"""Points per series that a range query may have (a limit of Prometheus)."""
_SETTLED_SECONDS: Final = 120.0
"""A moment this old no longer changes: scrapes and rules that belong to it are done."""


@dataclass(frozen=True)
class Sample:
    """One series at one moment."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Vector:
    """The answer to an instant query; a scalar is one sample without labels."""

    samples: tuple[Sample, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """One series over time: ``times`` in seconds since 1970, ascending, and as many ``values``."""

    labels: Mapping[str, str]
    times: Floats
    values: Floats


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


class PrometheusClient:
    """Asks one Prometheus; thread-safe, and safe to make before a fork.

    ``prometheus`` is its address or its settings; ``cache`` bounds what is remembered; ``transport`` replaces
    the wire (tests); ``observe`` hears of each question. Every method raises a ``PrometheusError`` when there
    is no usable answer. Values may be NaN or infinite where Prometheus says so.
    """

    def __init__(
        self,
        prometheus: str | PrometheusSettings | None = None,
        *,
        cache: CacheSettings | None = None,
        transport: Transport | None = None,
        observe: Observe | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Connect to nothing yet."""
        self.settings = _as_settings(prometheus)
        self._cache_settings = cache or CacheSettings()
        self._transport = transport or HttpTransport(self.settings)
        self._observe = observe
        self._clock = clock
        self._kept: TtlCache[tuple[object, ...], Vector | Matrix] = TtlCache(self._cache_settings.max_bytes)
        self._flights: SingleFlight[tuple[object, ...], Vector | Matrix] = SingleFlight()
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        self._lock = threading.Lock()

    def query(self, promql: str, at: datetime) -> Vector:
        """Return the value of ``promql`` at ``at``."""
        return self._ask("/api/v1/query", promql, [("time", _seconds(at))], at, _vector)

    def query_range(self, promql: str, start: datetime, end: datetime, step: timedelta) -> Matrix:
        """Return ``promql`` at ``start``, ``start + step`` … up to ``end``, both included.

        Raises ``UserInputError`` when that would be more than ``MAX_POINTS``.
        """
        points = (end - start) / step + 1
        if not 1 <= points <= MAX_POINTS:
            raise UserInputError(f"a range query may have 1 to {MAX_POINTS} points, not {points:.0f}")
        times = [("start", _seconds(start)), ("end", _seconds(end)), ("step", f"{step.total_seconds():.3f}")]
        return self._ask("/api/v1/query_range", promql, times, end, _matrix)

    def query_raw(self, selector: str, at: datetime) -> Matrix:
        """Return the raw samples of a range selector such as ``asahi_requests_total[1h]`` up to ``at``."""
        return self._ask("/api/v1/query", selector, [("time", _seconds(at))], at, _matrix)

    def query_all(self, promql: Sequence[str], at: datetime) -> list[Vector]:
        """Return the value of each expression at ``at``, asked concurrently, in the order given."""
        if len(promql) < 2:
            return [self.query(expression, at) for expression in promql]
        return list(self.pool.map(lambda expression: self.query(expression, at), promql))

    @property
    def pool(self) -> ThreadPoolExecutor:
        """Threads of this process for questions that go out together; none may wait for another one."""
        with self._lock:
            if self._pool is None or self._pool[0] != os.getpid():
                pool = ThreadPoolExecutor(self.settings.pool_size, thread_name_prefix="prometheus")
                self._pool = (os.getpid(), pool)
            return self._pool[1]

    def label_values(self, label: str, match: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the values that ``label`` has on the series that ``match`` selects (without it: on any)."""
        path = f"/api/v1/label/{quote_path(label, safe='')}/values"
        return tuple(self._list(self._call("GET", path, [("match[]", selector) for selector in match]).data))

    def series(self, match: Sequence[str], start: datetime, end: datetime) -> tuple[dict[str, str], ...]:
        """Return the label sets that ``match`` selects that have samples from ``start`` to ``end``."""
        fields = [
            *(("match[]", selector) for selector in match),
            ("start", _seconds(start)),
            ("end", _seconds(end)),
        ]
        return tuple(self._list(self._call(self.settings.method, "/api/v1/series", fields).data))

    def status(self, page: str) -> dict[str, Any]:
        """Return the object that ``GET /api/v1/<page>`` answers; pages: ``status/buildinfo``, ``rules`` …"""
        data = self._call("GET", f"/api/v1/{page}", []).data
        if not isinstance(data, dict):
            raise PrometheusAnswerInvalid(
                f"/api/v1/{page} answered {_shown(data)} where an object was expected"
            )
        return data

    def format(self, promql: str) -> str:
        """Return ``promql`` as Prometheus writes it; raises ``PrometheusRefused`` when it does not parse."""
        data = self._call(self.settings.method, "/api/v1/format_query", [("query", promql)]).data
        return str(data)

    def cache_info(self) -> CacheInfo:
        """Return what the cache of answers did so far."""
        return self._kept.info()

    def clear_cache(self) -> None:
        """Forget every answer."""
        self._kept.clear()

    def explorer(self) -> PrometheusConnect:
        """Return prometheus-api-client's own object for the same server, for its pandas helpers in a notebook.

        It drops warnings and rounds times to seconds, so no figure of the service goes through it.
        """
        from prometheus_api_client import PrometheusConnect  # noqa: PLC0415  (only notebooks need it)

        from asahi_analytics.transport import make_session  # noqa: PLC0415

        session = make_session(self.settings)
        adapter = session.get_adapter(self.settings.url)
        connect = PrometheusConnect(
            url=self.settings.url,
            session=session,
            auth=session.auth,
            timeout=self.settings.read_timeout_seconds,
        )
        session.mount(self.settings.url, adapter)
        return connect

    def _ask(
        self, path: str, promql: str, times: Fields, until: datetime, parse: Callable[[Answer], Parsed]
    ) -> Parsed:
        """The parsed answer to a query about the time up to ``until``: kept, in flight, or asked now."""
        fields: Fields = [
            ("query", promql),
            *times,
            ("timeout", f"{self.settings.deadline_seconds:g}s"),
            *self.settings.params.items(),
        ]
        key = (parse, path, *fields)
        kept = self._kept.get(key)
        if kept is not None:
            self._tell(path, 0.0, "cached")
            return cast(Parsed, kept)

        def fetch() -> Vector | Matrix:
            answer = self._call(self.settings.method, path, fields)
            parsed = parse(answer)
            self._kept.put(key, parsed, self._ttl_seconds(until), weight=answer.size_bytes)
            return parsed

        return cast(Parsed, self._flights.do(key, fetch))

    def _ttl_seconds(self, until: datetime) -> float:
        """How long an answer about the time up to ``until`` is kept."""
        settled = until.timestamp() < self._clock() - _SETTLED_SECONDS
        return self._cache_settings.closed_ttl_seconds if settled else self._cache_settings.recent_ttl_seconds

    def _call(self, method: str, path: str, fields: Fields) -> Answer:
        started = time.perf_counter()
        outcome = "ok"
        try:
            return read_answer(self._transport.send(method, path, fields), self.settings.url)
        except PrometheusError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._tell(path, time.perf_counter() - started, outcome)

    def _tell(self, path: str, seconds: float, outcome: str) -> None:
        if self._observe is not None:
            self._observe(path, seconds, outcome)

    @staticmethod
    def _list(data: Any) -> list[Any]:
        if not isinstance(data, list):
            raise PrometheusAnswerInvalid(f"expected a list, got {_shown(data)}")
        return data


def read_answer(reply: Reply, url: str) -> Answer:
    """Return ``data`` and ``warnings`` of a reply.

    Raises ``PrometheusTimeout`` when the server cut the query off, ``PrometheusRefused`` with its words for any
    other error, and ``PrometheusAnswerInvalid`` when a success is not the API's JSON.
    """
    document = _json_object(reply.body)
    if reply.status // 100 == 2 and document is not None and document.get("status") == "success":
        notes = [*(document.get("warnings") or ()), *(document.get("infos") or ())]
        return Answer(document.get("data"), tuple(str(note) for note in notes), len(reply.body))
    if document is not None and document.get("status") == "error":
        raise _server_error(reply.status, document)
    if reply.status // 100 == 2:
        raise PrometheusAnswerInvalid(
            f"{url} answered with something that is not the Prometheus API's JSON: {_text(reply.body)}"
        )
    raise _http_error(reply, url)


def _server_error(status: int, document: Mapping[str, Any]) -> PrometheusError:
    kind, words = document.get("errorType", ""), str(document.get("error", ""))[:500]
    if kind in {"timeout", "canceled"}:
        return PrometheusTimeout(f"Prometheus cut the query off: {words}")
    return PrometheusRefused(f"Prometheus refused the query ({status} {kind}): {words}")


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
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _vector(answer: Answer) -> Vector:
    kind, result = _result(answer.data, ("vector", "scalar"))
    try:
        if kind == "scalar":
            return Vector((Sample({}, float(result[1])),), answer.warnings)
        samples = tuple(Sample(entry["metric"], float(entry["value"][1])) for entry in result)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PrometheusAnswerInvalid(f"a sample could not be read ({error!r})") from error
    return Vector(samples, answer.warnings)


def _matrix(answer: Answer) -> Matrix:
    _, result = _result(answer.data, ("matrix",))
    try:
        return Matrix(tuple(_series(entry) for entry in result), answer.warnings)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PrometheusAnswerInvalid(f"a series could not be read ({error!r})") from error


def _series(entry: Mapping[str, Any]) -> Series:
    points: Sequence[tuple[float, str]] = entry["values"]
    times = np.fromiter((point[0] for point in points), np.float64, len(points))
    return Series(entry["metric"], times, np.fromiter(_floats(points), np.float64, len(points)))


def _floats(points: Iterable[tuple[float, str]]) -> Iterable[float]:
    return (float(point[1]) for point in points)


def _result(data: Any, kinds: tuple[str, ...]) -> tuple[str, Any]:
    kind = data.get("resultType") if isinstance(data, dict) else None
    if kind not in kinds or not isinstance(data.get("result"), list):
        raise PrometheusAnswerInvalid(f"expected a {' or '.join(kinds)}, got {kind or _shown(data)}")
    return kind, data["result"]


def _seconds(moment: datetime) -> str:
    """Seconds since 1970 to the millisecond, which is as fine as Prometheus keeps time."""
    if moment.tzinfo is None:
        raise UserInputError(f"a query needs an aware time, got {moment}")
    return f"{moment.timestamp():.3f}"


def _as_settings(prometheus: str | PrometheusSettings | None) -> PrometheusSettings:
    if isinstance(prometheus, PrometheusSettings):
        return prometheus
    return PrometheusSettings() if prometheus is None else PrometheusSettings(url=prometheus)


def _text(body: bytes) -> str:
    return " ".join(body[:300].decode(errors="replace").split())[:200] or "an empty body"


def _shown(data: Any) -> str:
    return repr(data)[:80]

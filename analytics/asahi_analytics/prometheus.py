"""The only module that talks to Prometheus: questions in PromQL go in, labels and numbers come out.

Queries go as form bodies by POST, so that their length does not matter. Warnings of the server (a partial
answer of Thanos, say) are kept and travel with the values. Equal questions in flight are asked once, and
answers about the past are remembered for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from asahi_analytics import deadline
from asahi_analytics.cache import SingleFlight, TtlCache
from asahi_analytics.errors import (
    PrometheusAnswerInvalid,
    PrometheusError,
    PrometheusTimeout,
    UserInputError,
)
from asahi_analytics.replies import (
    Answer,
    Matrix,
    Parsed,
    Vector,
    matrix,
    read_answer,
    samples,
    separated,
    shown,
    vector,
    weight_of,
)
from asahi_analytics.settings import CacheSettings, PrometheusSettings
from asahi_analytics.threads import Threads
from asahi_analytics.transport import Fields, HttpTransport, Transport
from asahi_analytics.unions import MAX_BYTES, portions, unite

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

Observe = Callable[[str, float, str], None]
"""Told of every question: API path, seconds, outcome (``ok``, ``cached`` or the error's class name)."""
MAX_POINTS: Final = 11_000
"""Points per series that a range query may have (a limit of Prometheus)."""
AS_ASKED: Final = (("nocache", "1"),)
"""VictoriaMetrics moves the points of a long range query to multiples of its step, and a moment of the last half minute
back, unless it is told so; others take no notice."""
_SETTLED_SECONDS: Final = 120.0
"""A moment this old no longer changes: scrapes and rules that belong to it are done."""


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
        self._unions: SingleFlight[tuple[object, ...], list[Vector]] = SingleFlight()
        self._threads = Threads(self.settings.pool_size, "prometheus")

    def query(self, promql: str, at: datetime) -> Vector:
        """Return the value of ``promql`` at ``at``."""
        return self._ask("/api/v1/query", promql, [("time", _seconds(at))], at, vector)

    def query_range(self, promql: str, start: datetime, end: datetime, step: timedelta) -> Matrix:
        """Return ``promql`` at ``start``, ``start + step`` … up to ``end``, both included.

        Raises ``UserInputError`` when that would be more than ``MAX_POINTS``, ``PrometheusAnswerInvalid`` when the
        answer is of other moments.
        """
        points = (end - start) / step + 1
        if not 1 <= points <= MAX_POINTS:
            raise UserInputError(f"a range query may have 1 to {MAX_POINTS} points, not {points:.0f}")
        times = [("start", _seconds(start)), ("end", _seconds(end)), ("step", f"{step.total_seconds():.3f}")]
        found = self._ask("/api/v1/query_range", promql, times, end, matrix)
        _refuse_moved(found, start, step)
        return found

    def query_raw(self, selector: str, at: datetime) -> Matrix:
        """Return the raw samples of a range selector such as ``asahi_requests_total[1h]`` up to ``at``."""
        return self._ask("/api/v1/query", selector, [("time", _seconds(at))], at, samples)

    def query_all(self, promql: Sequence[str], at: datetime) -> list[Vector]:
        """Return the value of each expression, all of them vectors, at ``at``, in the order given.

        What is not remembered is asked in as few requests as the length of a query allows.
        """
        return self._ask_all(promql, at)

    def status(self, page: str) -> dict[str, Any]:
        """Return the object that ``GET /api/v1/<page>`` answers; pages: ``status/buildinfo``, ``rules`` …"""
        data = self._call("GET", f"/api/v1/{page}", []).data
        if not isinstance(data, dict):
            raise PrometheusAnswerInvalid(
                f"/api/v1/{page} answered {shown(data)} where an object was expected"
            )
        return data

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
        self,
        path: str,
        promql: str,
        times: Fields,
        until: datetime,
        parse: Callable[[Answer], Parsed],
    ) -> Parsed:
        """The parsed answer to a query about the time up to ``until``: kept, in flight, or asked now."""
        fields: Fields = self._fields(promql, times)
        key = (parse, path, *fields)
        kept = self._remembered(path, key)
        if kept is not None:
            return cast(Parsed, kept)

        def fetch() -> Vector | Matrix:
            answer = self._evaluate(path, fields)
            parsed = parse(answer)
            self._kept.put(key, parsed, self._ttl_seconds(until), weight=answer.size_bytes)
            return parsed

        return cast(Parsed, self._flights.do(key, fetch))

    def _ask_all(self, promql: Sequence[str], at: datetime) -> list[Vector]:
        """The value of each expression: kept, or asked together with others."""
        path, times = "/api/v1/query", [("time", _seconds(at))]
        keys = {each: (vector, path, *self._fields(each, times)) for each in promql}
        found = {each: self._remembered(path, key) for each, key in keys.items()}

        def ask(portion: list[str]) -> dict[str, Vector]:
            if len(portion) == 1:
                return {portion[0]: self.query(portion[0], at)}
            fields = self._fields(unite(portion), times)

            def fetch() -> list[Vector]:
                answer = self._evaluate(path, fields)
                return [vector(part) for part in separated(answer, len(portion))]

            parts = dict(zip(portion, self._unions.do((path, *fields), fetch), strict=True))
            for member, part in parts.items():
                self._kept.put(keys[member], part, self._ttl_seconds(at), weight=weight_of(part))
            return parts

        missing = [each for each, kept in found.items() if kept is None]
        todo = list(portions(missing, 0 if self.settings.method == "GET" else MAX_BYTES))
        for answers in map(ask, todo) if len(todo) < 2 else self._threads.map(ask, todo):
            found.update(answers)
        return [cast(Vector, found[each]) for each in promql]

    def _fields(self, promql: str, times: Fields) -> Fields:
        return [("query", promql), *times, *self.settings.params.items()]

    def _evaluate(self, path: str, fields: Fields) -> Answer:
        """The answer to a query that the server gives up, too, when nobody waits for it any more."""
        seconds = deadline.bounded(self.settings.deadline_seconds)
        timeout = ("timeout", f"{max(seconds, 0.001):.3f}")
        return self._call(self.settings.method, path, [*fields, *AS_ASKED, timeout])

    def _remembered(self, path: str, key: tuple[object, ...]) -> Vector | Matrix | None:
        kept = self._kept.get(key)
        if kept is not None:
            self._tell(path, 0.0, "cached")
        return kept

    def _ttl_seconds(self, until: datetime) -> float:
        """How long an answer about the time up to ``until`` is kept."""
        settled = until.timestamp() < self._clock() - _SETTLED_SECONDS
        return self._cache_settings.closed_ttl_seconds if settled else self._cache_settings.recent_ttl_seconds

    def _call(self, method: str, path: str, fields: Fields) -> Answer:
        deadline.check()
        deadline.asking()
        started = time.perf_counter()
        try:
            answer = read_answer(self._transport.send(method, path, fields), self.settings.url)
        except PrometheusError as error:
            self._tell(path, time.perf_counter() - started, type(error).__name__)
            if isinstance(error, PrometheusTimeout):
                deadline.check(error)
            raise
        seconds = time.perf_counter() - started
        deadline.answered(seconds)
        self._tell(path, seconds, "ok")
        return answer

    def _tell(self, path: str, seconds: float, outcome: str) -> None:
        if self._observe is not None:
            self._observe(path, seconds, outcome)


def answers_at_once(settings: PrometheusSettings) -> None:
    """Raise a ``PrometheusError`` unless Prometheus answers now: nothing is tried again, and nobody waits long."""
    hasty = {"retries": 0, "connect_timeout_seconds": 1.0, "read_timeout_seconds": 2.0}
    PrometheusClient(settings.model_copy(update=hasty)).query("vector(1)", datetime.now(UTC))


def _refuse_moved(found: Matrix, start: datetime, step: timedelta) -> None:
    """Refuse points of other moments than those asked for; where one is moved, all are."""
    if not found.series:
        return
    first, origin, apart = (
        round(1000 * seconds)
        for seconds in (found.series[0].times[0], float(_seconds(start)), step.total_seconds())
    )
    if (first - origin) % apart:
        raise PrometheusAnswerInvalid(
            f"points {apart / 1000:g} s apart were asked for from {_seconds(start)}, and one of {first / 1000:.3f} "
            "came: something moves them to multiples of the step; docs/configuration.md#backends says how to stop it"
        )


def _seconds(moment: datetime) -> str:
    """Seconds since 1970 to the millisecond, which is as fine as Prometheus keeps time."""
    if moment.tzinfo is None:
        raise UserInputError(f"a query needs an aware time, got {moment}")
    return f"{moment.timestamp():.3f}"


def _as_settings(prometheus: str | PrometheusSettings | None) -> PrometheusSettings:
    if isinstance(prometheus, PrometheusSettings):
        return prometheus
    return PrometheusSettings() if prometheus is None else PrometheusSettings(url=prometheus)

"""Sums that are worked out side by side, so that what they ask at the same moment goes out as one query.

A sum is a generator: it yields the requests that it needs next, all at once, and gets their answers in the same
order. ``together`` advances several of them in step; ``run`` asks Prometheus, a round at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar, cast

import numpy as np

from asahi_analytics.composer.ledger import amounts_of
from asahi_analytics.composer.listener import Client
from asahi_analytics.promql import NAME, by_clause, of_names
from asahi_analytics.replies import Matrix, Sample, Series, Vector
from asahi_analytics.threads import Threads
from asahi_exporter.conventions import USER

Result = TypeVar("Result")
SLACK: Final = 0.0005
"""Times in answers are whole milliseconds, so half of one tells neighbours apart."""


class At(NamedTuple):
    """The value of ``promql``, a vector, at a moment.

    ``wide``: a vector of so many series that telling them apart in one query costs more than a query of its own.
    """

    promql: str
    moment: datetime
    wide: bool = False


class Named(NamedTuple):
    """``template`` of the metric ``name`` at a moment, as ``promql.of_names`` takes it: asked of several as one."""

    template: str
    name: str
    moment: datetime


class Summed(NamedTuple):
    """The sum by ``by`` of what is ``read`` at a moment.

    ``wide`` as of ``At``. Of sums of the same only the finest is asked for.
    """

    read: str
    by: tuple[str, ...]
    moment: datetime
    wide: bool = False

    @property
    def promql(self) -> str:
        """The sum in PromQL."""
        return f"sum {by_clause(self.by)} ({self.read})"

    def holds(self, other: Summed) -> bool:
        """Tell whether ``other`` is a sum of this one."""
        return (self.read, self.moment) == (other.read, other.moment) and set(other.by) <= set(self.by)

    def cut(self, finer: Vector) -> Vector:
        """Return this sum of ``finer``, the answer to one that holds it."""
        amounts = amounts_of(finer.samples, self.by)
        samples = (Sample(dict(zip(self.by, key, strict=True)), amount) for key, amount in amounts.items())
        return Vector(tuple(samples), finer.warnings)


class Over(NamedTuple):
    """``promql`` from ``start`` to ``end``, both included, in steps."""

    promql: str
    start: datetime
    end: datetime
    step: timedelta

    def holds(self, other: Over) -> bool:
        """Tell whether the points of ``other`` are among those of this range."""
        return (
            (self.promql, self.step) == (other.promql, other.step)
            and self.start <= other.start
            and other.end <= self.end
            and not (other.start - self.start) % self.step
        )

    def cut(self, longer: Matrix) -> Matrix:
        """Return what ``longer``, the answer to a range that holds this one, says of it."""
        start, end = (at.timestamp() + slack for at, slack in ((self.start, -SLACK), (self.end, SLACK)))
        spans = [np.searchsorted(series.times, (start, end)) for series in longer.series]
        return Matrix(
            tuple(
                Series(series.labels, series.times[first:last], series.values[first:last])
                for series, (first, last) in zip(longer.series, spans, strict=True)
                if last > first
            ),
            longer.warnings,
        )


class Work(NamedTuple):
    """Whatever else needs the client; asked in a thread of its own."""

    do: Callable[[Client], Any]


class Answered:
    """A client that knows the answers to some requests, and asks ``client`` for all others."""

    def __init__(self, client: Client, known: Mapping[Request, Any]) -> None:
        """Ask nothing yet; ``known``: answers to values at a moment and to ranges."""
        self._client = client
        self._known = known

    def query(self, promql: str, at: datetime) -> Vector:
        """Return the value of ``promql`` at ``at``."""
        return self.query_all([promql], at)[0]

    def query_range(self, promql: str, start: datetime, end: datetime, step: timedelta) -> Matrix:
        """Return ``promql`` at ``start``, ``start + step`` … up to ``end``."""
        known = self._known.get(Over(promql, start, end, step))
        return cast(Matrix, known) if known else self._client.query_range(promql, start, end, step)

    def query_raw(self, selector: str, at: datetime) -> Matrix:
        """Return the raw samples of a range selector, of which none is known."""
        return self._client.query_raw(selector, at)

    def query_all(self, promql: Sequence[str], at: datetime) -> list[Vector]:
        """Return the value of each expression at ``at``."""
        known = [self._known.get(At(each, at)) for each in promql]
        return cast(list[Vector], known) if all(known) else self._client.query_all(promql, at)


Value = At | Named | Summed
Part = Over | Summed
"""What may be cut from the answer to a larger one."""
Request = At | Named | Summed | Over | Work
MANY_VALUES: Final = frozenset({USER, "le"})
"""Labels that have hundreds of values; sums by them are wide."""
FEW_VALUES: Final = 10
"""Of so many values that a sum is limited to it is not wide."""
Asking = Generator[tuple[Request, ...], tuple[Any, ...], Result]
"""Yields requests, is sent their answers, returns a result."""


def is_wide(by: Iterable[str], where: Mapping[str, Sequence[str]] | None = None) -> bool:
    """Tell whether sums by these labels, of the values in ``where``, are wide, see ``At``."""
    allowed = where or {}
    return any(not 0 < len(allowed.get(label, ())) <= FEW_VALUES for label in MANY_VALUES.intersection(by))


def value(promql: str, moment: datetime, by: Sequence[str] = ()) -> Asking[Vector]:
    """Ask for ``promql``, which has a series for each value of the labels ``by``, at ``moment``."""
    (answer,) = yield (At(promql, moment, is_wide(by)),)
    return cast(Vector, answer)


def values(promql: str, start: datetime, end: datetime, step: timedelta) -> Asking[Matrix]:
    """Ask for ``promql`` from ``start`` to ``end``."""
    (answer,) = yield (Over(promql, start, end, step),)
    return cast(Matrix, answer)


def summed(read: str, by: Sequence[str], moment: datetime, wide: bool) -> Asking[Vector]:
    """Ask for the sum by ``by`` of what is ``read`` at ``moment``."""
    (answer,) = yield (Summed(read, tuple(by), moment, wide),)
    return cast(Vector, answer)


def of_name(template: str, name: str, moment: datetime) -> Asking[Vector]:
    """Ask for ``template`` of the metric ``name`` at ``moment``, together with others that ask it of theirs."""
    (answer,) = yield (Named(template, name, moment),)
    return cast(Vector, answer)


def work(do: Callable[[Client], Result]) -> Asking[Result]:
    """Do something with the client beside the other requests of the round."""
    (answer,) = yield (Work(do),)
    return cast(Result, answer)


def together(askings: Sequence[Asking[Result]]) -> Asking[list[Result]]:
    """Advance ``askings`` in step and return their results in order.

    One that asks only what was answered here before goes on at once: it does not fall a round behind.
    """
    if len(askings) == 1:
        return [(yield from askings[0])]
    results: dict[int, Result] = {}
    waiting: dict[int, tuple[Request, ...]] = {}
    known: dict[Request, Any] = {}

    def advance(number: int, answers: tuple[Any, ...] | None) -> None:
        try:
            while True:
                requests = askings[number].send(answers)  # type: ignore[arg-type]  # None starts a generator
                if not known or not all(request in known for request in requests):
                    break
                answers = tuple([known[request] for request in requests])
        except StopIteration as done:
            waiting.pop(number, None)
            results[number] = done.value
        else:
            waiting[number] = requests

    for number in range(len(askings)):
        advance(number, None)
    while waiting:
        turn = list(waiting.items())
        asked = tuple([request for _, requests in turn for request in requests])
        answers = yield asked
        known.update(zip(asked, answers, strict=True))
        first = 0
        for number, requests in turn:
            last = first + len(requests)
            advance(number, answers[first:last])
            first = last
    return [results[number] for number in range(len(askings))]


def run(asking: Asking[Result], client: Client, threads: Threads | None = None) -> Result:
    """Ask ``client`` round by round; no request twice. With ``threads`` those of one round are under way together.

    A range that lies on the grid of a longer one of the same expression is cut from its answer, a sum by fewer labels
    from that by more.
    """
    known: dict[Request, Any] = {}
    answers: tuple[Any, ...] | None = None
    while True:
        try:
            requests = asking.send(answers)  # type: ignore[arg-type]  # None starts a generator
        except StopIteration as done:
            return cast(Result, done.value)
        new = [request for request in dict.fromkeys(requests) if request not in known]
        parts = _parts(new, known)
        jobs = _jobs([request for request in new if request not in parts])
        asked = (
            map(_ask(client), jobs) if threads is None or len(jobs) < 2 else threads.map(_ask(client), jobs)
        )
        for found in asked:
            known.update(found)
        known.update({part: part.cut(known[longer]) for part, longer in parts.items()})
        answers = tuple(known[request] for request in requests)


def _parts(new: Iterable[Request], known: Iterable[Request]) -> dict[Part, Part]:
    """Return the ranges and sums of ``new`` that lie within others, each with the largest that holds it."""
    asked = [request for request in new if isinstance(request, Over | Summed)]
    before = (request for request in known if isinstance(request, Over | Summed))
    largest = sorted({*asked, *before}, key=_size, reverse=True) if asked else []
    parts: dict[Part, Part] = {}
    for request in asked:
        of_kind = (other for other in largest if type(other) is type(request))
        larger = next((other for other in of_kind if other.holds(request)), request)  # type: ignore[arg-type]
        if larger != request:
            parts[request] = larger
    return parts


def _size(request: Part) -> float:
    return len(request.by) if isinstance(request, Summed) else (request.end - request.start).total_seconds()


Job = Callable[[Client], dict[Request, Any]]


def _ask(client: Client) -> Callable[[Job], dict[Request, Any]]:
    return lambda job: job(client)


def _jobs(requests: Sequence[Request]) -> list[Job]:
    """What is to be asked: values of the same moment together, wide ones and ranges each by itself."""
    moments: dict[datetime, list[Value]] = {}
    jobs: list[Job] = []
    for request in requests:
        if isinstance(request, Over | Work):
            jobs.append(_asking_over(request) if isinstance(request, Over) else _doing(request))
        elif isinstance(request, At | Summed) and request.wide:
            jobs.append(_asking_at(request.moment, [request]))
        else:
            moments.setdefault(request.moment, []).append(request)
    return [*jobs, *(_asking_at(moment, asked) for moment, asked in moments.items())]


def _doing(request: Work) -> Job:
    return lambda client: {request: request.do(client)}


def _asking_at(moment: datetime, asked: Sequence[Value]) -> Job:
    texts = _texts(asked)

    def job(client: Client) -> dict[Request, Any]:
        found: dict[Request, Any] = {}
        for requests, answer in zip(texts.values(), client.query_all(list(texts), moment), strict=True):
            found.update(_told(requests, answer))
        return found

    return job


def _texts(asked: Sequence[Value]) -> dict[str, list[Value]]:
    """What to ask in PromQL, with the requests that it answers.

    Sums by more labels come last: a union is put together from its beginning, again and again.
    """
    texts: dict[str, list[Value]] = {}
    alike: dict[str, list[Named]] = {}
    for request in sorted(asked, key=lambda each: len(each.by) if isinstance(each, Summed) else 0):
        if isinstance(request, Named):
            alike.setdefault(request.template, []).append(request)
        else:
            texts.setdefault(request.promql, []).append(request)
    found: dict[str, list[Value]] = {}
    for template, named in alike.items():
        found[of_names(template, [each.name for each in named])] = [*named]
    return {**found, **texts}


def _told(requests: Sequence[Value], answer: Vector) -> dict[Request, Vector]:
    """The answer to each of ``requests``, which were asked as one."""
    found: dict[str, list[Sample]] = {}
    if not all(isinstance(request, Named) for request in requests):
        return dict.fromkeys(requests, answer)
    for sample in answer.samples:
        labels = dict(sample.labels)
        found.setdefault(labels.pop(NAME, ""), []).append(Sample(labels, sample.value))
    return {
        request: Vector(tuple(found.get(request.name, ())), answer.warnings)
        for request in requests
        if isinstance(request, Named)
    }


def _asking_over(request: Over) -> Job:
    return lambda client: {
        request: client.query_range(request.promql, request.start, request.end, request.step)
    }

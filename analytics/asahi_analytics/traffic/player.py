"""Playing a trace through the real exporter: each request priced, each moment in its order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.prices import PriceBook
from asahi_analytics.traffic.traces import Trace, TraceLabels
from asahi_exporter import InferenceEvent, MetricsCollector
from asahi_exporter.aggregate import InferenceAggregate, record_aggregate
from asahi_exporter.conventions import UNKNOWN

ERROR_TYPE: Final = "no_response"
"""``error_type`` of a request that the trace says has failed."""
COMPONENT: Final = "model"
_PER: Final = 1e6

Counts = npt.NDArray[np.int64]


class DollarsPerToken:
    """Looks prices up once for each model and hour."""

    def __init__(self, book: PriceBook) -> None:
        self._book = book
        self._known: dict[tuple[str, datetime], tuple[float, float] | None] = {}

    def __call__(self, model: str, at: datetime) -> tuple[float, float] | None:
        """Return dollars per million input and output tokens, or None: unpriced."""
        hour = at.replace(minute=0, second=0, microsecond=0)
        if (model, hour) not in self._known:
            rate = self._book.rate(model, at)
            self._known[model, hour] = None if rate is None else (float(rate.input), float(rate.output))
        return self._known[model, hour]


class Player:
    """Plays ``trace``, whose start is set to ``start``, into ``collector``, as far as :meth:`play_until` says.

    Requests of a row that stands for a stretch of time are spread evenly over it, in whole requests. ``model`` is taken
    where the trace names none. A failed request counts as a request with outcome ``error``, priced like any other, and
    as an error besides.
    """

    def __init__(
        self,
        trace: Trace,
        collector: MetricsCollector,
        book: PriceBook,
        start: datetime,
        *,
        model: str = UNKNOWN,
    ) -> None:
        self._trace = trace
        self._collector = collector
        self._prices = DollarsPerToken(book)
        self._start = start
        self._model = model
        self._played_s = -1.0
        self.requests = 0
        """Requests played so far."""
        self.unpriced = 0
        """Those of them that had no price."""

    def play_until(self, moment: datetime) -> None:
        """Record everything from where the last call stopped up to ``moment``, this moment included."""
        to_s = (moment - self._start).total_seconds()
        rows, counts = self._rows(to_s)
        for row, requests in zip(rows.tolist(), counts.tolist(), strict=True):
            if self._trace.format.span_s:
                self._record_bin(row, requests, moment)
            else:
                self._record_request(row)
            self.requests += requests
        self._played_s = to_s

    def _rows(self, to_s: float) -> tuple[Counts, Counts]:
        """Return the rows that have requests since the last call, and how many."""
        trace, span = self._trace, self._trace.format.span_s
        first, last = np.searchsorted(trace.times_s, [self._played_s - span, to_s], side="right")
        rows = np.arange(first, last)
        if not span:
            return rows, trace.requests[rows]
        before, after = self._shares(rows, self._played_s), self._shares(rows, to_s)
        some = after > before
        return rows[some], (after - before)[some]

    def _shares(self, rows: Counts, to_s: float) -> Counts:
        """Return how many requests of each row have come by ``to_s``, in whole requests."""
        past = np.clip((to_s - self._trace.times_s[rows]) / self._trace.format.span_s, 0.0, 1.0)
        return np.floor(self._trace.requests[rows] * past).astype(np.int64)

    def _labels(self, row: int) -> TraceLabels:
        return self._trace.labels[int(self._trace.label[row])]

    def _dollars(self, model: str, at: datetime, row: int, requests: int) -> float | None:
        rate = self._prices(model, at)
        if rate is None:
            self.unpriced += requests
            return None
        each = self._trace.input_tokens[row] * rate[0] + self._trace.output_tokens[row] * rate[1]
        return float(requests * each / _PER)

    def _record_bin(self, row: int, requests: int, moment: datetime) -> None:
        labels = self._labels(row)
        model = labels.model or self._model
        record_aggregate(
            self._collector,
            InferenceAggregate(
                model=model,
                task_type=labels.task_type or UNKNOWN,
                user=labels.user,
                requests=requests,
                mean_input_tokens=float(self._trace.input_tokens[row]),
                mean_output_tokens=float(self._trace.output_tokens[row]),
                cost_dollars=self._dollars(model, moment, row, requests),
            ),
        )

    def _record_request(self, row: int) -> None:
        labels, latency_ms = self._labels(row), float(self._trace.latency_ms[row])
        model = labels.model or self._model
        at = self._start + timedelta(seconds=float(self._trace.times_s[row]))
        failed = bool(self._trace.failed[row])
        self._collector.record_inference(
            InferenceEvent(
                model=model,
                task_type=labels.task_type or UNKNOWN,
                user=labels.user,
                input_tokens=int(self._trace.input_tokens[row]),
                output_tokens=int(self._trace.output_tokens[row]),
                cost_dollars=self._dollars(model, at, row, 1),
                latency_ms=None if np.isnan(latency_ms) else latency_ms,
                outcome="error" if failed else "ok",
            )
        )
        if failed:
            self._collector.record_error(ERROR_TYPE, COMPONENT)


def start_of(trace: Trace, end: datetime | None) -> datetime:
    """Return when ``trace`` is to start so that it ends at ``end``; with None it starts when it was recorded.

    A trace that does not say when it was recorded starts at 1970 then, which callers refuse.
    """
    if end is not None:
        return end - timedelta(seconds=trace.length_s)
    return trace.started or datetime.fromtimestamp(0, UTC)

"""Historical samples to a remote-write endpoint: Prometheus, Mimir, VictoriaMetrics and others.

The remote-write protocol 1.0 is a protobuf message in snappy's block format. Both are written here with what is needed
of them: two message types, and snappy's literals, which any reader takes and which compress nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import numpy as np
import requests

from asahi_analytics.errors import PrometheusRefused, PrometheusTimeout, PrometheusUnreachable, UserInputError
from asahi_analytics.history import HistorySeries, Written
from asahi_analytics.transport import cause_of
from asahi_analytics.varint import uvarint

SAMPLES_PER_REQUEST: Final = 20_000
SLICE_MS: Final = 1_800_000
"""Samples are sent in slices of half an hour, all series of one before the next: a Prometheus without an out-of-order
window takes what is up to an hour older than its newest sample."""
ATTEMPTS: Final = 5
TIMEOUT_SECONDS: Final = 30.0
HEADERS: Final[Mapping[str, str]] = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "asahi-observability",
}
_TIME_BYTES: Final = 6
_SAMPLE: Final = np.dtype(
    [
        ("tag", "u1"),
        ("length", "u1"),
        ("value_tag", "u1"),
        ("value", "<f8"),
        ("time_tag", "u1"),
        ("time", "u1", 6),
    ]
)


def _field(tag: int, content: bytes) -> bytes:
    """Return a protobuf field that has a length: text or a message."""
    return bytes((tag << 3 | 2,)) + uvarint(len(content)) + content


def time_series(series: HistorySeries) -> bytes:
    """Return ``series`` as the message ``TimeSeries``: labels by name, then its samples."""
    labels = {"__name__": series.name, **{key: value for key, value in series.labels.items() if value}}
    pairs = [
        _field(1, _field(1, name.encode()) + _field(2, value.encode()))
        for name, value in sorted(labels.items())
    ]
    return b"".join(pairs) + _samples(series)


def _samples(series: HistorySeries) -> bytes:
    """Return the messages ``Sample``, all of one length: times are written in six base-128 digits, zeros included."""
    rows = np.zeros(series.times_ms.size, dtype=_SAMPLE)
    rows["tag"], rows["length"] = 2 << 3 | 2, _SAMPLE.itemsize - 2
    rows["value_tag"], rows["value"] = 1 << 3 | 1, series.values
    rows["time_tag"] = 2 << 3
    for digit in range(_TIME_BYTES):
        more = 0x80 if digit < _TIME_BYTES - 1 else 0
        rows["time"][:, digit] = (series.times_ms >> 7 * digit) & 0x7F | more
    return rows.tobytes()


def snappy_literal(content: bytes) -> bytes:
    """Return ``content`` in snappy's block format, as one literal."""
    if not content:
        return b"\0"
    tag_and_length = b"\xfc" + (len(content) - 1).to_bytes(4, "little")
    return uvarint(len(content)) + tag_and_length + content


def write_request(series: Iterable[HistorySeries]) -> bytes:
    """Return the body of one remote-write request."""
    return snappy_literal(b"".join(_field(1, time_series(one)) for one in series))


class RemoteWriter:
    """Sends samples to ``url``, such as ``http://127.0.0.1:9090/api/v1/write``.

    What fails for a while (no connection, 429, 5xx) is sent again after 1, 2, 4 and 8 seconds. Raises
    ``PrometheusUnreachable``, ``PrometheusTimeout`` or ``PrometheusRefused`` with the server's own words when it is
    of no use, ``UserInputError`` when ``url`` is not one.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise UserInputError(
                f"{url!r} is not an address; write it like http://127.0.0.1:9090/api/v1/write"
            )
        self._url = url
        self._headers = {**HEADERS, **(headers or {})}
        self._session = session or requests.Session()
        self._sleep = sleep

    def write(
        self, series: Iterable[HistorySeries], on_sent: Callable[[int, int], None] | None = None
    ) -> Written:
        """Send all ``series``, oldest samples first; ``on_sent`` hears (samples sent, samples in all)."""
        held = [one for one in series if one.times_ms.size]
        total, sent = sum(one.times_ms.size for one in held), 0
        for batch in _batches(_in_time_order(held)):
            self._post(write_request(batch))
            sent += sum(one.times_ms.size for one in batch)
            if on_sent is not None:
                on_sent(sent, total)
        return Written(len(held), total, 0)

    def _post(self, body: bytes) -> None:
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                answer = self._session.post(
                    self._url, data=body, headers=self._headers, timeout=TIMEOUT_SECONDS
                )
            except requests.Timeout as error:
                if last:
                    raise PrometheusTimeout(f"{self._url} did not answer in {TIMEOUT_SECONDS:g} s") from error
            except requests.RequestException as error:
                if last:
                    raise PrometheusUnreachable(
                        f"{self._url} cannot be reached ({cause_of(error)}); start it, or pass another --remote-write"
                    ) from error
            else:
                if answer.ok:
                    return
                if last or not (answer.status_code == requests.codes.too_many or answer.status_code >= 500):
                    raise PrometheusRefused(_refusal(self._url, answer))
            self._sleep(2.0**attempt)


def _refusal(url: str, answer: requests.Response) -> str:
    words = f"{url} refused the samples with status {answer.status_code}: {answer.text.strip()[:400]}"
    if answer.status_code == requests.codes.not_found:
        return f"{words}; a Prometheus takes samples only with --web.enable-remote-write-receiver"
    if "out of order" in answer.text or "out of bounds" in answer.text:
        return f"{words}; history needs storage.tsdb.out_of_order_time_window as long as the history"
    return words


def _in_time_order(series: list[HistorySeries]) -> Iterator[HistorySeries]:
    """Yield the samples of all series slice by slice."""
    if not series:
        return
    first = min(int(one.times_ms[0]) for one in series) // SLICE_MS * SLICE_MS
    last = max(int(one.times_ms[-1]) for one in series)
    for start in range(first, last + 1, SLICE_MS):
        for one in series:
            part = one.between(start, start + SLICE_MS)
            if part.times_ms.size:
                yield part


def _batches(series: Iterable[HistorySeries]) -> Iterator[list[HistorySeries]]:
    batch: list[HistorySeries] = []
    samples = 0
    for one in series:
        batch.append(one)
        samples += one.times_ms.size
        if samples >= SAMPLES_PER_REQUEST:
            yield batch
            batch, samples = [], 0
    if batch:
        yield batch

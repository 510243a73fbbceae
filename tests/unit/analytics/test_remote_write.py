"""Remote write: the bytes are what the protocol says, and failures end in words."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from asahi_analytics.errors import PrometheusRefused, PrometheusTimeout, PrometheusUnreachable, UserInputError
from asahi_analytics.history import HistorySeries
from asahi_analytics.remote_write import RemoteWriter, snappy_literal, write_request
from asahi_analytics.varint import uvarint
from support.histories import as_history

URL = "http://127.0.0.1:9/api/v1/write"


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    number, shift = 0, 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def unsnap(data: bytes) -> bytes:
    """A reader of snappy literals, written from the format's description."""
    length, at = read_varint(data, 0)
    content = b""
    while at < len(data):
        tag = data[at]
        assert tag & 3 == 0
        size, at = tag >> 2, at + 1
        if size >= 60:
            extra = size - 59
            size, at = int.from_bytes(data[at : at + extra], "little"), at + extra
        content += data[at : at + size + 1]
        at += size + 1
    assert len(content) == length
    return content


def fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """A reader of protobuf messages."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        match key & 7:
            case 0:
                number, at = read_varint(data, at)
                yield key >> 3, number
            case 1:
                yield key >> 3, struct.unpack("<d", data[at : at + 8])[0]
                at += 8
            case 2:
                size, at = read_varint(data, at)
                yield key >> 3, data[at : at + size]
                at += size


def decode(body: bytes) -> list[tuple[dict[str, str], list[tuple[int, float]]]]:
    found = []
    for _, message in fields(unsnap(body)):
        labels, samples = {}, []
        for number, content in fields(message):
            parts = dict(fields(content))
            if number == 1:
                labels[parts[1].decode()] = parts[2].decode()
            else:
                samples.append((parts[2], parts[1]))
        assert list(labels) == sorted(labels)
        found.append((labels, samples))
    return found


@given(
    st.dictionaries(st.sampled_from(["a", "b", "user"]), st.text(min_size=1)),
    st.lists(st.tuples(st.integers(0, (1 << 42) - 1), st.floats(allow_nan=False)), unique_by=lambda s: s[0]),
)
def test_a_request_reads_back_as_it_was(labels: dict[str, str], samples: list[tuple[int, float]]) -> None:
    samples.sort()
    series = as_history("m", labels, [time for time, _ in samples], [value for _, value in samples])
    ((name_and_labels, read),) = decode(write_request([series]))
    assert name_and_labels == {"__name__": "m", **labels}
    assert read == samples


def test_an_empty_label_is_left_out() -> None:
    ((labels, _),) = decode(write_request([as_history("m", {"a": ""}, [1], [1.0])]))
    assert labels == {"__name__": "m"}


@pytest.mark.parametrize(
    ("number", "digits"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")]
)
def test_numbers_in_base_128(number: int, digits: bytes) -> None:
    assert uvarint(number) == digits


def test_nothing_in_snappy() -> None:
    assert unsnap(snappy_literal(b"")) == b""


def writer() -> tuple[RemoteWriter, list[float]]:
    slept: list[float] = []
    return RemoteWriter(URL, headers={"X-Scope-OrgID": "t"}, sleep=slept.append), slept


def two_hours() -> list[HistorySeries]:
    times = np.arange(0, 7_200_000, 60_000)
    return [as_history("m", {"user": user}, times, times / 7) for user in ("a", "b")]


@responses.activate
def test_samples_go_out_oldest_first_with_headers_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asahi_analytics.remote_write.SAMPLES_PER_REQUEST", 60)
    responses.post(URL, status=204)
    heard: list[tuple[int, int]] = []
    written = writer()[0].write([*two_hours(), as_history("n", {}, [], [])], lambda *told: heard.append(told))
    assert (written.series, written.samples) == (2, 240)
    assert heard == [(60, 240), (120, 240), (180, 240), (240, 240)]
    bodies = [decode(call.request.body) for call in responses.calls]
    times = [[time for _, samples in body for time, _ in samples] for body in bodies]
    assert all(max(earlier) < min(later) for earlier, later in pairwise(times))
    sent = responses.calls[0].request.headers
    assert (sent["X-Scope-OrgID"], sent["Content-Encoding"]) == ("t", "snappy")


@responses.activate
def test_nothing_is_sent_when_there_is_nothing() -> None:
    assert writer()[0].write([]).samples == 0
    assert not responses.calls


@responses.activate
@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_fails_for_a_while_is_sent_again(status: int) -> None:
    responses.post(URL, status=status)
    responses.post(URL, body=requests.ConnectionError("gone"))
    responses.post(URL, status=204)
    sender, slept = writer()
    assert sender.write([as_history("m", {}, [1], [1.0])]).samples == 1
    assert slept == [1.0, 2.0]


@responses.activate
@pytest.mark.parametrize(
    ("status", "words", "message"),
    [
        (
            400,
            "out of order sample",
            "status 400: out of order sample; history needs storage.tsdb.out_of_order",
        ),
        (404, "page not found", "--web.enable-remote-write-receiver"),
        (401, "no org id", "status 401: no org id$"),
    ],
)
def test_a_refusal_is_told_in_the_servers_words_at_once(status: int, words: str, message: str) -> None:
    responses.post(URL, status=status, body=words)
    sender, slept = writer()
    with pytest.raises(PrometheusRefused, match=message):
        sender.write([as_history("m", {}, [1], [1.0])])
    assert slept == []


def test_a_server_that_is_not_there_is_told_in_one_short_line() -> None:
    sender = RemoteWriter("http://127.0.0.1:1/write", sleep=lambda _seconds: None)
    with pytest.raises(PrometheusUnreachable) as caught:
        sender.write([as_history("m", {}, [1], [1.0])])
    assert str(caught.value) == (
        "http://127.0.0.1:1/write cannot be reached (Connection refused); "
        "start it, or pass another --remote-write"
    )


@responses.activate
@pytest.mark.parametrize(
    ("failure", "error"),
    [(requests.Timeout(), PrometheusTimeout), (requests.ConnectionError("refused"), PrometheusUnreachable)],
)
def test_a_server_that_stays_away_is_given_up(failure: Exception, error: type[Exception]) -> None:
    responses.post(URL, body=failure)
    sender, slept = writer()
    with pytest.raises(error, match=r"127\.0\.0\.1:9"):
        sender.write([as_history("m", {}, [1], [1.0])])
    assert slept == [1.0, 2.0, 4.0, 8.0]


@responses.activate
def test_a_server_that_keeps_failing_is_given_up_with_its_words() -> None:
    responses.post(URL, status=503, body="overloaded")
    with pytest.raises(PrometheusRefused, match="status 503: overloaded"):
        writer()[0].write([as_history("m", {}, [1], [1.0])])


def test_an_address_must_be_one() -> None:
    with pytest.raises(UserInputError, match="write it like http://"):
        RemoteWriter("localhost:9090")

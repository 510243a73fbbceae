"""The wire: forms, credentials, retries, deadlines, and what each failure of HTTP becomes; by ``requests``."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
import requests
import responses

from asahi_analytics.errors import (
    PrometheusAnswerInvalid,
    PrometheusTimeout,
    PrometheusUnreachable,
    UserInputError,
)
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.settings import PrometheusSettings
from asahi_analytics.transport import HttpTransport, form_of, make_session

URL = "https://prometheus.test:9090"
QUERY = f"{URL}/api/v1/query"
AT = datetime(2026, 3, 10, tzinfo=UTC)
EMPTY = {"status": "success", "data": {"resultType": "vector", "result": []}}
TIMED_OUT = {"status": "error", "errorType": "timeout", "error": "too long"}


def settings(**more) -> PrometheusSettings:
    return PrometheusSettings(**{"url": URL, "backoff_seconds": 0.5, **more})


class Clock:
    """A clock that moves by what is slept, and by ``tick`` with each look at it."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now = 0.0
        self.tick = tick
        self.slept: list[float] = []

    def __call__(self) -> float:
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def transport(clock: Clock | None = None, **more) -> HttpTransport:
    clock = clock or Clock()
    return HttpTransport(settings(**more), sleep=clock.sleep, clock=clock)


def send(made: HttpTransport, query: str = "up"):
    return made.send("POST", "/api/v1/query", [("query", query)])


@pytest.mark.parametrize("text", ["".join(map(chr, range(128))), "été + 5 %", "", 'a{b="c|d"}[5m]\n'])
def test_forms_are_those_of_the_standard_library(text: str) -> None:
    fields = [("query", text), (text, "1.5")]
    assert form_of(fields) == urlencode(fields)


@responses.activate
def test_a_query_travels_as_a_form_and_never_in_the_address() -> None:
    responses.post(QUERY, json=EMPTY)
    long = "up" * 100_000
    PrometheusClient(settings()).query(long, AT)
    sent = responses.calls[0].request
    assert "?" not in sent.url
    assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert f"query={long}" in sent.body


@responses.activate
def test_get_puts_the_fields_into_the_address() -> None:
    responses.get(QUERY, json=EMPTY)
    PrometheusClient(settings(method="GET")).query("up", AT)
    assert responses.calls[0].request.params["query"] == "up"


@responses.activate
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"username": "ann", "password": "ü:1"}, "Basic " + base64.b64encode("ann:ü:1".encode()).decode()),
        ({"username": "ann"}, "Basic " + base64.b64encode(b"ann:").decode()),
        ({"bearer_token": "secret"}, "Bearer secret"),
    ],
)
def test_credentials_are_sent(given, expected) -> None:
    responses.post(QUERY, json=EMPTY)
    send(transport(**given))
    assert responses.calls[0].request.headers["Authorization"] == expected


@responses.activate
def test_a_token_file_is_read_again_for_each_request(tmp_path) -> None:
    responses.post(QUERY, json=EMPTY)
    file = tmp_path / "token"
    made = transport(bearer_token_file=file)
    for token in ("one", "two"):
        file.write_text(f"{token}\n")
        send(made)
    assert [call.request.headers["Authorization"] for call in responses.calls] == ["Bearer one", "Bearer two"]
    file.unlink()
    with pytest.raises(UserInputError, match="bearer_token_file cannot be read"):
        send(made)


@responses.activate
def test_the_tenant_and_further_headers_are_sent() -> None:
    responses.post(QUERY, json=EMPTY)
    send(transport(tenant="team-a", headers={"X-Extra": "1"}))
    headers = responses.calls[0].request.headers
    assert headers["X-Scope-OrgID"] == "team-a"
    assert headers["X-Extra"] == "1"
    assert headers["Accept-Encoding"] == "identity"


@responses.activate
def test_packed_answers_are_asked_for_by_a_header_of_the_settings() -> None:
    responses.post(QUERY, json=EMPTY)
    send(transport(headers={"accept-encoding": "gzip"}))
    assert responses.calls[0].request.headers["Accept-Encoding"] == "gzip"


@responses.activate
@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_error_is_tried_again_with_a_doubling_wait(status) -> None:
    responses.post(QUERY, status=status)
    responses.post(QUERY, status=status)
    responses.post(QUERY, json=EMPTY)
    clock = Clock()
    assert send(transport(clock)).status == 200
    assert clock.slept == [0.5, 1.0]


@responses.activate
def test_the_last_attempt_counts() -> None:
    responses.post(QUERY, status=503, body="down")
    assert send(transport()).status == 503
    assert len(responses.calls) == 3


@responses.activate
@pytest.mark.parametrize("status", [400, 422, 429, 500])
def test_other_errors_are_not_tried_again(status) -> None:
    responses.post(QUERY, status=status)
    assert send(transport()).status == status
    assert len(responses.calls) == 1


@responses.activate
def test_a_query_that_ran_into_the_servers_limit_is_not_run_again() -> None:
    responses.post(QUERY, status=503, body=b'{"status":"error","errorType":"timeout","error":"too long"}')
    with pytest.raises(PrometheusTimeout, match="too long"):
        PrometheusClient(settings()).query("up", AT)
    assert len(responses.calls) == 1


@responses.activate
def test_a_query_that_ran_into_a_compaction_is_tried_again() -> None:
    words = "cannot populate chunk 1962934272 from block 00000000000000000000000000: not found"
    responses.post(QUERY, status=422, json={"status": "error", "errorType": "execution", "error": words})
    responses.post(QUERY, json=EMPTY)
    assert send(transport()).status == 200
    assert len(responses.calls) == 2


@responses.activate
def test_retries_end_with_the_deadline() -> None:
    responses.post(QUERY, status=503)
    clock = Clock(tick=1.0)
    send(transport(clock, retries=10, deadline_seconds=6))
    assert len(responses.calls) < 5


def because(cause: OSError) -> requests.ConnectionError:
    error = requests.ConnectionError("Max retries exceeded")
    error.__cause__ = cause
    return error


@responses.activate
@pytest.mark.parametrize(
    ("raised", "error", "words"),
    [
        (requests.ConnectionError(OSError("Connection refused")), PrometheusUnreachable, "cannot be reached"),
        (
            because(ConnectionRefusedError(111, "Connection refused")),
            PrometheusUnreachable,
            r"cannot be reached \(Connection refused\); start it, or correct prometheus.url",
        ),
        (requests.ConnectTimeout(), PrometheusUnreachable, "connected to in 3 s"),
        (requests.exceptions.SSLError("certificate verify failed"), PrometheusUnreachable, "TLS.*ca_file"),
        (requests.ReadTimeout(), PrometheusTimeout, "read_timeout_seconds 20"),
        (requests.ConnectionError("Read timed out."), PrometheusTimeout, "in time"),
        (requests.exceptions.ChunkedEncodingError("broken"), PrometheusAnswerInvalid, "in the middle"),
        (requests.exceptions.ContentDecodingError("gzip"), PrometheusAnswerInvalid, "in the middle"),
        (requests.exceptions.InvalidURL("bad"), PrometheusUnreachable, "prometheus.url"),
        (
            OSError("invalid path: ca.pem"),
            PrometheusUnreachable,
            "invalid path: ca.pem; see ca_file, cert_file",
        ),
    ],
)
def test_each_failure_of_the_wire_becomes_one_of_our_errors(raised, error, words) -> None:
    responses.post(QUERY, body=raised)
    with pytest.raises(error, match=words):
        send(transport())


@responses.activate
def test_a_lost_connection_is_tried_again_but_a_timeout_is_not() -> None:
    responses.post(QUERY, body=requests.ConnectionError("reset"))
    responses.post(QUERY, json=EMPTY)
    assert send(transport()).status == 200
    responses.reset()
    responses.post(QUERY, body=requests.ReadTimeout())
    with pytest.raises(PrometheusTimeout):
        send(transport())
    assert len(responses.calls) == 1


def test_a_port_that_nobody_listens_on_is_unreachable() -> None:
    made = HttpTransport(PrometheusSettings(url="http://127.0.0.1:1"), sleep=lambda _s: None)
    with pytest.raises(PrometheusUnreachable, match="Connection refused"):
        send(made)


@responses.activate
def test_a_redirect_is_not_followed() -> None:
    responses.post(QUERY, status=302, headers={"Location": "http://elsewhere.test/"})
    assert send(transport()).status == 302
    assert len(responses.calls) == 1


@responses.activate
def test_an_answer_longer_than_allowed_is_refused() -> None:
    responses.post(QUERY, body=b"x" * ((1 << 20) + 1))
    with pytest.raises(PrometheusAnswerInvalid, match=r"max_answer_megabytes \(1\)"):
        send(transport(max_answer_megabytes=1, retries=0))


@responses.activate
def test_an_answer_that_trickles_past_the_deadline_is_a_timeout() -> None:
    responses.post(QUERY, body=b"x" * (1 << 18))
    with pytest.raises(PrometheusTimeout, match="deadline_seconds 3"):
        send(transport(Clock(tick=1.0), deadline_seconds=3, retries=0))


def test_a_session_is_made_anew_after_a_fork(monkeypatch) -> None:
    made = transport()
    first = made.wire
    assert made.wire is first
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert made.wire is not first


def test_tls_files_and_the_pool_reach_the_session(tmp_path) -> None:
    session = make_session(
        settings(ca_file=tmp_path / "ca", cert_file=tmp_path / "c", key_file=tmp_path / "k", pool_size=7)
    )
    assert session.verify == str(tmp_path / "ca")
    assert session.cert == (str(tmp_path / "c"), str(tmp_path / "k"))
    assert session.get_adapter(URL)._pool_maxsize == 7
    assert make_session(settings(cert_file=tmp_path / "c")).cert == str(tmp_path / "c")
    assert make_session(settings(verify=False)).verify is False


@pytest.mark.parametrize(
    ("url", "proxied"), [("http://127.0.0.1:9090", False), ("http://localhost", False), (URL, True)]
)
def test_proxies_of_the_environment_apply_beyond_this_machine_only(url, proxied) -> None:
    assert make_session(PrometheusSettings(url=url)).trust_env is proxied


@responses.activate
def test_a_vector_without_a_result_is_shown_and_not_called_a_vector() -> None:
    responses.post(QUERY, json={"status": "success", "data": {"resultType": "vector"}})
    with pytest.raises(
        PrometheusAnswerInvalid, match=r"expected a vector or scalar, got \{'resultType': 'vector'\}"
    ):
        PrometheusClient(settings()).query("up", AT)

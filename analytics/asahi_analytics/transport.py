"""The wire to Prometheus: one HTTP session, its retries, its deadline, and what its errors mean.

``Transport`` is the seam: tests pass a fake one, the service passes ``HttpTransport``.
"""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote_plus

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import select_proxy

from asahi_analytics.deadline import bounded
from asahi_analytics.direct import ConnectTimeoutError, Direct, PackedError
from asahi_analytics.errors import (
    PrometheusAnswerInvalid,
    PrometheusError,
    PrometheusTimeout,
    PrometheusUnreachable,
    UserInputError,
)
from asahi_analytics.settings import PrometheusSettings

Fields = Sequence[tuple[str, str]]
RETRIED_STATUS: Final = frozenset({502, 503, 504})
COMPACTED: Final = b"cannot populate chunk"
"""Words of a Prometheus that moved samples to a block while a query read them: they are there, for the next query."""
_HEADERS: Final = {
    "User-Agent": "asahi-observability",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}
"""Sent with every request. Packing a long answer takes a server a third of the time of the query; the network between
two machines of one place is faster. Settings may ask for it all the same."""
_SPECIAL: Final = [each for each in map(chr, range(128)) if quote_plus(each) != each and each not in "% "]
_ESCAPES: Final = [(each, quote_plus(each)) for each in ("%", *_SPECIAL, " ")]
"""What stands for each character that a form may not hold; first that of which the others are made."""
_CHUNK_BYTES: Final = 1 << 16
_MEGABYTE: Final = 1 << 20
_SHORTEST_WAIT_SECONDS: Final = 0.05
_UNREACHED: Final = "start it, or correct prometheus.url (--prometheus-url)"
_TIMED_OUT: Final = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
_TOO_SLOW_TO_CONNECT: Final = (requests.ConnectTimeout, ConnectTimeoutError)
_BROKEN_OFF: Final = (
    http.client.IncompleteRead,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.DecodeError,
)


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Transport(Protocol):
    """Sends one request to the API and returns its answer; a ``PrometheusError`` when there is none."""

    def send(self, method: str, path: str, fields: Fields) -> Reply:
        """Send ``fields`` (as form for POST, in the address for GET) to ``path`` below the base address."""
        ...


class _Bearer(AuthBase):
    """Sends a token; a file is read for each request, because tokens of service accounts rotate."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self.value()
        return request

    def value(self) -> str:
        """The header's value, as of now."""
        return f"Bearer {self._token()}"


class HttpTransport:
    """A wire with a pool as wide as the queries at once, explicit retries and a total deadline.

    A session is made for each process on first use, so that a transport made before a fork is safe after it.
    """

    def __init__(
        self,
        settings: PrometheusSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._wire: tuple[int, Wire] | None = None

    @property
    def wire(self) -> Wire:
        """The connections of this process."""
        with self._lock:
            if self._wire is None or self._wire[0] != os.getpid():
                self._wire = (os.getpid(), Wire(make_session(self._settings), self._settings))
            return self._wire[1]

    def send(self, method: str, path: str, fields: Fields) -> Reply:
        """Send the request; see ``Transport``.

        A connection that cannot be made or is lost, status 502, 503 and 504, and a query that ran into a compaction
        are tried again with a doubling wait while the deadline, of the query or of the whole answer, allows it; the
        last outcome is what counts.
        """
        deadline = self._clock() + bounded(self._settings.deadline_seconds)
        for attempt in range(self._settings.retries + 1):
            wait = self._settings.backoff_seconds * 2**attempt
            last = attempt == self._settings.retries or self._clock() + wait >= deadline
            try:
                reply = self._attempt(method, path, fields, deadline)
            except (PrometheusUnreachable, PrometheusAnswerInvalid):
                if last:
                    raise
            else:
                if last or not _worth_retrying(reply):
                    return reply
            self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, method: str, path: str, fields: Fields, deadline: float) -> Reply:
        settings = self._settings
        left = max(deadline - self._clock(), 0.001)
        timeout = (min(settings.connect_timeout_seconds, left), min(settings.read_timeout_seconds, left))
        try:
            with self.wire.send(method, path, form_of(fields), timeout) as answer:
                return Reply(answer.status, self._read(answer, deadline), answer.headers)
        except (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            raise translate(error, settings) from error

    def _read(self, answer: Answer, deadline: float) -> bytes:
        """The whole body; the deadline and the size are checked with each piece, however small, that comes."""
        chunks: list[bytes] = []
        size = 0
        while chunk := answer.read1(_CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._settings.max_answer_megabytes * _MEGABYTE:
                raise PrometheusAnswerInvalid(
                    "the answer is longer than max_answer_megabytes "
                    f"({self._settings.max_answer_megabytes}); ask for less, or raise the setting"
                )
            left = deadline - self._clock()
            if left < 0:
                raise _too_slow(self._settings)
            if left < self._settings.read_timeout_seconds:
                answer.bound_silence(max(left, _SHORTEST_WAIT_SECONDS))
        return b"".join(chunks)


def form_of(fields: Fields) -> str:
    """Return ``fields`` as a form, as ``urllib.parse.urlencode`` does, which looks at each letter of a long query."""
    return "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in fields)


def _escaped(text: str) -> str:
    if not text.isascii():
        return quote_plus(text)
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text


class Answer(Protocol):
    """An HTTP answer of which the body is still to be read."""

    status: int
    headers: Mapping[str, str]

    def read1(self, size: int) -> bytes:
        """Return what has come, at most ``size`` bytes; nothing at the end."""
        ...

    def bound_silence(self, seconds: float) -> None:
        """Let a further silence in the middle of the body last no longer than ``seconds``."""
        ...


class _Received:
    """An answer that ``requests`` brings."""

    def __init__(self, response: requests.Response) -> None:
        self._raw = response.raw
        self.close = response.close
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers)

    def read1(self, size: int) -> bytes:
        piece: bytes = self._raw.read1(size, decode_content=True)
        return piece

    def bound_silence(self, seconds: float) -> None:
        sock = getattr(self._raw.connection, "sock", None)  # None once the server has said that it closes
        if sock is not None:
            sock.settimeout(seconds)


class Wire:
    """A session whose requests are put together by hand, or none where plain HTTP will do.

    What ``Session.request`` works out anew for each request, merging settings and following redirects, is worked
    out once here: that was two thirds of the time of a small query.
    """

    def __init__(self, session: requests.Session, settings: PrometheusSettings) -> None:
        """Work out headers, proxies and TLS files once."""
        self._session = session
        self._url = settings.url
        self._adapter = session.get_adapter(settings.url)
        self._bare = session.prepare_request(requests.Request("GET", settings.url))
        environment = session.merge_environment_settings(settings.url, {}, True, session.verify, session.cert)
        self._send_options: dict[str, Any] = dict(environment)
        self._direct: Direct | None = None
        packed = self._bare.headers["Accept-Encoding"] != _HEADERS["Accept-Encoding"]
        proxy = select_proxy(settings.url, environment["proxies"])
        if not (settings.url.startswith("https:") or proxy or packed):
            self._direct = Direct(str(self._bare.url), self._bare.headers, settings.pool_size)

    def send(
        self, method: str, path: str, form: str, timeout: tuple[float, float]
    ) -> AbstractContextManager[Answer]:
        """Send ``form`` in the body for POST, in the address for GET; redirects are not followed."""
        headers: dict[str, str] = {}
        if isinstance(self._session.auth, _Bearer):
            headers["Authorization"] = self._session.auth.value()
        target, body = path, ""
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = form
        elif form:
            target = f"{path}?{form}"
        if self._direct is not None:
            try:
                return self._direct.send(method, target, body.encode(), headers, timeout)
            except PackedError:
                self._direct = None
        request = self._bare.copy()
        request.method, request.url = method, self._url + target
        request.headers.update(headers)
        if method == "POST":
            request.body = body
            request.headers["Content-Length"] = str(len(body))
        return closing(_Received(self._adapter.send(request, timeout=timeout, **self._send_options)))


def make_session(settings: PrometheusSettings) -> requests.Session:
    """Return a session with the pool, the credentials, the headers and the TLS files of ``settings``."""
    session = requests.Session()
    adapter = HTTPAdapter(
        pool_connections=2, pool_maxsize=settings.pool_size, max_retries=0, pool_block=False
    )
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.headers.update(_HEADERS)
    session.headers.update(settings.headers)
    if settings.tenant is not None:
        session.headers["X-Scope-OrgID"] = settings.tenant
    session.trust_env = _proxied(settings)
    session.auth = _auth(settings)
    session.verify = str(settings.ca_file) if settings.verify and settings.ca_file else settings.verify
    session.cert = _certificate(settings)
    return session


def translate(
    error: OSError | urllib3.exceptions.HTTPError | http.client.HTTPException, settings: PrometheusSettings
) -> PrometheusError:
    """Return our error for one of the wire; no credentials are in its message.

    A bare ``OSError`` is what ``requests`` says of a TLS file that is not there.
    """
    where, cause = f"Prometheus at {settings.url}", cause_of(error)
    if type(error) is OSError and error.errno is None:
        return PrometheusUnreachable(f"{where}: {cause}; see ca_file, cert_file and key_file")
    if isinstance(error, requests.exceptions.SSLError):
        return PrometheusUnreachable(f"{where}: the TLS connection failed ({cause}); see ca_file and verify")
    if isinstance(error, _TOO_SLOW_TO_CONNECT):
        limit = f"{settings.connect_timeout_seconds:g} s"
        return PrometheusUnreachable(f"{where} could not be connected to in {limit}; {_UNREACHED}")
    if isinstance(error, _TIMED_OUT) or "Read timed out" in str(error):
        return _too_slow(settings)
    if isinstance(error, _BROKEN_OFF):
        return PrometheusAnswerInvalid(f"{where} broke off in the middle of its answer ({cause})")
    return PrometheusUnreachable(f"{where} cannot be reached ({cause}); {_UNREACHED}")


def _too_slow(settings: PrometheusSettings) -> PrometheusTimeout:
    return PrometheusTimeout(
        f"Prometheus at {settings.url} did not answer in time (read_timeout_seconds "
        f"{settings.read_timeout_seconds:g}, deadline_seconds {settings.deadline_seconds:g})"
    )


def cause_of(error: BaseException) -> str:
    """The innermost reason in one short line."""
    inner = error
    while isinstance(deeper := _deeper(inner), Exception):
        inner = deeper
    words = str(inner)
    if isinstance(inner, OSError) and inner.strerror and inner.filename is None:
        words = inner.strerror  # without the system's number
    return words.replace("\n", " ")[:200] or type(inner).__name__


def _deeper(error: BaseException) -> object:
    return getattr(error, "reason", None) or error.__cause__ or error.__context__


def _worth_retrying(reply: Reply) -> bool:
    """Whether another attempt may help; a query that ran into the server's own limit would only run again."""
    if reply.status not in RETRIED_STATUS:
        return reply.status // 100 != 2 and COMPACTED in reply.body
    return b'"errorType":"timeout"' not in reply.body and b'"errorType":"canceled"' not in reply.body


def _proxied(settings: PrometheusSettings) -> bool:
    """Whether HTTP_PROXY and its kin apply: not to loopback, and never .netrc where credentials are given."""
    host = settings.url.split("://", 1)[1]
    return not host.startswith(("127.", "localhost", "[::1]"))


def _auth(settings: PrometheusSettings) -> AuthBase | None:
    if settings.username is not None:
        password = settings.password.get_secret_value() if settings.password else ""
        return HTTPBasicAuth(settings.username.encode(), password.encode())
    if settings.bearer_token is not None:
        return _Bearer(settings.bearer_token.get_secret_value)
    if settings.bearer_token_file is not None:
        return _Bearer(lambda: _read_token(settings))
    return None


def _read_token(settings: PrometheusSettings) -> str:
    path = settings.bearer_token_file
    assert path is not None
    try:
        return path.read_text().strip()
    except OSError as error:
        raise UserInputError(
            f"prometheus.bearer_token_file cannot be read: {path}: {error.strerror}"
        ) from error


def _certificate(settings: PrometheusSettings) -> str | tuple[str, str] | None:
    if settings.cert_file is None:
        return None
    if settings.key_file is None:
        return str(settings.cert_file)
    return str(settings.cert_file), str(settings.key_file)

"""The metrics over HTTP, as a WSGI application: text, OpenMetrics or JSON, gzipped when the client takes it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from asahi_exporter.errors import MissingDependencyError, StateDirectoryError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from flask import Blueprint
    from werkzeug.wrappers import Response as BaseResponse

METRICS_PATH: Final = "/metrics"
JSON_PATH: Final = "/metrics.json"
_JSON_TYPE: Final = "application/json"
_TEXT_TYPE: Final = "text/plain; charset=utf-8"
_GZIP_LEVEL: Final = 1
"""Level 9, prometheus-client's, takes twelve times as long for a few percent of the size."""
_GZIP_FROM_BYTES: Final = 1_000


class Exposed(Protocol):
    """What is served: a registry and its families as plain data."""

    registry: CollectorRegistry

    def get_json_metrics(self) -> dict[str, Any]:
        """Return the families as plain data."""


Answer = tuple[HTTPStatus, str, bytes]
"""Status, content type and body."""


def make_wsgi_app(exposed: Exposed, export_format: str) -> WSGIApplication:
    """Return the application that serves ``/metrics`` and, for ``json`` and ``both``, ``/metrics.json``."""
    pages = _pages(exposed, export_format)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, content_type, body = _answer(pages, environ)
        headers = [("Content-Type", content_type), ("Vary", "Accept, Accept-Encoding")]
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "GET, HEAD"))
        if len(body) >= _GZIP_FROM_BYTES and accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
            headers.append(("Content-Encoding", "gzip"))
            body = gzip.compress(body, compresslevel=_GZIP_LEVEL)
        headers.append(("Content-Length", str(len(body))))
        start_response(f"{status.value} {status.phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return app


def _pages(exposed: Exposed, export_format: str) -> dict[str, Callable[[str], Answer]]:
    def as_text(accept: str) -> Answer:
        encode, content_type = choose_encoder(accept)
        return HTTPStatus.OK, content_type, encode(exposed.registry)

    def as_json(_accept: str) -> Answer:
        return HTTPStatus.OK, _JSON_TYPE, json.dumps(exposed.get_json_metrics(), allow_nan=False).encode()

    if export_format == "prometheus":
        return {METRICS_PATH: as_text}
    if export_format == "json":
        return {METRICS_PATH: as_json, JSON_PATH: as_json}
    return {METRICS_PATH: as_text, JSON_PATH: as_json}


def _answer(pages: dict[str, Callable[[str], Answer]], environ: WSGIEnvironment) -> Answer:
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).rstrip("/") or "/"
    page = pages.get(path) or pages.get(environ.get("PATH_INFO", ""))
    if page is None:
        known = ", ".join(pages)
        return HTTPStatus.NOT_FOUND, _TEXT_TYPE, f"Not here. Served: {known}\n".encode()
    if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
        return HTTPStatus.METHOD_NOT_ALLOWED, _TEXT_TYPE, b"Only GET and HEAD.\n"
    try:
        return page(environ.get("HTTP_ACCEPT", ""))
    except (
        StateDirectoryError
    ) as error:  # a failed scrape leaves a gap; figures without a part would be wrong
        return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT_TYPE, f"{error}\n".encode()


def accepts_gzip(header: str) -> bool:
    """Return whether an ``Accept-Encoding`` header takes gzip."""
    for part in header.lower().split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return parameters.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def flask_blueprint(app: WSGIApplication, name: str) -> Blueprint:
    """Return a blueprint that hands ``/metrics`` and ``/metrics.json`` to ``app``.

    Raises:
        MissingDependencyError: Flask is not installed.
    """
    try:
        from flask import Blueprint, Response, request  # noqa: PLC0415 - optional: only Flask users have it
    except ImportError as error:
        raise MissingDependencyError("flask_blueprint() needs Flask: pip install flask") from error
    blueprint = Blueprint(name, __name__)

    def serve() -> BaseResponse:
        # The page is known by the rule that matched: the blueprint may be mounted under a prefix.
        path = JSON_PATH if request.path.endswith(JSON_PATH) else METRICS_PATH
        return Response.from_app(app, {**request.environ, "SCRIPT_NAME": "", "PATH_INFO": path})

    for path in (METRICS_PATH, JSON_PATH):
        blueprint.add_url_rule(path, endpoint=path.strip("/").replace(".", "_"), view_func=serve)
    return blueprint

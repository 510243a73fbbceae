"""The Flask application: routes from the table of endpoints, limits, caching headers, own pages."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

import orjson
from flask import Flask, Response, g, request, send_from_directory
from pydantic import BaseModel
from werkzeug.exceptions import RequestEntityTooLarge, RequestURITooLarge

import asahi_alerts
from asahi_analytics.api import health, openapi, parameters, problems, service_metrics
from asahi_analytics.api.endpoints import ENDPOINTS, Endpoint
from asahi_analytics.api.service import Body, Service, build
from asahi_analytics.api.threads import HEALTH_PATH
from asahi_analytics.engine import stepped
from asahi_analytics.settings import Settings
from asahi_analytics.web import blueprint as overview

MAX_QUERY_BYTES: Final = 4096
MAX_BODY_BYTES: Final = 65_536
RUNBOOKS: Final = Path(asahi_alerts.__file__).with_name("runbooks")
_JSON: Final = "application/json"


def create_app(settings: Settings | None = None, *, service: Service | None = None) -> Flask:
    """Return the application for ``settings``, or over a ``service`` that is built already."""
    service = service or build(settings or Settings())
    app = Flask("asahi_analytics", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["asahi_service"] = service
    problems.install(app)
    app.before_request(_begin)
    app.after_request(_finisher(service))
    for endpoint in ENDPOINTS:
        app.add_url_rule(endpoint.path, endpoint.path, _view(service, endpoint))
    _add_own_pages(app, service, ENDPOINTS)
    app.register_blueprint(overview)
    return app


def dump(answer: BaseModel) -> bytes:
    """Return ``answer`` as JSON; NaN and infinity, which JSON lacks, as null."""
    return orjson.dumps(answer.model_dump(mode="json"), option=orjson.OPT_SERIALIZE_NUMPY)


def _view(service: Service, endpoint: Endpoint) -> Callable[[], Response]:
    def view() -> Response:
        given = parameters.read(endpoint.parameters, request.query_string)
        with service.answering():
            body = _body(service, endpoint, given)
        response = Response(body.content, mimetype=_JSON)
        response.set_etag(body.etag)
        response.headers["Cache-Control"] = (
            f"private, max-age={int(service.settings.cache.recent_ttl_seconds)}"
        )
        response.make_conditional(request)
        return response

    return view


def _body(service: Service, endpoint: Endpoint, given: parameters.Parameters) -> Body:
    """The answer as bytes: kept, in flight for somebody else, or worked out now.

    What is kept belongs to one moment of the engine's clock, so that every worker moves on at the same time; the
    moments of answers about what is long over are further apart.
    """
    stands = max(endpoint.stands_seconds, service.settings.cache.recent_ttl_seconds)
    moment = stepped(service.engine.clock, endpoint.stands_seconds)().isoformat()
    key = f"{moment} {endpoint.path}?{given.model_dump_json()}"
    kept = service.answers.get(key)
    if kept is not None:
        service.metrics.kept.labels(endpoint.path).inc()
        return kept

    def work() -> Body:
        content = dump(endpoint.handle(service, given))
        body = Body(content, hashlib.blake2b(content, digest_size=12).hexdigest())
        service.answers.put(key, body, stands, weight=len(content))
        return body

    return service.flights.do(key, work)


def _begin() -> None:
    """Note the time, and refuse what is too long before anything reads it."""
    g.started = time.perf_counter()
    if len(request.query_string) > MAX_QUERY_BYTES:
        raise RequestURITooLarge(f"the query string may have at most {MAX_QUERY_BYTES} bytes")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge(f"a body may have at most {MAX_BODY_BYTES} bytes; no endpoint reads one")


def _finisher(service: Service) -> Callable[[Response], Response]:
    def finish(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        route = request.url_rule.rule if request.url_rule else "unknown"
        started = g.get("started", time.perf_counter())
        service.metrics.observe_request(route, response.status_code, time.perf_counter() - started)
        return response

    return finish


def _add_own_pages(app: Flask, service: Service, endpoints: Sequence[Endpoint]) -> None:
    described = orjson.dumps(openapi.build(endpoints))

    def healthz() -> Response:
        return Response(dump(health.Health()), mimetype=_JSON)

    def readyz() -> Response:
        with service.answering():
            state = health.readiness(service)
        status = HTTPStatus.OK if state.ready else HTTPStatus.SERVICE_UNAVAILABLE
        response = Response(dump(state), status=status, mimetype=_JSON)
        if not state.ready:
            response.headers["Retry-After"] = str(problems.RETRY_AFTER_SECONDS)
        return response

    def metrics() -> Response:
        return Response(service.metrics.exposition(), content_type=service_metrics.CONTENT_TYPE)

    def document() -> Response:
        return Response(described, mimetype=_JSON)

    def runbook(name: str) -> Response:
        return send_from_directory(RUNBOOKS, f"{name}.md", mimetype="text/plain")

    app.add_url_rule("/runbooks/<name>.md", "/runbooks", runbook)
    app.add_url_rule(HEALTH_PATH, HEALTH_PATH, healthz)
    app.add_url_rule("/readyz", "/readyz", readyz)
    app.add_url_rule("/metrics", "/metrics", metrics)
    app.add_url_rule("/openapi.json", "/openapi.json", document)

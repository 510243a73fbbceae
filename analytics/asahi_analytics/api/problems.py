"""Errors as RFC 9457 problem documents: the one place where an exception becomes a status and a sentence."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from flask import Flask, Response, request
from pydantic import BaseModel, Field
from werkzeug.exceptions import HTTPException

from asahi_analytics.errors import (
    AnalyticsError,
    NotEnoughData,
    PrometheusAnswerInvalid,
    PrometheusRefused,
    PrometheusTimeout,
    PrometheusUnreachable,
    UnknownName,
    UserInputError,
)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 5
STATUS: Final[Mapping[type[AnalyticsError], HTTPStatus]] = {
    UserInputError: HTTPStatus.BAD_REQUEST,
    NotEnoughData: HTTPStatus.UNPROCESSABLE_ENTITY,
    PrometheusUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    PrometheusTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    PrometheusRefused: HTTPStatus.BAD_GATEWAY,
    PrometheusAnswerInvalid: HTTPStatus.BAD_GATEWAY,
}
_log = logging.getLogger(__name__)


class ParameterProblem(BaseModel):
    """What is wrong with one parameter."""

    name: str
    detail: str
    allowed: list[str] | None = Field(
        None, description="The values that may be passed, where they can be listed."
    )


class Problem(BaseModel):
    """A problem document of RFC 9457."""

    type: str = Field("about:blank", description="about:blank: the status says what kind of problem it is.")
    title: str
    status: int
    detail: str = Field(description="What went wrong and what to do, in a sentence.")
    instance: str = Field(description="The path that was asked.")
    parameters: list[ParameterProblem] | None = None


class InvalidParameters(UserInputError):  # noqa: N818  (reads better where it is raised)
    """One or more query parameters cannot be used."""

    def __init__(self, problems: Sequence[ParameterProblem]) -> None:
        """Join what is wrong with each into one sentence."""
        super().__init__("; ".join(problem.detail for problem in problems))
        self.problems = list(problems)


def document(
    status: int, detail: str, instance: str, parameters: Sequence[ParameterProblem] | None = None
) -> bytes:
    """Return the JSON of a problem."""
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=instance,
        parameters=list(parameters) if parameters else None,
        type="about:blank",
    )
    return orjson.dumps(problem.model_dump(exclude_none=True))


def install(app: Flask) -> None:
    """Answer every error of ``app`` with a problem document."""
    app.register_error_handler(AnalyticsError, _known)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unknown)


def status_of(error: AnalyticsError) -> HTTPStatus:
    """Return the HTTP status of an error of ours, by the nearest class that has one."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _known(error: AnalyticsError) -> Response:
    return _response(status_of(error), str(error), parameters=_parameters(error))


def _parameters(error: AnalyticsError) -> list[ParameterProblem] | None:
    if isinstance(error, InvalidParameters):
        return error.problems
    if isinstance(error, UserInputError) and error.parameter is not None:
        allowed = list(error.known) if isinstance(error, UnknownName) else None
        return [ParameterProblem(name=error.parameter, detail=str(error), allowed=allowed)]
    return None


def _http(error: HTTPException) -> Response:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    headers = dict(error.get_headers(request.environ))
    allow = {"Allow": headers["Allow"]} if "Allow" in headers else {}
    return _response(status, _detail(status, error), headers=allow)


def _detail(status: int, error: HTTPException) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return f"there is nothing at {request.path[:200]}; /openapi.json lists the endpoints"
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.path[:200]} answers GET and HEAD, not {request.method[:20]}"
    return error.description or HTTPStatus(status).phrase


def _unknown(error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.path, exc_info=error)
    return _response(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of the service itself; its log says more")


def _response(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    parameters: Sequence[ParameterProblem] | None = None,
) -> Response:
    extra: dict[str, Any] = {"Cache-Control": "no-store", **(headers or {})}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra["Retry-After"] = str(RETRY_AFTER_SECONDS)
    body = document(status, detail, request.path[:200], parameters)
    return Response(body, status=status, headers=extra, mimetype=MEDIA_TYPE)

"""The OpenAPI 3.1 document, generated from the table of endpoints and the pydantic models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from asahi_analytics.api import problems
from asahi_analytics.api.endpoints import Endpoint
from asahi_analytics.api.health import Health, Readiness
from asahi_analytics.api.parameters import Parameters
from asahi_analytics.release import release

REF: Final = "#/components/schemas/{model}"
_PROBLEMS: Final = {
    "400": "A parameter is unknown, given twice, or has a value that is not allowed.",
    "413": "The body is longer than 64 KiB; no endpoint reads one.",
    "414": "The query string is longer than 4 KiB, or the request line than 8190 bytes.",
    "422": "There is too little history to answer.",
    "502": "Prometheus refused the query or answered nonsense.",
    "503": "Prometheus cannot be reached; Retry-After says when to ask again.",
    "504": "Prometheus did not answer a query in time, or the time of the whole answer is spent.",
}


def build(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the document for ``endpoints`` and the service's own pages."""
    models: list[type[BaseModel]] = [
        *dict.fromkeys(endpoint.answer for endpoint in endpoints),
        problems.Problem,
        Health,
        Readiness,
    ]
    _, schemas = models_json_schema([(model, "serialization") for model in models], ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Asahi observability",
            "version": release(),
            "description": "What LLM traffic cost, what was saved, and what comes next. "
            "Money is in dollars, rates are 0-1, times are UTC; null means that there is no such number.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {**{endpoint.path: _path(endpoint) for endpoint in endpoints}, **_own_pages()},
        "components": {"schemas": schemas["$defs"]},
    }


def _path(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "get": {
            "summary": endpoint.summary,
            "operationId": endpoint.path.rpartition("/")[2].replace("-", "_"),
            "tags": ["analytics"],
            "parameters": _parameters(endpoint.parameters),
            "responses": {
                "200": _content("The answer.", endpoint.answer.__name__),
                "304": {"description": "The answer is the one whose ETag was sent in If-None-Match."},
                **{
                    code: _content(words, "Problem", problems.MEDIA_TYPE) for code, words in _PROBLEMS.items()
                },
            },
        }
    }


def _parameters(model: type[Parameters]) -> list[dict[str, Any]]:
    properties = model.model_json_schema().get("properties", {})
    return [_parameter(name, schema) for name, schema in properties.items()]


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in schema.items() if key not in {"description", "title", "examples"}}
    if "anyOf" in kept:
        kept = _without_null(kept)
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": schema.get("description", ""),
        "schema": kept,
    }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out is optional; in a query string nothing is null."""
    choices = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return {**rest, **choices[0]} if len(choices) == 1 else {**rest, "anyOf": choices}


def _content(description: str, model: str, media_type: str = "application/json") -> dict[str, Any]:
    schema = {"$ref": REF.format(model=model)}
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _own_pages() -> dict[str, Any]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/healthz": _page("Is the service alive?", {"200": _content("It is.", "Health")}),
        "/readyz": _page(
            "Can the service answer?",
            {
                "200": _content("It can.", "Readiness"),
                "503": _content("Prometheus cannot be asked.", "Readiness"),
            },
        ),
        "/metrics": _page(
            "The service's own metrics",
            {"200": {"description": "Prometheus text exposition format.", "content": text}},
        ),
    }


def _page(summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"get": {"summary": summary, "tags": ["service"], "responses": responses}}

"""What the client makes of answers that are none, of refusals and redirects, and whose connections it keeps."""

from __future__ import annotations

import orjson
import pytest

from asahi_analytics.errors import (
    PrometheusAnswerInvalid,
    PrometheusRefused,
    PrometheusTimeout,
)
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.replies import read_answer
from asahi_analytics.settings import PrometheusSettings
from asahi_analytics.transport import Reply
from support.fake_transport import success
from support.pretended_client import AT, client

INVALID = {
    "truncated": b'{"status":"success","data":{"resultType":"vector","res',
    "html": b"<html>hello</html>",
    "a list": b"[1,2]",
    "no data": b'{"status":"success"}',
    "a wrong type": b'{"status":"success","data":{"resultType":"matrix","result":[]}}',
    "a string": b'{"status":"success","data":{"resultType":"string","result":[1,"a"]}}',
    "no list": b'{"status":"success","data":{"resultType":"vector","result":{}}}',
    "no value": b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}',
    "no number": b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}}',
    "a short scalar": b'{"status":"success","data":{"resultType":"scalar","result":[1]}}',
}


@pytest.mark.parametrize("body", INVALID.values(), ids=INVALID)
def test_a_success_that_is_not_the_apis_is_invalid(body) -> None:
    with pytest.raises(PrometheusAnswerInvalid):
        client(lambda _p, _f: Reply(200, body)).query("up", AT)


def test_a_broken_series_is_invalid() -> None:
    with pytest.raises(PrometheusAnswerInvalid, match="series"):
        client(lambda _p, _f: success([{"metric": {}, "histograms": []}], "matrix")).query_raw("up[1h]", AT)


def test_a_status_page_of_another_shape_is_invalid() -> None:
    with pytest.raises(PrometheusAnswerInvalid, match="expected"):
        client(lambda _p, _f: Reply(200, b'{"status":"success","data":7}')).status("rules")


ERRORS = [
    (
        400,
        b'{"status":"error","errorType":"bad_data","error":"parse error"}',
        PrometheusRefused,
        "400 bad_data.*parse error",
    ),
    (
        422,
        b'{"status":"error","errorType":"execution","error":"many-to-many"}',
        PrometheusRefused,
        "many-to-many",
    ),
    (
        503,
        b'{"status":"error","errorType":"timeout","error":"query timed out"}',
        PrometheusTimeout,
        "timed out",
    ),
    (503, b'{"status":"error","errorType":"canceled","error":"canceled"}', PrometheusTimeout, "canceled"),
    (
        422,
        b'{"status":"error","errorType":"422","error":"cannot execute query: timeout exceeded during query execution"}',
        PrometheusTimeout,
        "cut the query off: .*during query execution",
    ),
    (
        422,
        b'{"status":"error","errorType":"422","error":"too long query"}',
        PrometheusRefused,
        r"\(422\): too long",
    ),
    (200, b'{"status":"error","errorType":"internal","error":"x"}', PrometheusRefused, "internal"),
    (401, b"no", PrometheusRefused, "check the credentials: no"),
    (403, b"", PrometheusRefused, "tenant: an empty body"),
    (404, b"404 page not found", PrometheusRefused, "path prefix"),
    (405, b"", PrometheusRefused, "prometheus.method"),
    (429, b"slow down", PrometheusRefused, "fewer queries"),
    (500, b"<html>\n<h1>Internal</h1></html>", PrometheusRefused, "answered 500: <html> <h1>"),
    (503, b"unavailable", PrometheusRefused, "503"),
    (504, b"gateway", PrometheusTimeout, "gateway"),
    (302, b"", PrometheusRefused, "redirects to nowhere"),
]


@pytest.mark.parametrize(("status", "body", "error", "words"), ERRORS)
def test_every_status_becomes_an_error_with_the_servers_words(status, body, error, words) -> None:
    with pytest.raises(error, match=words):
        read_answer(Reply(status, body), "http://p")


@pytest.mark.parametrize(
    ("cause", "error"),
    [("more than 500 series", PrometheusRefused), ("timeout exceeded during execution", PrometheusTimeout)],
)
def test_what_is_said_after_a_long_query_is_told(cause, error) -> None:
    words = f"error when executing query={'x' * 12_000}: {cause}"
    body = orjson.dumps({"status": "error", "errorType": "422", "error": words})
    with pytest.raises(error, match=f"error when executing.*: {cause}$") as told:
        read_answer(Reply(422, body), "http://p")
    assert len(str(told.value)) < 1000


def test_a_redirect_names_its_target() -> None:
    with pytest.raises(PrometheusRefused, match="redirects to http://login"):
        read_answer(Reply(307, b"", {"Location": "http://login"}), "http://p")


def test_the_explorer_keeps_our_connections_and_credentials() -> None:
    made = PrometheusClient(PrometheusSettings(url="http://p:1", tenant="t", username="u", pool_size=33))
    connect = made.explorer()
    assert connect.url == "http://p:1"
    assert connect._session.headers["X-Scope-OrgID"] == "t"
    assert connect._session.get_adapter("http://p:1/api")._pool_maxsize == 33
    connect.close()


def test_an_address_is_enough() -> None:
    assert PrometheusClient("http://p:1/prefix/").settings.url == "http://p:1/prefix"
    assert PrometheusClient().settings.url == "http://127.0.0.1:9090"

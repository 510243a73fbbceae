"""The client: what it asks, how it reads answers, what it remembers, and which error each failure becomes."""

from __future__ import annotations

import math
import re
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

import orjson
import pytest

from asahi_analytics import deadline
from asahi_analytics.errors import (
    AnswerTooLate,
    PrometheusAnswerInvalid,
    PrometheusRefused,
    PrometheusTimeout,
    UserInputError,
)
from asahi_analytics.prometheus import MAX_POINTS, PrometheusClient
from asahi_analytics.replies import PARTIAL, Sample
from asahi_analytics.settings import CacheSettings, PrometheusSettings
from asahi_analytics.transport import Reply
from support.fake_transport import FakeTransport, success
from support.pretended_client import AT, NO_CACHE, ONE, asked, client


def test_a_query_is_posted_with_its_time_to_the_millisecond_and_a_server_side_limit() -> None:
    made = client()
    made.query("up", AT)
    method, path, fields = asked(made)[0]
    assert (method, path) == ("POST", "/api/v1/query")
    assert fields == {"query": "up", "time": "1773144000.250", "nocache": "1", "timeout": "30.000"}


def test_a_vector_is_read_with_labels_values_and_warnings() -> None:
    vector = client(
        lambda _p, _f: success(ONE, warnings=["partial"], infos=["metric might not be a counter"])
    ).query("up", AT)
    assert vector.samples[0].labels == {"model": "a"}
    assert vector.samples[0].value == 2.5
    assert vector.warnings == ("partial", "metric might not be a counter")


@pytest.mark.parametrize(("partial", "warnings"), [(True, (PARTIAL,)), (False, ())])
def test_an_answer_of_victoriametrics_that_lacks_storage_is_said_to_be_partial(partial, warnings) -> None:
    made = client(lambda _p, _f: success(ONE, isPartial=partial))
    assert made.query("up", AT).warnings == warnings


@pytest.mark.parametrize(
    ("text", "check"),
    [("NaN", math.isnan), ("+Inf", lambda v: v == math.inf), ("-Inf", lambda v: v == -math.inf)],
)
def test_values_that_are_not_numbers_come_through(text, check) -> None:
    vector = client(lambda _p, _f: success([{"metric": {}, "value": [1, text]}])).query("up", AT)
    assert check(vector.samples[0].value)


def test_a_scalar_is_one_sample_without_labels() -> None:
    vector = client(lambda _p, _f: success([1.0, "7"], "scalar")).query("scalar(up)", AT)
    assert vector.samples[0].labels == {}
    assert vector.samples[0].value == 7.0


def test_an_empty_answer_has_no_samples() -> None:
    assert client(lambda _p, _f: success([])).query("up", AT).samples == ()


def test_a_range_is_read_into_arrays() -> None:
    at = AT.timestamp()
    series = [{"metric": {"a": "b"}, "values": [[at, "1"], [at + 1, "NaN"]]}]
    made = client(lambda _p, _f: success(series, "matrix"))
    matrix = made.query_range("up", AT, AT + timedelta(seconds=1), timedelta(seconds=1))
    assert matrix.series[0].times.tolist() == [at, at + 1]
    assert matrix.series[0].values[0] == 1.0
    assert math.isnan(matrix.series[0].values[1])
    assert asked(made)[0][2]["step"] == "1.000"


def test_values_are_read_as_precisely_as_python_does_whatever_labels_say():
    texts = [
        "0.1",
        "123456.78901234567",
        "1e-07",
        "1.7976931348623157e+308",
        "18446744073709551617",
        "5",
    ]
    rows = {"plain": texts, "odd": ["NaN", "+Inf", "-Inf", *texts[3:]]}
    labels = {name: {"name": name, "text": 'a"values":[[1,"2"]]b\\'} for name in rows}
    result = [
        {"metric": labels[name], "values": [[AT.timestamp() + at, text] for at, text in enumerate(row)]}
        for name, row in rows.items()
    ]
    made = client(lambda _p, _f: success(result, "matrix"))
    found = made.query_range("up", AT, AT + timedelta(seconds=6), timedelta(seconds=1)).series
    assert [series.labels for series in found] == list(labels.values())
    for series, row in zip(found, rows.values(), strict=True):
        assert [repr(value) for value in series.values.tolist()] == [repr(float(text)) for text in row]
        assert series.times.tolist() == [AT.timestamp() + at for at in range(len(row))]


def test_values_that_only_look_like_numbers_are_read_as_they_stand():
    made = client(lambda _p, _f: success([{"metric": {}, "values": [[1, "+1.5"], [2, ".5"]]}], "matrix"))
    matrix = made.query_raw("up[1h]", AT)
    assert matrix.series[0].values.tolist() == [1.5, 0.5]


def test_raw_samples_come_from_an_instant_query_of_a_range() -> None:
    made = client(lambda _p, _f: success([{"metric": {}, "values": [[1, "1"]]}], "matrix"))
    assert made.query_raw("up[1h]", AT).series[0].values.tolist() == [1.0]
    assert asked(made)[0][1] == "/api/v1/query"


def test_the_ends_of_series_that_victoriametrics_hands_out_are_no_samples() -> None:
    ended = {"metric": {"job": "a"}, "values": [[1, "1"], [2, "NaN"], [3, "2"], [4, "NaN"]]}
    nothing = {"metric": {"job": "b"}, "values": [[1, "NaN"]]}
    made = client(lambda _p, _f: success([ended, nothing], "matrix"))
    (series,) = made.query_raw("up[1h]", AT).series
    assert (series.times.tolist(), series.values.tolist()) == ([1.0, 3.0], [1.0, 2.0])


@pytest.mark.parametrize("points", [MAX_POINTS, MAX_POINTS + 1])
def test_a_range_of_too_many_points_is_refused_before_it_is_asked(points) -> None:
    made = client(lambda _p, _f: success([], "matrix"))
    end = AT + (points - 1) * timedelta(seconds=1)
    if points > MAX_POINTS:
        with pytest.raises(UserInputError, match="1 to 11000 points, not 11001"):
            made.query_range("up", AT, end, timedelta(seconds=1))
        assert asked(made) == []
    else:
        assert made.query_range("up", AT, end, timedelta(seconds=1)).series == ()


@pytest.mark.parametrize("moved_ms", [0, 1, -250, 30_000])
def test_points_of_other_moments_than_those_asked_for_are_refused(moved_ms) -> None:
    series = {"metric": {}, "values": [[AT.timestamp() + 120 + moved_ms / 1000, "1"]]}
    made = client(lambda _p, _f: success([series], "matrix"))
    step = timedelta(minutes=1)
    if moved_ms:
        with pytest.raises(PrometheusAnswerInvalid, match="60 s apart were asked for from 1773144000"):
            made.query_range("up", AT, AT + 3 * step, step)
    else:
        assert made.query_range("up", AT, AT + 3 * step, step).series[0].values.tolist() == [1.0]


def test_moments_between_two_milliseconds_are_those_that_were_asked_for() -> None:
    """Half of all moments that end in 500 microseconds round one way as a number and the other way as text."""
    served = client(
        lambda _p, fields: success([{"metric": {}, "values": [[float(fields["start"]), "1"]]}], "matrix")
    )
    for milliseconds in range(20):
        start = AT + timedelta(milliseconds=milliseconds, microseconds=500)
        assert served.query_range("up", start, start + timedelta(minutes=3), timedelta(minutes=1)).series


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(UserInputError, match="aware"):
        client().query("up", datetime(2026, 1, 1))  # noqa: DTZ001


def members(query: str) -> list[tuple[str, str]]:
    """The expressions of a union and their numbers; a query that is none is number nothing."""
    return re.findall(r'label_replace\((\w+), "asked", "(\d+)", "", ""\)', query) or [(query, "")]


def echo(_path: str, fields: dict[str, str]):
    """Answers each expression, a number, with itself, as Prometheus answers a union."""
    return success(
        [
            {"metric": {"of": "it", **({"asked": number} if number else {})}, "value": [1, expression]}
            for expression, number in reversed(members(fields["query"]))
        ]
    )


def test_several_queries_are_asked_as_one_and_answered_in_their_order() -> None:
    made = client(echo)
    answers = made.query_all(["3", "1", "2", "3"], AT)
    assert [vector.samples for vector in answers] == [
        (Sample({"of": "it"}, value),) for value in (3.0, 1.0, 2.0, 3.0)
    ]
    assert len(asked(made)) == 1
    assert made.query_all(["5"], AT)[0].samples == (Sample({"of": "it"}, 5.0),)
    assert made.query_all([], AT) == []


def test_what_was_asked_together_is_remembered_one_by_one() -> None:
    made = client(echo, cache=CacheSettings())
    made.query_all(["1", "2"], AT)
    assert made.query("2", AT).samples[0].value == 2
    assert made.query_all(["2", "7", "1"], AT)[1].samples[0].value == 7
    assert [len(members(fields["query"])) for _, _, fields in asked(made)] == [2, 1]


def test_queries_sent_in_the_address_are_not_put_together() -> None:
    made = PrometheusClient(PrometheusSettings(method="GET"), transport=FakeTransport(echo))
    assert [vector.samples[0].value for vector in made.query_all(["3", "1"], AT)] == [3, 1]
    assert len(asked(made)) == 2


def test_what_the_backend_warned_of_is_said_of_every_answer() -> None:
    made = client(lambda _p, _f: success([], warnings=["one store did not answer"]))
    assert {vector.warnings for vector in made.query_all(["1", "2"], AT)} == {("one store did not answer",)}


def test_equal_queries_in_flight_are_asked_once(monkeypatch) -> None:
    waiting, go_on = threading.Semaphore(0), threading.Event()

    class Watched(Future):
        def result(self, timeout=None):
            waiting.release()
            return super().result(timeout)

    monkeypatch.setattr("asahi_analytics.cache.Future", Watched)

    def handler(_path, _fields):
        assert go_on.wait(5)
        return success(ONE)

    made = client(handler, cache=NO_CACHE)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(made.query, "up", AT) for _ in range(4)]
        assert all(waiting.acquire(timeout=5) for _ in range(3))
        go_on.set()
        assert {future.result().samples[0].value for future in futures} == {2.5}
    assert len(asked(made)) == 1


def test_the_server_is_told_to_give_up_when_the_time_of_the_whole_answer_ends() -> None:
    made = client(cache=NO_CACHE)
    with deadline.within(12.0):
        made.query("up", AT)
        made.query_all(["a", "b"], AT)
    assert all(11 < float(fields["timeout"]) <= 12 for _, _, fields in asked(made))


def test_the_time_left_is_no_part_of_the_question() -> None:
    made = client(cache=CacheSettings(recent_ttl_seconds=60), clock=AT.timestamp)
    for seconds in (12.0, 11.0):
        with deadline.within(seconds):
            made.query("up", AT)
    assert len(asked(made)) == 1


def test_once_the_time_is_spent_nothing_more_is_asked() -> None:
    made = client()
    with deadline.arrived(time.monotonic() - 60), deadline.within(45), pytest.raises(AnswerTooLate):
        made.query("up", AT)
    assert asked(made) == []


def test_a_query_that_takes_all_the_time_is_counted_among_those_not_answered() -> None:
    heard = []

    def handler(_path, _fields):
        spent.set()
        raise PrometheusTimeout("slow")

    spent = threading.Event()
    made = client(handler, observe=lambda *what: heard.append(what[-1]))
    with deadline.within(45) as own:
        own.left = lambda: 0.0 if spent.is_set() else 45.0
        with pytest.raises(AnswerTooLate, match="answered 0 of 1 queries"):
            made.query("up", AT)
    assert heard == ["PrometheusTimeout"]


def test_a_slow_query_while_there_is_time_left_is_its_own_error() -> None:
    def handler(_path, _fields):
        raise PrometheusTimeout("slow")

    with deadline.within(45), pytest.raises(PrometheusTimeout, match="slow") as raised:
        client(handler).query("up", AT)
    assert not isinstance(raised.value, AnswerTooLate)


def test_an_answer_is_kept_until_its_time_is_over() -> None:
    made = client(cache=CacheSettings(recent_ttl_seconds=60), clock=AT.timestamp)
    made.query("up", AT)
    made.query("up", AT)
    assert len(asked(made)) == 1
    made.query("up", AT + timedelta(seconds=1))
    assert len(asked(made)) == 2
    made.clear_cache()
    made.query("up", AT)
    assert len(asked(made)) == 3


@pytest.mark.parametrize(("age_seconds", "ttl"), [(119, 5.0), (121, 300.0)])
def test_answers_about_the_past_are_kept_longer(age_seconds, ttl) -> None:
    made = client(clock=lambda: AT.timestamp() + age_seconds)
    assert made._ttl_seconds(AT) == ttl


def test_without_room_nothing_is_kept() -> None:
    made = client(cache=NO_CACHE)
    made.query("up", AT)
    made.query("up", AT)
    assert len(asked(made)) == 2


def test_an_error_is_not_kept() -> None:
    replies = iter([Reply(500, b"oops"), success(ONE)])
    made = client(lambda _p, _f: next(replies))
    with pytest.raises(PrometheusRefused):
        made.query("up", AT)
    assert made.query("up", AT).samples[0].value == 2.5


def test_every_question_is_reported_with_its_outcome() -> None:
    heard = []
    made = client(observe=lambda path, seconds, outcome: heard.append((path, seconds >= 0, outcome)))
    made.query("up", AT)
    made.query("up", AT)
    broken = client(lambda _p, _f: Reply(500, b""), observe=lambda *what: heard.append(what[2]))
    with pytest.raises(PrometheusRefused):
        broken.query("up", AT)
    assert heard == [("/api/v1/query", True, "ok"), ("/api/v1/query", True, "cached"), "PrometheusRefused"]


def test_extra_fields_go_with_every_query() -> None:
    made = client(prometheus=PrometheusSettings(params={"partial_response": "false"}))
    made.query("up", AT)
    assert asked(made)[0][2]["partial_response"] == "false"


def test_a_status_page_is_the_object_that_it_holds() -> None:
    answers = {"/api/v1/rules": {"groups": []}}
    made = client(lambda path, _f: Reply(200, orjson.dumps({"status": "success", "data": answers[path]})))
    assert made.status("rules") == {"groups": []}


def test_the_method_can_be_get_where_a_proxy_wants_it() -> None:
    made = client(prometheus=PrometheusSettings(method="GET"))
    made.query("up", AT)
    assert asked(made)[0][0] == "GET"

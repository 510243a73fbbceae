"""The HTTP API over a ledger and a pretended wire: answers, refusals, problems, caching, own pages."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import orjson
import pytest
import responses
from openapi_spec_validator import validate

from asahi_analytics.api import create_app
from asahi_analytics.api.app import MAX_BODY_BYTES, MAX_QUERY_BYTES
from asahi_analytics.api.endpoints import ENDPOINTS
from asahi_analytics.api.service import build
from asahi_analytics.composer import Trust
from asahi_analytics.errors import (
    AnalyticsError,
    NotEnoughData,
    PrometheusAnswerInvalid,
    PrometheusRefused,
    PrometheusTimeout,
    PrometheusUnreachable,
)
from asahi_analytics.settings import Settings
from asahi_analytics.transport import Reply
from support.fake_transport import FakeTransport, success
from support.ledger_composer import NOON, LedgerComposer, lookup, request

ENTRIES = [
    *request(NOON, model="gpt-4o", user="ann", cost=3.0, saved=1.0),
    *request(
        NOON - timedelta(hours=3), model="haiku", user="bob", cost=1.0, tier="1", phase="cache", saved=1.0
    ),
    *lookup(NOON, "1", hit=True),
]
PATHS = [endpoint.path for endpoint in ENDPOINTS]


def app(entries=ENTRIES, *, composer=None, settings=None, transport=None):
    made = composer or LedgerComposer(entries)
    service = build(
        settings or Settings(), composer=made, transport=transport or FakeTransport(), clock=lambda: NOON
    )
    return create_app(service=service)


@pytest.fixture
def client():
    return app().test_client()


class Failing(LedgerComposer):
    """A composer whose Prometheus does not answer."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def total(self, *_args, **_options):
        raise self.error

    totals = series = total


def problem(response) -> dict:
    assert response.mimetype == "application/problem+json"
    document = orjson.loads(response.data)
    assert document["status"] == response.status_code
    assert {"type", "title", "detail", "instance"} <= document.keys()
    return document


def test_a_breakdown_comes_as_json_with_times_in_utc(client) -> None:
    response = client.get("/analytics/cost-breakdown?group_by=user&period=week")
    assert response.status_code == 200
    answer = response.json
    assert answer["total_cost"] == 4.0
    assert answer["breakdown"] == {"ann": 3.0, "bob": 1.0}
    assert (answer["start"], answer["end"]) == ("2026-03-03T12:00:00Z", "2026-03-10T12:00:00Z")
    assert answer["trust"]["scraped_ratio"] == 1.0


def test_a_calendar_window_follows_the_configured_zone() -> None:
    made = app(settings=Settings(timezone="Asia/Tokyo")).test_client()
    answer = made.get("/analytics/cost-breakdown?window=today").json
    assert answer["start"] == "2026-03-09T15:00:00Z"
    explicit = made.get("/analytics/baseline?window=2026-03-10T09:30:00%2B00:00,2026-03-10T13:00:00Z").json
    assert (explicit["end"], explicit["actual_cost"]) == ("2026-03-10T12:00:00Z", 3.0)


def test_every_endpoint_answers_without_parameters_and_holds_what_its_model_says(client) -> None:
    for endpoint in ENDPOINTS:
        response = client.get(endpoint.path)
        assert response.status_code == 200, endpoint.path
        endpoint.answer.model_validate_json(response.data)


def test_nothing_scraped_is_two_hundred_with_a_warning_and_no_number_that_is_not() -> None:
    trust = Trust(scraped_ratio=0.0, warnings=["nothing was ever scraped"])
    made = app(composer=LedgerComposer([], trust)).test_client()
    for path in PATHS:
        response = made.get(path)
        assert response.status_code == 200
        assert b"NaN" not in response.data
    assert made.get("/analytics/cost-breakdown").json["trust"]["warnings"] == ["nothing was ever scraped"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("group_by=planet", "group_by must be one of model, task_type, user, tier; got 'planet'"),
        ("group_by=", "group_by must be one of"),
        ("period=year", "period must be one of hour, day, week, month; got 'year'"),
        ("planet=mars", "'planet' is not a parameter here; allowed: group_by, period, window"),
        ("period=day&period=week", "period may be given once only"),
        ("period=day&window=today", "give period or window, not both"),
        ("window=tomorrow", "today, yesterday, month-to-date, last-month"),
        ("window=" + "x" * 200, "window must be"),
        (
            "window=2026-03-11T00:00:00Z,2026-03-12T00:00:00Z",
            "start must be in the past; got 2026-03-11T00:00:00Z, and now is 2026-03-10T12:00:00Z",
        ),
        ("group_by=%FF", "must be UTF-8"),
        ("&".join(f"a{number}=1" for number in range(60)), "at most 50 parameters"),
    ],
)
def test_parameters_that_cannot_be_used_are_explained(client, query, words) -> None:
    response = client.get(f"/analytics/cost-breakdown?{query}")
    assert response.status_code == 400
    assert words in problem(response)["detail"]


@pytest.mark.parametrize(
    "window", ["tomorrow", "2026-03-11T00:00:00Z,2026-03-12T00:00:00Z", "2026-03-01,2026-03-02"]
)
def test_a_window_that_cannot_be_used_is_named_as_the_parameter(client, window) -> None:
    document = problem(client.get(f"/analytics/cost-breakdown?window={window}"))
    assert document["parameters"] == [{"name": "window", "detail": document["detail"]}]


@pytest.mark.parametrize(
    ("question", "parameter"),
    [
        ("trends?period=month&intervals=123", "intervals"),
        ("forecast?name=ann", "name"),
        ("baseline?baseline_model=unheard-of", "baseline_model"),
    ],
)
def test_a_parameter_that_only_the_engine_refuses_is_named_as_well(client, question, parameter) -> None:
    document = problem(client.get(f"/analytics/{question}"))
    assert document["status"] == 400
    assert document["parameters"] == [{"name": parameter, "detail": document["detail"]}]


def test_a_problem_lists_each_parameter_with_what_is_allowed(client) -> None:
    document = problem(client.get("/analytics/trends?metric=up&intervals=many"))
    metric, intervals = document["parameters"]
    assert metric["name"] == "metric"
    assert "latency_p95" in metric["allowed"]
    assert intervals == {
        "name": "intervals",
        "detail": "intervals must be a whole number from 1 to 1000; got 'many'",
    }


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("monthly_budget=-5", "monthly_budget must be a number from 0.01 to 1000000000000; got '-5'"),
        ("monthly_budget=1e400", "monthly_budget must be a number from 0.01 to 1000000000000; got '1e400'"),
        ("confidence=2", "confidence must be a number between 0 and 1, neither included; got '2'"),
    ],
)
def test_what_a_number_must_be_is_said_in_words(client, query, detail) -> None:
    assert problem(client.get(f"/analytics/forecast?{query}"))["detail"] == detail


@pytest.mark.parametrize(
    ("value", "status"), [("1", 200), ("1000", 200), ("0", 400), ("1001", 400), ("1.5", 400)]
)
def test_limits_hold_on_both_sides(client, value, status) -> None:
    assert client.get(f"/analytics/top-cost-drivers?limit={value}").status_code == status


def test_an_endpoint_without_such_a_parameter_says_so(client) -> None:
    document = problem(client.get("/analytics/latency-percentiles?group_by=model"))
    assert "allowed: period, window" in document["detail"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PrometheusUnreachable("no connection"), 503),
        (PrometheusTimeout("too slow"), 504),
        (PrometheusRefused("parse error"), 502),
        (PrometheusAnswerInvalid("not JSON"), 502),
        (NotEnoughData("3 days"), 422),
        (AnalyticsError("something else"), 500),
    ],
)
def test_what_prometheus_does_not_give_becomes_a_problem(tmp_path, error, status) -> None:
    file = tmp_path / "budgets.yml"
    file.write_text("budgets: [{monthly_dollars: 10}]\n")
    made = app(composer=Failing(error), settings=Settings(budgets_file=file)).test_client()
    for path in PATHS:
        response = made.get(path)
        assert response.status_code == status
        assert problem(response)["detail"] == str(error)
        assert (response.headers.get("Retry-After") == "5") is (status == 503)
        assert response.headers["Cache-Control"] == "no-store"


def test_a_fault_of_ours_shows_no_trace(caplog) -> None:
    response = app(composer=Failing(ZeroDivisionError("secret detail"))).test_client().get(PATHS[0])
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert "ZeroDivisionError" in caplog.text


def test_paths_methods_and_sizes_that_are_not_allowed_are_problems(client) -> None:
    assert "/openapi.json" in problem(client.get("/analytics/nothing"))["detail"]
    refused = client.post("/analytics/trends")
    assert problem(refused)["status"] == 405
    assert "GET" in refused.headers["Allow"]
    assert problem(client.get("/healthz", data=b"x" * (MAX_BODY_BYTES + 1)))["status"] == 413
    assert client.get("/healthz", data=b"x" * MAX_BODY_BYTES).status_code == 200
    assert problem(client.get("/healthz?" + "x" * (MAX_QUERY_BYTES + 1)))["status"] == 414
    assert client.get("/healthz?" + "x" * MAX_QUERY_BYTES).status_code == 200


def test_head_is_answered_like_get_without_a_body(client) -> None:
    response = client.head("/analytics/cost-breakdown")
    assert (response.status_code, response.data) == (200, b"")


def test_an_unchanged_answer_is_not_sent_again(client) -> None:
    first = client.get("/analytics/cost-breakdown")
    assert first.headers["Cache-Control"] == "private, max-age=5"
    again = client.get("/analytics/cost-breakdown", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    other = client.get("/analytics/cost-breakdown?period=week")
    assert other.headers["ETag"] != first.headers["ETag"]


def test_an_answer_is_worked_out_once_per_step_of_the_clock() -> None:
    composer = LedgerComposer(ENTRIES)
    made = app(composer=composer).test_client()
    first = made.get("/analytics/baseline?period=day").data
    asked = len(composer.asked)
    assert made.get("/analytics/baseline").data == first
    assert len(composer.asked) == asked
    assert b'kept_total{endpoint="/analytics/baseline"} 1.0' in made.get("/metrics").data


def test_without_a_cache_every_request_is_worked_out() -> None:
    composer = LedgerComposer(ENTRIES)
    settings = Settings.model_validate({"cache": {"recent_ttl_seconds": 0}})
    made = app(composer=composer, settings=settings).test_client()
    made.get("/analytics/baseline")
    asked = len(composer.asked)
    made.get("/analytics/baseline")
    assert len(composer.asked) == 2 * asked


def test_equal_requests_at_the_same_time_share_one_answer(monkeypatch) -> None:
    waiting, go_on = threading.Semaphore(0), threading.Event()

    class Watched(Future):
        def result(self, timeout=None):
            waiting.release()
            return super().result(timeout)

    class Slow(LedgerComposer):
        def totals(self, asks):
            assert go_on.wait(5)
            return super().totals(asks)

    monkeypatch.setattr("asahi_analytics.cache.Future", Watched)
    composer = Slow(ENTRIES)
    made = app(composer=composer)
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(made.test_client().get, "/analytics/cost-breakdown") for _ in range(3)]
        assert all(waiting.acquire(timeout=5) for _ in range(2))
        go_on.set()
        assert len({future.result().data for future in futures}) == 1
    families = [ask.family for ask in composer.asked]
    assert len(families) == len(set(families))


def test_own_pages(client) -> None:
    assert client.get("/healthz").json == {"status": "ok"}
    with client.get("/") as page:
        assert page.mimetype == "text/html"
    metrics = client.get("/metrics")
    assert metrics.content_type.startswith("text/plain; version=")
    assert 'asahi_service_requests_total{endpoint="/healthz",status="200"} 1.0' in metrics.text


def test_metrics_never_carry_what_a_caller_made_up(client) -> None:
    client.get("/made/up/by/a/caller")
    text = client.get("/metrics").text
    assert "made/up" not in text
    assert 'endpoint="unknown",status="404"' in text


@pytest.mark.parametrize(
    ("rules_query", "status", "rules"),
    [
        (success([{"metric": {}, "value": [1, "1"]}]), 200, "ok"),
        (success([]), 200, "missing"),
        (Reply(503, b"starting"), 503, "unknown"),
    ],
)
def test_readiness_tells_of_prometheus_and_the_rules(rules_query, status, rules) -> None:
    def answer(_path, fields):
        return rules_query if "asahi:requests:state[600s]" in fields["query"] else success([])

    response = app(transport=FakeTransport(answer)).test_client().get("/readyz")
    assert response.status_code == status
    assert response.json["rules"] == rules
    assert response.json["ready"] is (status == 200)
    assert (response.headers.get("Retry-After") == "5") is (status == 503)


@responses.activate
def test_questions_to_prometheus_are_measured() -> None:
    responses.post(
        "https://p.test/api/v1/query",
        json={"status": "success", "data": {"resultType": "vector", "result": []}},
    )
    service = build(
        Settings.model_validate({"prometheus": {"url": "https://p.test"}}), composer=LedgerComposer()
    )
    made = create_app(service=service).test_client()
    made.get("/readyz")
    text = made.get("/metrics").text
    assert 'asahi_service_prometheus_queries_total{api="query",outcome="ok"} 2.0' in text
    assert 'asahi_service_prometheus_duration_seconds_count{api="query"} 2.0' in text


def test_the_document_describes_every_endpoint_and_is_valid(client) -> None:
    document = client.get("/openapi.json").json
    validate(document)
    assert document["openapi"].startswith("3.1")
    routes = {
        rule.rule for rule in client.application.url_map.iter_rules() if rule.rule.startswith("/analytics")
    }
    assert routes == {path for path in document["paths"] if path.startswith("/analytics")}
    assert {"/healthz", "/readyz", "/metrics"} <= document["paths"].keys()


def test_the_document_tells_enumerations_limits_and_defaults(client) -> None:
    paths = client.get("/openapi.json").json["paths"]
    trends = {each["name"]: each["schema"] for each in paths["/analytics/trends"]["get"]["parameters"]}
    assert trends["intervals"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 30}
    assert "latency_p95" in trends["metric"]["enum"]
    baseline = {each["name"]: each["schema"] for each in paths["/analytics/baseline"]["get"]["parameters"]}
    assert baseline["group_by"]["enum"] == ["model", "task_type", "user", "tier"]
    assert all(
        "503" in operation["get"]["responses"] for path, operation in paths.items() if "analytics" in path
    )


def test_another_baseline_model_is_priced_from_the_price_file(client) -> None:
    recorded = client.get("/analytics/baseline").json
    assert (recorded["basis"], recorded["baseline_model"], recorded["baseline_cost"]) == (
        "recorded",
        "gpt-4",
        6.0,
    )
    priced = client.get("/analytics/baseline?baseline_model=GPT-4&group_by=user").json
    assert priced["basis"] == "list_prices"
    assert priced["baseline_cost"] == pytest.approx(200 * 30 / 1e6)
    assert priced["actual_cost"] + priced["savings"] == priced["baseline_cost"]
    refused = problem(client.get("/analytics/baseline?baseline_model=no-such-model"))
    assert refused["status"] == 400
    assert "'no-such-model'" in refused["detail"]


def test_a_monthly_budget_is_judged_beside_the_forecast(client) -> None:
    answer = client.get("/analytics/forecast?monthly_budget=100").json
    assert answer["budget_risk"]["budget"] == 100.0
    assert answer["budget_risk"]["spent"] == 4.0
    assert client.get("/analytics/forecast").json["budget_risk"] is None
    by_name = client.get("/analytics/forecast?monthly_budget=2&group_by=user&name=ann").json["budget_risk"]
    assert (by_name["spent"], by_name["status"]) == (3.0, "exhausted")


@pytest.mark.parametrize("more", ["", "&monthly_budget=5"])
def test_a_forecast_of_a_name_that_there_is_not_lists_those_there_are(client, more) -> None:
    document = problem(client.get(f"/analytics/forecast?group_by=user&name=nobody{more}"))
    assert document["status"] == 400
    assert (
        document["detail"]
        == "name must be one of ann, bob (users counted in the last 120 days); got 'nobody'"
    )
    assert document["parameters"] == [
        {"name": "name", "detail": document["detail"], "allowed": ["ann", "bob"]}
    ]


@pytest.mark.parametrize("value", ["0", "-1", "nan", "much", "1e13", "1e-300", "5e-324"])
def test_a_budget_that_is_no_amount_is_refused(client, value) -> None:
    assert (
        "monthly_budget must be"
        in problem(client.get(f"/analytics/forecast?monthly_budget={value}"))["detail"]
    )


def test_the_budgets_of_the_file_are_answered(tmp_path) -> None:
    file = tmp_path / "budgets.yml"
    file.write_text("budgets: [{model: gpt-4o, monthly_dollars: 10}]\n")
    made = app(settings=Settings(budgets_file=file)).test_client()
    (budget,) = made.get("/analytics/budgets").json["budgets"]
    assert (budget["name"], budget["spent"]) == ("gpt-4o", 3.0)
    assert app().test_client().get("/analytics/budgets").json == {"budgets": []}

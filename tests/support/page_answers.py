"""What a service could answer the page, and how a page in the browser gets it."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from support import answers

HOSTILE = '<img src=x onerror="window.hacked=1">'
LONG = "a-model-name-that-never-ends-" * 20


def full(endpoint, asked):
    """A service with plenty to say."""
    names = {"model": ["gpt-4o", HOSTILE, LONG], "tier": ["none", "1"]}.get(asked.get("group_by"), ["a", "b"])
    return {
        "cost-breakdown": answers.cost_breakdown(dict(zip(names, (70.0, 29.996, 0.004), strict=False))),
        "trends": answers.trend([1.0, None, 0.0, 5.0] * 6),
        "baseline": answers.baseline(100.0, {"routing": 30.0, "cache_tier_1": 10.0}),
        "cache-performance": answers.cache_performance({"1": 0.3, "2": 0.0004, "3": None}),
        "latency-percentiles": answers.latency_percentiles([900.0, 1200.0, 2400.0, 3600.0, 12_000.0]),
        "forecast": answers.forecast(3000.0, warning="Five days of history are missing."),
        "budgets": answers.budget_report(
            answers.budget(HOSTILE),
            answers.budget("calm", **{**answers.LASTING, "overrun_probability": 0.0}),
            answers.budget(LONG, **answers.SPENT),
            answers.budget("new", **answers.UNKNOWN),
        ),
        "anomalies": answers.anomaly_report(f"Three times as dear: {HOSTILE}", "Dear once more."),
        "recommendations": answers.recommendations("Route more to gpt-4o-mini"),
    }[endpoint]


def without_requests(trust):
    """A service that never saw a request, and how far that can be trusted."""

    def service(endpoint, _):
        return {
            "cost-breakdown": answers.cost_breakdown({}, trust=trust, requests=0.0),
            "trends": answers.trend([None] * 24, trust=trust),
            "baseline": answers.baseline(0.0, {}, trust=trust),
            "cache-performance": answers.cache_performance(
                {"1": None}, look_ups=0.0, served=0.0, trust=trust
            ),
            "latency-percentiles": answers.latency_percentiles([None] * 5, requests=0.0, trust=trust),
            "forecast": answers.forecast(None, folds=0, trust=trust),
            "budgets": answers.budget_report(),
            "anomalies": answers.anomaly_report(trust=trust),
            "recommendations": answers.recommendations(),
        }[endpoint]

    return service


def answer_with(overview, service):
    """Let ``service`` answer every question of the page; returns the questions asked so far."""
    asked = []

    def fulfil(route):
        address = urlsplit(route.request.url)
        parameters = {key: values[0] for key, values in parse_qs(address.query).items()}
        endpoint = address.path.removeprefix("/analytics/")
        asked.append((endpoint, parameters))
        answer = service(endpoint, parameters)
        body = answer if isinstance(answer, dict) else answer.model_dump(mode="json")
        status = body.get("status", 200)
        route.fulfill(status=status, json=body)

    overview.page.route("**/analytics/**", fulfil)
    return asked

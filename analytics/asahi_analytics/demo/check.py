"""Asks everything that the demo has brought up, once, and says whether each answer holds data."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from asahi_analytics.demo.stack import Stack
from asahi_exporter.conventions import REQUESTS

TIMEOUT_SECONDS: Final = 120.0
PATIENCE_SECONDS: Final = 120.0
"""For what takes a scrape or an evaluation to be there."""
DATA: Final[Mapping[str, tuple[str, ...]]] = {
    "/analytics/cost-breakdown?period=month&group_by=model": ("total_cost", "breakdown"),
    "/analytics/cost-breakdown?period=month&group_by=task_type": ("total_cost", "breakdown"),
    "/analytics/cost-breakdown?period=month&group_by=user": ("total_cost", "breakdown"),
    "/analytics/cost-breakdown?period=hour&group_by=tier": ("breakdown",),
    "/analytics/trends?metric=cost&period=day&intervals=30": ("points",),
    "/analytics/forecast?horizon_days=30&confidence=0.95&monthly_budget=45000": ("predicted_cost",),
    "/analytics/budgets": ("budgets",),
    "/analytics/anomalies": ("anomalies",),
    "/analytics/recommendations": ("recommendations",),
    "/analytics/baseline": ("baseline_cost", "savings"),
    "/analytics/top-cost-drivers": ("drivers",),
    "/analytics/cache-performance": ("overall_hit_rate",),
    "/analytics/latency-percentiles": ("p50", "p99"),
}
"""Address below the service, and the fields of its answer that must not be empty."""
NEEDS: Final[Mapping[str, tuple[str, str]]] = {
    "/analytics/forecast": ("3d", "nothing yet: a forecast needs two whole days of history"),
    "/analytics/anomalies": (
        "12h",
        "none: anomalies need six hours of history, and the demo's come in the last twelve",
    ),
}
"""What may be empty while the demo's history does not reach so far back, and why it is."""
PLAIN: Final = ("/", "/healthz", "/readyz", "/metrics", "/openapi.json")


@dataclass(frozen=True)
class Finding:
    """One thing that was asked: how it ended, in a few words, and in how many milliseconds."""

    name: str
    ok: bool
    words: str
    milliseconds: float


def check_all(up: Stack) -> Iterator[Finding]:
    """Ask the service's endpoints, Prometheus' targets, rules and totals, and Alertmanager."""
    yield _finding("Prometheus targets are up", partial(_wait, partial(_targets_up, up)))
    yield _finding("Prometheus rules are healthy", partial(_wait, partial(_rules_healthy, up)))
    yield _finding("Alertmanager answers", partial(_size, f"{up.alertmanager.url}/api/v2/status"))
    for path in PLAIN:
        yield _finding(path, partial(_size, up.service.url + path))
    for path, fields in DATA.items():
        yield _finding(path, partial(_wait, partial(_filled, up, path, fields)))


def _finding(name: str, ask: Callable[[], str]) -> Finding:
    started = time.monotonic()
    try:
        words, ok = ask(), True
    except urllib.error.HTTPError as error:
        words, ok = f"status {error.code}: {error.read(300).decode(errors='replace')}", False
    except (OSError, ValueError, LookupError) as error:
        words, ok = str(error), False
    return Finding(name, ok, words, (time.monotonic() - started) * 1000.0)


def _wait(ask: Callable[[], str]) -> str:
    """Ask until there is data, as long as ``PATIENCE_SECONDS`` allow; a refusal is not waited for."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except LookupError:
            if time.monotonic() > deadline:
                raise
            time.sleep(2.0)


def _body(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  (always http://127.0.0.1)
        return bytes(answer.read())


def _size(url: str) -> str:
    return f"{len(_body(url)):,} bytes"


def _json(url: str) -> Any:
    return json.loads(_body(url))


def _filled(up: Stack, path: str, fields: tuple[str, ...]) -> str:
    answer = _json(up.service.url + path)
    empty = [field for field in fields if not answer.get(field)]
    if empty:
        reach, why = NEEDS.get(path.partition("?")[0], (None, ""))
        if reach is None or _reaches_back(up, reach):
            raise LookupError(f"{empty[0]} is empty")
        return why
    return f"{fields[0]}: {_shown(fields[0], answer[fields[0]])}"


def _shown(field: str, value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{len(value)} entries"
    return f"${value:,.2f}" if field.endswith("_cost") else f"{value:,.4g}"


def _reaches_back(up: Stack, reach: str) -> bool:
    """Tell whether Prometheus has requests from as long ago as ``reach``, a duration of PromQL."""
    query = urllib.parse.urlencode({"query": f"count(last_over_time({REQUESTS.name}[1h] offset {reach}))"})
    return bool(_json(f"{up.prometheus.url}/api/v1/query?{query}")["data"]["result"])


def _targets_up(up: Stack) -> str:
    targets = _json(f"{up.prometheus.url}/api/v1/targets?state=active")["data"]["activeTargets"]
    down = [target["labels"]["job"] for target in targets if target["health"] != "up"]
    if down or not targets:
        raise LookupError(f"not up: {', '.join(down) or 'there are no targets'}")
    return f"{len(targets)} targets"


def _rules_healthy(up: Stack) -> str:
    groups = _json(f"{up.prometheus.url}/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    failing = [rule for rule in rules if rule["health"] == "err"]
    if failing or not any(rule["health"] == "ok" for rule in rules):
        first = (failing or rules)[0]
        raise LookupError(
            f"{len(failing)} of {len(rules)} rules fail: {first['name']} {first.get('lastError', '')}"
        )
    return f"{len(rules)} rules in {len(groups)} groups"

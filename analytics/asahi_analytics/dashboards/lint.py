"""The rules of grafana/dashboard-linter (its README lists them), with one exclusion: totals that
recording rules keep have no job or instance to match.

Each rule is a generator of sentences; a dashboard is clean when none is produced. The two LogQL rules come
down to one: no panel asks anything but Prometheus.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from asahi_analytics.dashboards.grafana import DATASOURCE, Json
from asahi_analytics.dashboards.queries import RECORDED_PREFIX, names_of

VALID_UNITS: Final = frozenset(
    [
        "none",
        "short",
        "percent",
        "percentunit",
        "currencyUSD",
        "bytes",
        "ms",
        "s",
        "reqps",
        "ops",
        "cps",
        "dateTimeAsIso",
        "dateTimeFromNow",
        "bool",
    ]
)
"""Those of Grafana's units that suit what we measure; a new one is added here on purpose."""
_RATE_FUNCTIONS: Final = ("rate", "irate", "increase")
_COUNTER_ENDINGS: Final = ("_total", "_bucket", "_count", "_sum")
_VARIABLE_QUERY: Final = re.compile(r"label_values\((?P<selector>[^,]+(?:\{.*\})?), (?P<label>\w+)\)")


def _variables(dashboard: Json) -> Mapping[str, Json]:
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def _targets(dashboard: Json) -> Iterator[tuple[Json, Json]]:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel, target


def template_datasource(dashboard: Json) -> Iterator[str]:
    """One data source variable, named ``datasource`` and labelled "Data source"."""
    found = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]
    named = [(each["name"], each["label"], each["query"]) for each in found]
    if named != [("datasource", "Data source", "prometheus")]:
        yield f"the data source variables are {named}"


def template_job_and_instance(dashboard: Json) -> Iterator[str]:
    """The variables ``job`` and ``instance`` exist: labelled by name, multi-select, all is ``.+``."""
    for name in ("job", "instance"):
        variable = _variables(dashboard).get(name)
        if variable is None:
            yield f"variable {name} is missing"
            continue
        wanted = {"type": "query", "label": name, "multi": True, "allValue": ".+", "datasource": DATASOURCE}
        for key, value in wanted.items():
            if variable[key] != value:
                yield f"variable {name} has {key} {variable[key]!r} instead of {value!r}"


def template_label_promql(dashboard: Json) -> Iterator[str]:
    """A query variable asks ``label_values(selector, label)`` of exactly one selector."""
    for name, variable in _variables(dashboard).items():
        if variable["type"] != "query":
            continue
        match = _VARIABLE_QUERY.fullmatch(variable["query"])
        if match is None or len(names_of(match["selector"]).selectors) != 1:
            yield f"variable {name} asks {variable['query']!r}"


def template_on_time_change_reload(dashboard: Json) -> Iterator[str]:
    """A query variable is asked again when the time range changes."""
    for name, variable in _variables(dashboard).items():
        if variable["type"] == "query" and variable["refresh"] != 2:
            yield f"variable {name} has refresh {variable['refresh']}"


def panel_datasource(dashboard: Json) -> Iterator[str]:
    """A panel asks the data source that the variable chose, and so does each of its queries."""
    for panel in dashboard["panels"]:
        asked = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        if any(source != DATASOURCE for source in asked):
            yield f"panel {panel['title']!r} asks {asked}"


def panel_title_description(dashboard: Json) -> Iterator[str]:
    """A panel has a title and a description."""
    for panel in dashboard["panels"]:
        if not (panel["title"].strip() and panel["description"].strip()):
            yield f"panel {panel['id']} lacks a title or a description"


def panel_units(dashboard: Json) -> Iterator[str]:
    """A panel has a unit that Grafana knows."""
    for panel in dashboard["panels"]:
        if (unit := panel["fieldConfig"]["defaults"].get("unit")) not in VALID_UNITS:
            yield f"panel {panel['title']!r} has the unit {unit!r}"


def panel_no_targets(dashboard: Json) -> Iterator[str]:
    """A panel has at least one query."""
    for panel in dashboard["panels"]:
        if not panel["targets"]:
            yield f"panel {panel['title']!r} has no query"


def target_is_promql(dashboard: Json) -> Iterator[str]:
    """A query is PromQL that names a metric and closes its brackets; nothing asks Loki."""
    for panel, target in _targets(dashboard):
        expression = target["expr"]
        balanced = all(
            expression.count(left) == expression.count(right) for left, right in ("()", "[]", "{}")
        )
        if not (balanced and names_of(expression).selectors) or target["datasource"]["type"] != "prometheus":
            yield f"panel {panel['title']!r} asks {expression!r}"


def target_rate_interval(dashboard: Json) -> Iterator[str]:
    """``rate`` and ``irate`` are taken over ``$__rate_interval``."""
    for panel, target in _targets(dashboard):
        for selector in names_of(target["expr"]).selectors:
            if selector.call in ("rate", "irate") and selector.range_text != "$__rate_interval":
                yield f"panel {panel['title']!r} takes {selector.call} over {selector.range_text}"


def target_job_and_instance(dashboard: Json) -> Iterator[str]:
    """Every selector is narrowed to the chosen jobs and instances; recorded totals, which have none, are exempt."""
    for panel, target in _targets(dashboard):
        for selector in names_of(target["expr"]).selectors:
            if selector.metric.startswith(RECORDED_PREFIX):
                continue
            for matcher in ('job=~"$job"', 'instance=~"$instance"'):
                if matcher not in selector.matchers:
                    yield f"panel {panel['title']!r} asks {selector.metric} without {matcher}"


def target_counter_agg(dashboard: Json) -> Iterator[str]:
    """A counter stands inside ``rate``, ``irate`` or ``increase``."""
    for panel, target in _targets(dashboard):
        for selector in names_of(target["expr"]).selectors:
            is_counter = selector.metric.endswith(_COUNTER_ENDINGS)
            if is_counter and not (selector.call in _RATE_FUNCTIONS and selector.range_text):
                yield f"panel {panel['title']!r} reads the counter {selector.metric} as it is"


def uneditable_dashboard(dashboard: Json) -> Iterator[str]:
    """The dashboard cannot be edited in place."""
    if dashboard["editable"] is not False:
        yield "the dashboard is editable"


def importable(dashboard: Json) -> Iterator[str]:
    """The file imports by hand: no inputs to fill in, no id of one server, a uid, distinct panel ids."""
    if "__inputs" in dashboard or dashboard["id"] is not None or not dashboard["uid"]:
        yield "the dashboard has inputs, an id, or no uid"
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        yield f"panel ids repeat: {ids}"


RULES: Final[tuple[Callable[[Json], Iterator[str]], ...]] = (
    template_datasource,
    template_job_and_instance,
    template_label_promql,
    template_on_time_change_reload,
    panel_datasource,
    panel_title_description,
    panel_units,
    panel_no_targets,
    target_is_promql,
    target_rate_interval,
    target_job_and_instance,
    target_counter_agg,
    uneditable_dashboard,
    importable,
)


def lint(dashboard: Json) -> list[str]:
    """Return one sentence for each breach of a rule, with the rule's name; empty for a clean dashboard."""
    title = dashboard["title"]
    return [f"{title}: {rule.__name__}: {problem}" for rule in RULES for problem in rule(dashboard)]

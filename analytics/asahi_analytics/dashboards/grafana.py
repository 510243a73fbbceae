"""The parts of Grafana's dashboard JSON that we use, as small functions that return plain dictionaries.

The JSON keeps to what Grafana 10 to 12 read (schema version 39): one data source variable, no ``__inputs``,
no plug-in versions, so that the same file is provisioned and imported by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from asahi_exporter import conventions as names

Json = dict[str, Any]

SCHEMA_VERSION: Final = 39
MIN_STEP_SECONDS: Final = 60
"""The longest scrape interval that the panels work with; Grafana derives ``$__rate_interval`` from it."""
DATASOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}
JOB_AND_INSTANCE: Final = 'job=~"$job", instance=~"$instance"'
DOLLARS: Final = "currencyUSD"
RATIO: Final = "percentunit"
MILLISECONDS: Final = "ms"
REQUESTS_PER_SECOND: Final = "reqps"
COUNT: Final = "short"


@dataclass(frozen=True)
class Place:
    """Where a panel lies on the grid: column, row, width and height in grid units."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Caption:
    """What a panel says about itself: its title, what is shown and how far to trust it, and the unit."""

    title: str
    description: str
    unit: str


def scraped(sample_name: str, matchers: str = "") -> str:
    """Return the selector of a scraped metric, narrowed to the chosen jobs and instances."""
    extra = f", {matchers}" if matchers else ""
    return f"{sample_name}{{{JOB_AND_INSTANCE}{extra}}}"


def target(
    ref_id: str,
    expression: str,
    legend: str = "",
    *,
    instant: bool = False,
    result_format: Literal["time_series", "table", "heatmap"] = "time_series",
    min_step_seconds: int = MIN_STEP_SECONDS,
) -> Json:
    """Return one query of a panel; an instant one is evaluated once, at the end of the panel's time range."""
    return {
        "refId": ref_id,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expression,
        "legendFormat": legend or "__auto",
        "format": result_format,
        "interval": f"{min_step_seconds}s",
        "instant": instant,
        "range": not instant,
    }


def panel(
    kind: str,
    caption: Caption,
    place: Place,
    targets: Sequence[Json],
    *,
    options: Json | None = None,
    custom: Json | None = None,
    defaults: Json | None = None,
    overrides: Sequence[Json] = (),
    **extra: object,
) -> Json:
    """Return one panel of type ``kind``; ``custom`` and ``defaults`` go to its field configuration."""
    return {
        "type": kind,
        "title": caption.title,
        "description": caption.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": place.x, "y": place.y, "w": place.width, "h": place.height},
        "fieldConfig": {
            "defaults": {"unit": caption.unit, "custom": custom or {}, **(defaults or {})},
            "overrides": list(overrides),
        },
        "options": options or {},
        "targets": list(targets),
        **extra,
    }


def stat(caption: Caption, place: Place, targets: Sequence[Json], **extra: Any) -> Json:
    """Return a panel that shows the last value of each query as a figure."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
    }
    return panel("stat", caption, place, targets, options=options, **extra)


def time_series(
    caption: Caption,
    place: Place,
    targets: Sequence[Json],
    *,
    stacked: bool = False,
    axis_label: str = "",
    bars: bool = False,
    defaults: Json | None = None,
    overrides: Sequence[Json] = (),
    calcs: Sequence[str] = ("mean", "max"),
) -> Json:
    """Return a line chart with a table legend of ``calcs`` over its time; ``stacked`` areas add up to the whole.

    ``bars`` are for what was counted in each step; a bar ends where its value stands in time.
    """
    custom = {
        "drawStyle": "bars" if bars else "line",
        "barAlignment": -1,
        "barWidthFactor": 0.9,
        "lineInterpolation": "linear",
        "lineWidth": 0 if bars else 1,
        "fillOpacity": 80 if bars else 30 if stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "axisLabel": axis_label,
    }
    options = {
        "legend": {
            "displayMode": "table",
            "placement": "right",
            "showLegend": True,
            "calcs": list(calcs),
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel(
        "timeseries",
        caption,
        place,
        targets,
        options=options,
        custom=custom,
        defaults={"min": 0, **(defaults or {})},
        overrides=overrides,
    )


def pie(caption: Caption, place: Place, targets: Sequence[Json]) -> Json:
    """Return a pie whose slices are the last values of the series, with their values in the legend."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "pieType": "donut",
        "displayLabels": ["name", "value"],
        "legend": {"displayMode": "table", "placement": "right", "showLegend": True, "values": ["value"]},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return panel("piechart", caption, place, targets, options=options)


def bar_chart(caption: Caption, place: Place, targets: Sequence[Json], *, category: str) -> Json:
    """Return horizontal bars, one for each value of the label ``category`` of an instant table query."""
    options = {
        "xField": category,
        "orientation": "horizontal",
        "stacking": "none",
        "showValue": "auto",
        "barWidth": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    transformations = [{"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": {}}}]
    return panel(
        "barchart",
        caption,
        place,
        targets,
        options=options,
        custom={"fillOpacity": 80},
        defaults={"min": 0},
        transformations=transformations,
    )


def heatmap(caption: Caption, place: Place, targets: Sequence[Json]) -> Json:
    """Return a heatmap of histogram buckets over time; the unit is that of the bucket bounds."""
    options = {
        "calculate": False,
        "cellGap": 0,
        "cellValues": {"unit": COUNT},
        "color": {"mode": "scheme", "scheme": "Blues", "scale": "exponential", "exponent": 0.5, "steps": 64},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "showColorScale": True, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": caption.unit},
    }
    return panel("heatmap", caption, place, targets, options=options)


def datasource_variable() -> Json:
    """Return the one variable that chooses the Prometheus to ask."""
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }


def label_variable(metric: names.Metric, label: str, matchers: str = "") -> Json:
    """Return a multi-select variable over the values of ``label``, reloaded when the time range changes."""
    selector = metric.name + (f"{{{matchers}}}" if matchers else "")
    return {
        "type": "query",
        "name": label,
        "label": label,
        "datasource": DATASOURCE,
        "query": f"label_values({selector}, {label})",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "allValue": ".+",
        "includeAll": True,
        "multi": True,
        "hide": 0,
        "options": [],
        "refresh": 2,
        "regex": "",
        "sort": 1,
    }


def dashboard(
    uid: str,
    title: str,
    description: str,
    panels: Sequence[Json],
    *,
    since: str,
    about: names.Metric = names.REQUESTS,
) -> Json:
    """Return a dashboard of ``panels`` that shows the time since ``since`` (``now-24h``) when opened.

    The jobs and instances to choose from are those that serve ``about``.
    """
    return {
        "uid": uid,
        "id": None,
        "title": title,
        "description": description,
        "tags": ["asahi", "llm", "cost"],
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": SCHEMA_VERSION,
        "timezone": "browser",
        "time": {"from": since, "to": "now"},
        "timepicker": {},
        "refresh": "1m",
        "fiscalYearStartMonth": 0,
        "links": [
            {
                "type": "dashboards",
                "title": "Asahi dashboards",
                "tags": ["asahi"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "annotations": {"list": []},
        "templating": {
            "list": [
                datasource_variable(),
                label_variable(about, "job"),
                label_variable(about, "instance", 'job=~"$job"'),
            ]
        },
        "panels": [{"id": number, **each} for number, each in enumerate(panels, start=1)],
    }

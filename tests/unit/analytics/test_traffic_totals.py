"""What is recorded of a history that was written afterwards."""

from __future__ import annotations

import numpy as np

from asahi_analytics.history import HistorySeries
from asahi_analytics.tiles import PART, RUNNING, SINCE, SNAPSHOT, state_metric
from asahi_analytics.traffic.totals import totals_of
from asahi_exporter.conventions import FAMILIES, REQUESTS, STORE, STORE_CREATED

TIMES = 1_773_144_000_000 + 60_000 * np.arange(121, dtype=np.int64)


def history(*names: str) -> list[HistorySeries]:
    return [HistorySeries(name, {STORE: "s"}, TIMES, np.arange(121.0)) for name in names]


def test_a_family_that_counted_nothing_is_certified_and_has_no_total() -> None:
    recorded = list(totals_of(history(STORE_CREATED.name, REQUESTS.name)))
    for family in FAMILIES.values():
        parts = {one.labels.get(PART) for one in recorded if one.name == state_metric(family)}
        assert {SINCE, SNAPSHOT} <= parts, family.name
        assert (RUNNING in parts) is (family.source == REQUESTS.name), family.name


def test_without_a_memory_only_what_has_samples_is_certified() -> None:
    recorded = {one.name for one in totals_of(history(REQUESTS.name))}
    assert state_metric(FAMILIES["requests"]) in recorded
    assert state_metric(FAMILIES["errors"]) not in recorded

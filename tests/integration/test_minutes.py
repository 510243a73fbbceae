"""Totals by the minute: exact while a base stands, in the steps of the state otherwise, and never falling."""

from __future__ import annotations

import numpy as np
import pytest

from support.simulated_rules import simulation

pytestmark = pytest.mark.integration

END = 12_600
FIRST = 1800
"""From then on a base may stand: half an hour of the run is known."""
WENT, BEGAN_ANEW, MOVED = 3600, 6600, 9600
UNSURE = 1530
"""How long after something moved a base is sure not to stand."""


@pytest.fixture(scope="module", params=[3.0, 58.0], ids=["soon", "late"])
def minutes(request, tmp_path_factory):
    """The recorded totals by the minute, from the start on, and what was counted; ``w`` stands still throughout."""
    with simulation(tmp_path_factory.mktemp("minutes"), phase=140.0) as made:
        truth = {name: np.zeros(END) for name in "xyzw"}

        def scrape(at, instance, counters, **more):
            made.scrape(at, instance, counters, **more)
            for name, value in counters.items():
                truth[name][at:] = value

        for at in range(5, END, 15):
            scrape(at, "a" if at < MOVED else "b", {"x": 0.1 * at, "w": 0.1 + 0.2}, store="lives")
            if at < WENT:
                scrape(at + 1, "c", {"y": 7000 + 0.3 * at}, store="goes", created=-20)
            anew = at >= BEGAN_ANEW
            created, value = (BEGAN_ANEW, 0.7 * (at - BEGAN_ANEW)) if anew else (-30, 0.7 * at)
            made.scrape(at + 2, "d", {"z": value}, created=created)
            truth["z"][at + 2 :] = value + (0.7 * 6590 if anew else 0.0)
        made.run(END, by_minute=request.param)
        selector = f"asahi:{made.family.name}:running[{END}s]"
        recorded = made.client.query_raw(selector, made.at(END))
        yield {series.labels["phase"]: since_first(series, made.start, truth) for series in recorded.series}


def since_first(series, start, truth):
    """When, what was recorded and counted since ``FIRST``: what a memory held before the run is in no total."""
    times = np.asarray(series.times) - start
    snapshots = ((times - 15) // 60 * 60).astype(int)
    begun, counted = int(np.searchsorted(snapshots, FIRST)), truth[series.labels["phase"]]
    return times[begun:], series.values[begun:] - series.values[begun], counted - counted[FIRST]


def test_a_total_never_falls_to_the_last_bit(minutes):
    assert set(minutes) == set("xyzw")
    for name, (_, values, _) in minutes.items():
        assert np.all(np.diff(values) >= 0), name


def test_totals_are_exact_by_the_minute_while_nothing_came_or_went(minutes):
    for name, (times, values, counted) in minutes.items():
        exact = 0
        for at, value in zip(times, values, strict=True):
            snapshot = int((at - 15) // 60 * 60)
            if not any(-15 <= snapshot - moved <= UNSURE + 60 for moved in (WENT, BEGAN_ANEW, MOVED)):
                assert value == pytest.approx(counted[snapshot], abs=1e-6), (name, snapshot)
                exact += 1
        assert exact > 70


def test_totals_are_those_of_the_state_meanwhile(minutes):
    for name, (times, values, counted) in minutes.items():
        for at, value in zip(times, values, strict=True):
            oldest, newest = int(at) - 75 - 2 * 300, int(at) - 1
            assert counted[oldest] - 1e-6 <= value <= counted[newest] + 1e-6, (name, at)

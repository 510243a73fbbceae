"""Samples become blocks that hold each of them, to the millisecond and to the last bit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asahi_analytics.demo.servers import find_program
from asahi_analytics.errors import UserInputError
from asahi_analytics.history import write_blocks
from support.histories import as_history

TWO_HOURS_MS = 7_200_000
ALIGNED = 1_700_006_400_000  # a multiple of two hours
VALUES = st.one_of(st.floats(allow_nan=False), st.integers(-5, 5).map(float))


def dump(data_dir: Path) -> list[tuple[str, float, int]]:
    """Every sample of the data directory as (series, value, milliseconds)."""
    (data_dir / "wal").mkdir()
    text = subprocess.run(
        [find_program("promtool"), "tsdb", "dump", str(data_dir)], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.rsplit(" ", 2) for line in text.splitlines()]
    return [(series, float(value), int(time)) for series, value, time in rows]


def test_every_sample_comes_back_exactly_also_at_the_edges_of_blocks(tmp_path: Path) -> None:
    times = [
        ALIGNED - 1,
        ALIGNED,
        ALIGNED + TWO_HOURS_MS - 1,
        ALIGNED + TWO_HOURS_MS,
        ALIGNED + TWO_HOURS_MS + 1,
    ]
    values = [0.1, 0.1 + 0.2, 1e-17, 123456789.12345679, 5e300]
    written = write_blocks([as_history("m_total", {"user": "a"}, times, values)], tmp_path, block_hours=2)
    assert (written.series, written.samples, written.blocks) == (1, 5, 3)
    assert sorted(dump(tmp_path), key=lambda row: row[2]) == [
        ('{__name__="m_total", user="a"}', value, time) for value, time in zip(values, times, strict=True)
    ]


def test_milliseconds_survive_the_cutting_off_of_the_reader(tmp_path: Path) -> None:
    times = ALIGNED + np.arange(2000)
    write_blocks([as_history("m", {}, times, np.zeros(2000))], tmp_path)
    assert sorted(row[2] for row in dump(tmp_path)) == times.tolist()


def test_label_values_with_quotes_newlines_and_emoji_are_kept(tmp_path: Path) -> None:
    hostile = 'a"b\\c\nd 🙂 {}'
    write_blocks([as_history("m", {"user": hostile}, [ALIGNED], [1.0])], tmp_path)
    ((series, _, _),) = dump(tmp_path)
    assert series == '{__name__="m", user="a\\"b\\\\c\\nd 🙂 {}"}'


def test_nan_and_infinity_are_values(tmp_path: Path) -> None:
    write_blocks([as_history("m", {}, ALIGNED + np.arange(3), [np.nan, np.inf, -np.inf])], tmp_path)
    values = [row[1] for row in sorted(dump(tmp_path), key=lambda row: row[2])]
    np.testing.assert_array_equal(values, [np.nan, np.inf, -np.inf])


def test_a_second_call_adds_to_what_is_there(tmp_path: Path) -> None:
    write_blocks([as_history("m", {}, [ALIGNED], [1.0])], tmp_path)
    write_blocks([as_history("m", {}, [ALIGNED + 1], [2.0])], tmp_path)
    assert sorted(row[1] for row in dump(tmp_path)) == [1.0, 2.0]


def test_blocks_are_as_long_as_asked_and_progress_is_told(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    times = ALIGNED + np.arange(48) * 3_600_000
    series = [as_history("m", {"user": user}, times, np.arange(48.0)) for user in "ab"]
    write_blocks(series, tmp_path, block_hours=18, on_series=lambda *told: heard.append(told))
    write_blocks(iter(series), tmp_path / "again", on_series=lambda *told: heard.append(told))
    assert heard == [(1, 2), (2, 2), (1, 0), (2, 0)]
    spans = [json.loads(meta.read_text()) for meta in tmp_path.glob("*/meta.json")]
    assert len(spans) in (3, 4)
    assert all(span["maxTime"] - span["minTime"] <= 18 * 3_600_000 for span in spans)
    assert len({span["minTime"] // (18 * 3_600_000) for span in spans}) == len(spans)
    assert sum(span["stats"]["numSamples"] for span in spans) == 96


def test_more_blocks_than_may_be_open_at_once_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asahi_analytics.history.MAX_OPEN_BLOCKS", 2)
    times = ALIGNED + np.arange(8) * TWO_HOURS_MS
    series = [as_history("m", {"user": str(user)}, times, np.arange(8.0)) for user in range(3)]
    written = write_blocks(series, tmp_path, block_hours=2)
    assert written.blocks == 8
    assert len(dump(tmp_path)) == 24


def test_nothing_writes_nothing(tmp_path: Path) -> None:
    assert write_blocks([], tmp_path).blocks == 0
    assert write_blocks([as_history("m", {}, [], [])], tmp_path).samples == 0
    assert list(tmp_path.iterdir()) == []


def test_a_series_may_come_in_later_parts(tmp_path: Path) -> None:
    written = write_blocks([as_history("m", {}, [ALIGNED + part], [1.0]) for part in range(3)], tmp_path)
    assert (written.series, written.samples) == (1, 3)
    assert len(dump(tmp_path)) == 3


def test_a_series_that_goes_back_in_time_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    twice = [as_history("m", {"user": "a"}, [ALIGNED + part], [1.0]) for part in (1, 1)]
    with pytest.raises(UserInputError, match=r"m\{'user': 'a'\} comes twice"):
        write_blocks(twice, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_block_length_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="block_hours is 24; Prometheus uses 2, 6, 18"):
        write_blocks([], tmp_path, block_hours=24)


@pytest.mark.parametrize(
    ("name", "labels", "times", "message"),
    [
        ("1m", {}, [1], "not a metric name"),
        ("m", {"__name__": "x"}, [1], "'__name__' is not a label name"),
        ("m", {"a-b": "x"}, [1], "'a-b' is not a label name"),
        ("m", {}, [2, 1], "ascend"),
        ("m", {}, [1, 1], "ascend"),
        ("m", {}, [-1, 1], "1970"),
        ("m", {}, [1, 1 << 42], "2109"),
    ],
)
def test_what_prometheus_would_not_store_is_refused(
    name: str, labels: dict[str, str], times: list[int], message: str
) -> None:
    with pytest.raises(UserInputError, match=message):
        as_history(name, labels, times, np.zeros(len(times)))


def test_times_and_values_must_be_as_many() -> None:
    with pytest.raises(UserInputError, match="as many of each"):
        as_history("m", {}, [1, 2], [1.0])


JITTERS = st.sampled_from([1, 999, 15_000, 60_000, 300_000, 7_200_000, 90_000_000])


@settings(max_examples=60)
@given(data=st.data())
def test_any_samples_come_back_as_they_were(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    expected = set()
    series = []
    for user in range(data.draw(st.integers(1, 3))):
        deltas = data.draw(st.lists(JITTERS, min_size=1, max_size=300))
        times = ALIGNED + np.cumsum(deltas)
        values = data.draw(arrays(np.float64, len(deltas), elements=VALUES))
        series.append(as_history("m", {"user": str(user)}, times, values))
        expected |= {
            (f'{{__name__="m", user="{user}"}}', value, time)
            for value, time in zip(values.tolist(), times.tolist(), strict=True)
        }
    write_blocks(series, folder, block_hours=data.draw(st.sampled_from([2, 54])))
    assert set(dump(folder)) == expected

"""Blocks are what their format says: read back by a plain reader of chunks, and by Prometheus' own tools."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asahi_analytics.demo.servers import find_program
from asahi_analytics.history import write_blocks
from asahi_analytics.tsdb import block
from asahi_analytics.tsdb.block import new_ulid
from asahi_analytics.tsdb.chunks import encode
from asahi_analytics.tsdb.crc import crc32c, crc32c_rows
from asahi_analytics.varint import uvarint
from support.histories import as_history

START = 1_700_006_400_000


class Bits:
    """Reads a chunk's bit stream, as the description of the format says."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def take(self, count: int) -> int:
        part = self._bits[self._at : self._at + count]
        assert len(part) == count
        self._at += count
        return int(part, 2) if part else 0

    def base128(self) -> int:
        number = shift = 0
        while True:
            byte = self.take(8)
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    def change(self) -> int:
        for size in (0, 14, 17, 20):
            if not self.take(1):
                return self.signed(size)
        return self.signed(64)

    def signed(self, size: int) -> int:
        number = self.take(size)
        wide = size == 64
        over = number >= 1 << 63 if wide else bool(size) and number > 1 << (size - 1)
        return number - (1 << size) if over else number


def decode(data: bytes) -> list[tuple[int, float]]:
    bits = Bits(data)
    count = bits.take(16)
    time, word = bits.base128() // 2, bits.take(64)
    samples = [(time, word)]
    delta = bits.base128() if count > 1 else 0
    leading = trailing = 0
    for place in range(1, count):
        delta += bits.change() if place > 1 else 0
        time += delta
        if bits.take(1):
            if bits.take(1):
                leading, significant = bits.take(5), bits.take(6)
                trailing = 64 - leading - (significant or 64)
            word ^= bits.take(64 - leading - trailing) << trailing
        samples.append((time, word))
    return [(time, struct.unpack(">d", struct.pack(">Q", word))[0]) for time, word in samples]


VALUES = st.one_of(
    st.floats(allow_nan=False),
    st.integers(-5, 5).map(float),
    st.sampled_from([2.0**53 - 1, 5e-324, 0.1, 1e308]),
)
DELTAS = st.one_of(st.sampled_from([60_000, 60_001, 59_000]), st.integers(1, 10**9))


@settings(max_examples=150)
@given(st.lists(st.lists(st.tuples(DELTAS, VALUES), min_size=1, max_size=30), min_size=1, max_size=4))
def test_chunks_of_any_samples_read_back(chunks: list[list[tuple[int, float]]]) -> None:
    longest = max(map(len, chunks))
    times, values = np.zeros((longest, len(chunks)), dtype=np.int64), np.zeros((longest, len(chunks)))
    for place, chunk in enumerate(chunks):
        full = [*chunk, *([(1, 0.0)] * (longest - len(chunk)))]
        times[:, place] = START + np.cumsum([delta for delta, _ in full])
        values[:, place] = [value for _, value in full]
    encoded = encode(times, values, np.array([len(chunk) for chunk in chunks]))
    for place, chunk in enumerate(chunks):
        length = int(encoded.lengths[place])
        content = encoded.rows[place, :length].tobytes()
        assert content[0] == 1
        assert decode(content[1:]) == list(
            zip(times[: len(chunk), place].tolist(), [value for _, value in chunk], strict=True)
        )
        assert encoded.chunk(place) == uvarint(length - 1) + content + crc32c(content).to_bytes(4, "big")


def test_counters_that_rise_by_a_little_take_few_bytes() -> None:
    times = START + np.arange(120)[:, np.newaxis] * 60_000
    encoded = encode(times, np.arange(120.0)[:, np.newaxis], np.array([120]))
    assert encoded.lengths[0] < 250
    still = encode(times, np.ones((120, 1)), np.array([120]))
    assert still.lengths[0] < 60


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_checksums_side_by_side_are_those_of_each(texts: list[bytes]) -> None:
    lengths = np.array([len(text) for text in texts])
    rows = np.full((len(texts), max(int(lengths.max()), 1)), 7, dtype=np.uint8)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = np.frombuffer(text, dtype=np.uint8)
    assert crc32c_rows(rows, lengths).tolist() == [crc32c(text) for text in texts]


def test_names_of_blocks_sort_by_time_and_differ() -> None:
    names = [new_ulid() for _ in range(3)]
    assert all(len(name) == 26 for name in names)
    assert len(set(names)) == 3
    assert len({name[:8] for name in names}) == 1


def test_promtool_finds_every_series_by_every_label(tmp_path: Path) -> None:
    series = [
        as_history(
            "m", {"user": f"u{user:04}", "kind": "even" if user % 2 == 0 else "odd"}, [START + user], [user]
        )
        for user in range(3_000)
    ]
    write_blocks(series, tmp_path)
    (tmp_path / "wal").mkdir()

    def found(matcher: str) -> int:
        command = [find_program("promtool"), "tsdb", "dump", f"--match={matcher}", str(tmp_path)]
        return len(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())

    assert found('{user="u0042"}') == 1
    assert found('{kind="odd"}') == 1_500
    assert found('{kind!="odd",user=~"u00.."}') == 50
    assert found('{user="nobody"}') == 0
    analysis = subprocess.run(
        [find_program("promtool"), "tsdb", "analyze", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Series: 3000" in analysis
    assert "Label names: 3" in analysis


def test_chunks_go_on_in_a_second_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "SEGMENT_BYTES", 3_000)
    times = START + np.arange(600) * 1_000
    rng = np.random.default_rng(1)
    series = [as_history("m", {"user": str(user)}, times, rng.random(600)) for user in range(3)]
    write_blocks(series, tmp_path)
    (meta,) = tmp_path.glob("*/meta.json")
    assert len(list((meta.parent / "chunks").iterdir())) > 3
    assert json.loads(meta.read_text())["stats"] == {"numSamples": 1_800, "numSeries": 3, "numChunks": 15}
    (tmp_path / "wal").mkdir()
    dumped = subprocess.run(
        [find_program("promtool"), "tsdb", "dump", str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    values = {
        (line.split('"')[3], int(line.rsplit(" ", 1)[1])): float(line.split(" ")[-2]) for line in dumped
    }
    assert values == {
        (str(user), int(time)): value
        for user, one in enumerate(series)
        for time, value in zip(one.times_ms.tolist(), one.values.tolist(), strict=True)
    }

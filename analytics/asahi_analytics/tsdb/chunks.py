"""Samples as XOR chunks (Gorilla): times as changes of their distance, values as changes of their bits.

All chunks of a batch are encoded side by side: a step handles one sample of each. Arrays have samples first, chunks
second. A chunk's bit stream is a row of codes; each code is a number and how many bits it takes, none where a chunk has
ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.tsdb.crc import crc32c_rows
from asahi_analytics.varint import uvarint

SAMPLES_PER_CHUNK: Final = 120
ENCODING_XOR: Final = 1
_NO_WINDOW: Final = 255
_TIME_BYTES: Final = 7
_DELTA_BYTES: Final = 5
_HEAD_BYTES: Final = 1 + 2 + _TIME_BYTES + 8 + _DELTA_BYTES
_WIDE_BITS: Final = 64

Words = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Encoded:
    """Chunks as they stand in a segment, without their length: encoding, data, checksum."""

    rows: Bytes
    lengths: Ints
    checksums: npt.NDArray[np.uint32]

    def chunk(self, position: int) -> bytes:
        """Return one chunk with its length before it."""
        length = int(self.lengths[position])
        checksum = int(self.checksums[position]).to_bytes(4, "big")
        return uvarint(length - 1) + self.rows[position, :length].tobytes() + checksum


@dataclass(frozen=True)
class Codes:
    """One code for each step and chunk: its number, in the lowest of its bits, and how many bits it takes."""

    numbers: Words
    bits: Ints


def encode(times_ms: Ints, values: npt.NDArray[np.float64], counts: Ints) -> Encoded:
    """Return the chunks of ``times_ms`` and ``values`` (samples first), of which column i has ``counts[i]`` samples.

    Times ascend and lie between 1970 and 2500; neighbours are less than a year apart.
    """
    stream, stream_bits = _packed(_codes(times_ms, values, counts))
    head = _head(times_ms, values, counts)
    rows = np.concatenate([head, stream], axis=1)
    lengths = _HEAD_BYTES + (stream_bits + 7) // 8
    return Encoded(rows, lengths, crc32c_rows(rows, lengths))


def _head(times_ms: Ints, values: npt.NDArray[np.float64], counts: Ints) -> Bytes:
    """Encoding, number of samples, first sample and the distance to the second; numbers of a fixed length.

    Base 128 allows for leading zeros, which readers take.
    """
    head = np.zeros((counts.size, _HEAD_BYTES), dtype=np.uint8)
    head[:, 0] = ENCODING_XOR
    head[:, 1], head[:, 2] = counts >> 8, counts & 0xFF
    _put_base128(head[:, 3 : 3 + _TIME_BYTES], times_ms[0] << 1)
    head[:, 10:18] = values[0].astype(">f8").view(np.uint8).reshape(-1, 8)
    second = times_ms[1] if times_ms.shape[0] > 1 else times_ms[0]
    _put_base128(head[:, 18:], np.where(counts > 1, second - times_ms[0], 0))
    return head


def _put_base128(target: Bytes, numbers: Ints) -> None:
    last = target.shape[1] - 1
    for digit in range(last + 1):
        more = 0x80 if digit < last else 0
        target[:, digit] = (numbers >> 7 * digit) & 0x7F | more


def _codes(times_ms: Ints, values: npt.NDArray[np.float64], counts: Ints) -> list[Codes]:
    """The codes of the second sample and those that follow, in the order of the stream: all of a step together."""
    steps = times_ms.shape[0] - 1
    there = np.arange(1, steps + 1)[:, np.newaxis] < counts[np.newaxis, :]
    parts = [*_time_codes(times_ms), *_value_codes(values)]
    return [Codes(part.numbers, np.where(there, part.bits, 0)) for part in parts]


def _time_codes(times_ms: Ints) -> list[Codes]:
    """How the distance to the sample before changed: a prefix that tells the size, then the change.

    The second sample's distance stands in the head. The rare change of more than 20 bits takes a code of its own.
    """
    change = np.zeros((times_ms.shape[0] - 1, times_ms.shape[1]), dtype=np.int64)
    change[1:] = np.diff(times_ms, n=2, axis=0)
    small = [(change > -(1 << (size - 1))) & (change <= 1 << (size - 1)) for size in (14, 17, 20)]
    same = change == 0
    bits = np.select([same, *small], [1, 16, 20, 24], 4)
    bits[:1] = 0
    raw = change.view(np.uint64)
    prefixed = [
        np.uint64(prefix << size) | raw & np.uint64((1 << size) - 1)
        for prefix, size in ((0b10, 14), (0b110, 17), (0b1110, 20))
    ]
    numbers = np.select([same, *small], [np.zeros_like(raw), *prefixed], np.uint64(0b1111))
    codes = [Codes(numbers, bits)]
    wide = bits == 4
    if wide.any():
        codes.append(Codes(np.where(wide, raw, np.uint64(0)), np.where(wide, _WIDE_BITS, 0)))
    return codes


def _value_codes(values: npt.NDArray[np.float64]) -> list[Codes]:
    """What changed in the bits of the value: nothing, bits within the last window, or a window of its own."""
    bits = np.ascontiguousarray(values).view(np.uint64)
    changed = bits[1:] ^ bits[:-1]
    zero = changed == 0
    leading = np.minimum(64 - _bit_length(changed), 31)
    trailing = np.where(zero, 0, _bit_length(changed & (~changed + np.uint64(1))) - 1)
    leading, trailing, fresh = _windows(zero, leading, trailing)
    significant = 64 - leading - trailing
    window = np.uint64(0b11 << 11) | (leading << 6 | significant & 0x3F).astype(np.uint64)
    head = np.select([zero, fresh], [np.uint64(0), window], np.uint64(0b10))
    payload = np.where(zero, np.uint64(0), changed >> trailing.astype(np.uint64))
    return [Codes(head, np.select([zero, fresh], [1, 13], 2)), Codes(payload, np.where(zero, 0, significant))]


def _windows(
    zero: npt.NDArray[np.bool_], leading: Ints, trailing: Ints
) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """The window that each change is written in (leading and trailing zeros), and whether it is a new one."""
    fresh = np.zeros_like(zero)
    left = np.full(zero.shape[1], _NO_WINDOW, dtype=np.int64)
    right = np.zeros(zero.shape[1], dtype=np.int64)
    for step in range(zero.shape[0]):
        fits = (leading[step] >= left) & (trailing[step] >= right)
        fresh[step] = ~zero[step] & ~fits
        left = np.where(fresh[step], leading[step], left)
        right = np.where(fresh[step], trailing[step], right)
        leading[step] = np.where(left == _NO_WINDOW, 0, left)
        trailing[step] = right
    return leading, trailing, fresh


def _bit_length(words: Words) -> Ints:
    """Return the position of the highest bit, from 1; 0 for 0.

    The bit below the highest is cleared, so that rounding to a float cannot carry into the next power of two.
    """
    _, exponents = np.frexp((words & ~(words >> np.uint64(1))).astype(np.float64))
    return exponents.astype(np.int64)


def _packed(codes: list[Codes]) -> tuple[Bytes, Ints]:
    """Return the codes of each chunk one after the other, as rows of bytes, and how many bits each row has."""
    steps, chunks = codes[0].bits.shape if codes else (0, 0)
    sizes = np.stack([code.bits for code in codes], axis=1).reshape(-1, chunks)
    ends = np.cumsum(sizes, axis=0)
    total = ends[-1] if steps else np.zeros(chunks, dtype=np.int64)
    width = int(total.max(initial=0)) // 64 + 2
    words = np.zeros(chunks * width, dtype=np.uint64)
    base = np.arange(chunks) * width
    for step in range(steps):
        for place, code in enumerate(codes):
            row = step * len(codes) + place
            _put(words, base, ends[row] - sizes[row], code.numbers[step], sizes[row])
    return words.astype(">u8").view(np.uint8).reshape(chunks, width * 8), total


def _put(words: Words, base: Ints, at: Ints, numbers: Words, sizes: Ints) -> None:
    """Write each number, ``sizes`` bits long, at bit ``at`` of its row, whose first word is ``base``."""
    some = np.flatnonzero(sizes)
    if not some.size:
        return
    at, sizes = at[some], sizes[some]
    left = numbers[some] << (64 - sizes).astype(np.uint64)
    shift = (at & 63).astype(np.uint64)
    word = base[some] + (at >> 6)
    words[word] |= left >> shift
    words[word + 1] |= (left << (np.uint64(63) - shift)) << np.uint64(1)

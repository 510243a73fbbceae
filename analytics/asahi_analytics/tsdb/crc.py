"""CRC-32C (Castagnoli), the checksum of every part of a block, for many byte strings at once."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

POLYNOMIAL: Final = 0x82F63B78
"""Castagnoli's, lowest bit first."""
_START: Final = 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for byte in range(256):
        rest = byte
        for _ in range(8):
            rest = (rest >> 1) ^ (POLYNOMIAL if rest & 1 else 0)
        table.append(rest)
    return table


_TABLE: Final = _table()
_ARRAY: Final = np.array(_TABLE, dtype=np.uint32)


def crc32c(content: bytes) -> int:
    """Return the checksum of one byte string."""
    rest = _START
    for byte in content:
        rest = (rest >> 8) ^ _TABLE[(rest ^ byte) & 0xFF]
    return rest ^ _START


def crc32c_rows(rows: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """Return the checksum of the first ``lengths[i]`` bytes of each row."""
    order = np.argsort(-lengths, kind="stable")
    columns = np.ascontiguousarray(rows[order].T)
    rest = np.full(lengths.size, _START, dtype=np.uint32)
    alive = np.searchsorted(-lengths[order], -np.arange(columns.shape[0]), side="left")
    for column, count in zip(columns, alive.tolist(), strict=True):
        if not count:
            break
        part = rest[:count]
        rest[:count] = (part >> np.uint32(8)) ^ _ARRAY[(part ^ column[:count]) & np.uint32(0xFF)]
    sums = np.empty_like(rest)
    sums[order] = rest ^ np.uint32(_START)
    return sums

"""Whole numbers in as few bytes as they need: in protobuf messages, and in the blocks of Prometheus."""

from __future__ import annotations


def uvarint(number: int) -> bytes:
    """Return ``number``, which must not be negative, in base 128, lowest digits first."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)

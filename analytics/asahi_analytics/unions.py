"""Several expressions as one query: each series of the answer carries the number of the one it belongs to.

A request costs the service a millisecond whatever it asks, so an answer that needs forty small sums asks for
those of one moment at once. Only functions that every backend has are used: ``label_replace`` and ``or``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

MEMBER: Final = "asked"
"""The label that tells which expression a series belongs to; none of ours has it."""
MAX_BYTES: Final = 12_000
"""How long a union may get: VictoriaMetrics refuses queries of more than 16,384 bytes unless told otherwise."""

Item = TypeVar("Item")


def unite(expressions: Sequence[str]) -> str:
    """Return one expression that answers all of ``expressions``, vectors each; a single one stays as it is."""
    if len(expressions) == 1:
        return expressions[0]
    return "\nor\n".join(_member(number, expression) for number, expression in enumerate(expressions))


def _member(number: int, expression: str) -> str:
    return f'label_replace({expression}, "{MEMBER}", "{number}", "", "")'


def portions(expressions: Sequence[str], max_bytes: int = MAX_BYTES) -> Iterator[list[str]]:
    """Cut ``expressions`` into runs whose union is no longer than ``max_bytes``; a longer one goes alone."""
    portion: list[str] = []
    length = 0
    for expression in expressions:
        size = len(_member(len(portion), expression).encode()) + len("\nor\n")
        if portion and length + size > max_bytes:
            yield portion
            portion, length = [], 0
        portion.append(expression)
        length += size
    if portion:
        yield portion


def take_member(labels: dict[str, str]) -> int:
    """Take the mark off ``labels`` and return the number of the expression that a series with them belongs to."""
    return int(labels.pop(MEMBER, "0"))

"""Keeps what callers hand over within bounds: label values by number and length, amounts by range."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from asahi_exporter.conventions import OTHER, UNKNOWN
from asahi_exporter.errors import Refused

REASONS: Final = ("type", "not_finite", "negative", "too_large", "cache_tier", "label", "value", "internal")
"""Values of the ``reason`` label of ``asahi_refused_records_total``."""
_HASH_LENGTH: Final = 10


class LabelStore(Protocol):
    """Where the admitted label values are kept; shared by the workers of a service, or this process's own."""

    def admit(self, label: str, value: str, limit: int) -> bool:
        """Return whether ``value`` is, or now becomes, one of the ``limit`` values of ``label``."""


class OwnLabelStore:
    """Admitted label values of this process alone."""

    def __init__(self) -> None:
        self._values: dict[str, set[str]] = {}

    def admit(self, label: str, value: str, limit: int) -> bool:
        """Admit ``value`` unless ``limit`` others were there before."""
        values = self._values.setdefault(label, set())
        if value not in values and len(values) >= limit:
            return False
        values.add(value)
        return True


def label_text(value: Any, max_length: int) -> str:
    """Return ``value`` as a label value: never empty, valid UTF-8, at most ``max_length`` characters.

    None and the empty string become ``unknown``. A longer text is cut and ends in a hash of the whole, so that
    two long values that begin alike stay apart.
    """
    if value is None:
        return UNKNOWN
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    if len(text) > max_length:
        digest = hashlib.blake2b(text.encode(), digest_size=_HASH_LENGTH // 2).hexdigest()
        text = f"{text[: max_length - _HASH_LENGTH - 1]}~{digest}"
    return text or UNKNOWN


class LabelGuard:
    """Bounds the values of each label; what is beyond goes to ``other`` and is told to ``overflowed``."""

    def __init__(
        self,
        limits: Mapping[str, int],
        max_length: int,
        store: LabelStore,
        overflowed: Callable[[str], None],
    ) -> None:
        self._limits = limits
        self._max_length = max_length
        self._store = store
        self._overflowed = overflowed
        self._admitted: dict[str, set[str]] = {label: {OTHER, UNKNOWN} for label in limits}

    def admit(self, label: str, value: Any) -> str:
        """Return the text to count ``value`` under. Values already admitted cost two look-ups."""
        text = label_text(value, self._max_length)
        if text in self._admitted[label]:
            return text
        if self._store.admit(label, text, self._limits[label]):
            self._admitted[label].add(text)
            return text
        self._overflowed(label)
        return OTHER


def amount(name: str, value: Any, most: float) -> float:
    """Return ``value`` as a float in ``[0, most]``; numbers of any library are taken, text is not.

    Raises:
        Refused: not a number, NaN, infinite, negative or above ``most``.
    """
    if isinstance(value, str | bytes | bytearray) or value is None:
        raise Refused("type", f"{name} must be a number, got {type(value).__name__}")
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise Refused("type", f"{name} must be a number, got {type(value).__name__}") from error
    except OverflowError as error:
        raise Refused("too_large", f"{name} is larger than {most:g}") from error
    if not math.isfinite(number):
        raise Refused("not_finite", f"{name} is {number}; pass a finite number")
    if number < 0:
        raise Refused("negative", f"{name} is {number}; counters never go down, pass 0 or more")
    if number > most:
        raise Refused("too_large", f"{name} is {number:g}; at most {most:g} is taken")
    return number

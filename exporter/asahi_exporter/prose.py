"""Names and shares in sentences, as a person reads them: the one rounding and the one wording of every text."""

from __future__ import annotations

from typing import Final

JOINER: Final = "\u200d"
"""Holds an emoji of several together; shows nothing itself."""
LONGEST: Final = 60
"""Characters of a name in a sentence; the label set beside it has the whole."""


def one_line(name: str) -> str:
    """Return a label value with what is no visible character as its escape: it comes from whoever sends requests."""
    return "".join(each if each.isprintable() or each == JOINER else ascii(each)[1:-1] for each in name)


def shown(name: str) -> str:
    """Return a label value for a sentence: in one line, of 60 characters at most, quoted if it has spaces."""
    text = one_line(name)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 1]}…"
    if text and not any(each in " '\",;:()" for each in text):
        return text
    return f'"{text}"' if "'" in text and '"' not in text else f"'{text}'"


def spoken(label: str) -> str:
    """Return the name of a label in words: ``task type``."""
    return label.replace("_", " ")


def named(label: str, value: str) -> str:
    """Return a label and its value for a sentence: ``task type chat``."""
    return f"{spoken(label)} {shown(value)}"


def percent(ratio: float, digits: int = 1, *, column: bool = False) -> str:
    """Return a ratio 0-1 as a percentage; what is near 0 or 1 is not told as if it were there.

    It is rounded to ``digits`` decimals; where all of them are zero they stand in a ``column`` only.
    """
    value, smallest = 100 * ratio, 10.0**-digits
    if 0 < value < smallest / 2:
        return f"<{smallest:g} %"
    if 100 - smallest / 2 < value < 100:
        return f">{100 - smallest:.{digits}f} %"
    text = f"{value:.{digits}f}"
    return f"{text if column else text.removesuffix(f'.{0:0{digits}d}')} %"

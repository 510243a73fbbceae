"""Amounts by label set, added and subtracted without losing one, and turned into pandas at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final

import pandas as pd

from asahi_analytics.replies import Sample

TOTAL: Final = "total"
"""The one name in the index of a sum over every label."""
Key = tuple[str, ...]
Amounts = dict[Key, float]


def keys_by(by: Sequence[str]) -> Callable[[Mapping[str, str]], Key]:
    """Return what takes the values of the labels ``by`` out of labels; a label that is absent is empty.

    Answers have thousands of series, nearly all of which have every label.
    """
    if not by:
        return lambda _labels: ()
    if len(by) == 1:
        (only,) = by
        return lambda labels: (labels.get(only, ""),)
    taken: Callable[[Mapping[str, str]], Key] = itemgetter(*by)

    def key(labels: Mapping[str, str]) -> Key:
        try:
            return taken(labels)
        except KeyError:
            return tuple([labels.get(name, "") for name in by])

    return key


def amounts_of(samples: Iterable[Sample], by: Sequence[str]) -> Amounts:
    """Return the sum of ``samples`` by ``by``; mostly there is one of each key, and nothing to be added."""
    key_of, found = keys_by(by), list(samples)
    amounts = {key_of(labels): amount for labels, amount in found}
    if len(amounts) == len(found):
        return amounts
    amounts = dict.fromkeys(amounts, 0.0)
    for labels, amount in found:
        amounts[key_of(labels)] += amount
    return amounts


def add(left: Amounts, right: Amounts) -> Amounts:
    """Return left + right; what is absent on one side is zero there."""
    if not (left and right):
        return left or right
    return {key: left.get(key, 0.0) + right.get(key, 0.0) for key in {**left, **right}}


def subtract(later: Amounts, earlier: Amounts) -> Amounts:
    """Return later - earlier for every key; rounding never makes an amount negative."""
    before = earlier.get
    found = {key: more if (more := amount - before(key, 0.0)) > 0 else 0.0 for key, amount in later.items()}
    if not earlier.keys() <= found.keys():
        for key in earlier:
            found.setdefault(key, 0.0)
    return found


def index_of(keys: Iterable[Key], by: Sequence[str]) -> pd.Index:
    """Return the index of label values that ``Sums`` promises."""
    names = list(by)
    if not names:
        return pd.Index([TOTAL], dtype=object)
    ordered = sorted(keys)
    if len(names) == 1:
        return pd.Index([key[0] for key in ordered], name=names[0], dtype=object)
    return _index_of_several(ordered, names)


def _index_of_several(ordered: Sequence[Key], names: Sequence[str]) -> pd.MultiIndex:
    """What ``MultiIndex.from_tuples`` returns of keys of text, in a fourth of the time: looking for a type is dear."""
    columns = list(zip(*ordered, strict=True))
    levels = [sorted(set(column)) for column in columns]
    places = [{value: place for place, value in enumerate(level)} for level in levels]
    codes = [[place[value] for value in column] for place, column in zip(places, columns, strict=True)]
    texts = [pd.Index(level, dtype=object) for level in levels]
    return pd.MultiIndex(levels=texts, codes=codes, names=list(names), verify_integrity=False)


def keys_of(index: pd.Index) -> list[Key]:
    """Return the keys that ``index_of`` made ``index`` of, nine times as fast as ``to_list`` of several labels."""
    if not isinstance(index, pd.MultiIndex):
        return [(str(name),) for name in index]
    levels = zip((level.tolist() for level in index.levels), index.codes, strict=True)
    return list(zip(*([names[code] for code in codes.tolist()] for names, codes in levels), strict=True))


def series_of(amounts: Mapping[Key, float], by: Sequence[str]) -> pd.Series:
    """Return ``amounts`` as pandas; with no label and no amounts it is empty, not zero."""
    if not amounts:
        empty = (
            pd.MultiIndex.from_arrays([[] for _ in by], names=list(by))
            if len(by) > 1
            else pd.Index([], name=next(iter(by), None), dtype=object)
        )
        return pd.Series([], index=empty, dtype=float)
    index = index_of(amounts, by)
    values = [amounts[key] for key in sorted(amounts)]
    return pd.Series(values, index=index, dtype=float)

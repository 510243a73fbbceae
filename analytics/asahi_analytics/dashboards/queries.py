"""Reading PromQL as far as a dashboard's check needs: which metrics, which labels, under which function.

This is not a parser of the language: a real Prometheus decides whether a query is valid. It finds the names,
so that a query on a metric or label that the exporter does not have is told apart from one without data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from asahi_analytics.tiles import PART, SCRAPES_STATE, state_metric
from asahi_exporter import conventions as names

SCRAPE_LABELS: Final = frozenset({"job", "instance", names.STORE})
RECORDED_PREFIX: Final = "asahi:"

_WORD: Final = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<variable>\$\{?\w+\}?)
      | (?P<number>\d[\w.]*)
      | (?P<name>[A-Za-z_:][\w:]*)
      | (?P<operator>=~|!~|!=|==|>=|<=|[-+*/%^=<>(){}\[\],@:])""",
    re.VERBOSE,
)
_LABEL_LISTS: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_KEYWORDS: Final = _LABEL_LISTS | {
    "and",
    "or",
    "unless",
    "offset",
    "bool",
    "atan2",
    "start",
    "end",
    "inf",
    "nan",
}


@dataclass(frozen=True)
class Selector:
    """One selector of a query; ``range_text`` is empty for an instant one, ``call`` is what it stands in."""

    metric: str
    matchers: tuple[str, ...]
    range_text: str
    call: str

    @property
    def labels(self) -> frozenset[str]:
        """The labels that its matchers name."""
        return frozenset(re.split(r"[=!]", matcher, maxsplit=1)[0] for matcher in self.matchers)


@dataclass(frozen=True)
class Names:
    """What a query names: its selectors, and the labels it groups or joins by."""

    selectors: tuple[Selector, ...]
    grouping: frozenset[str]


@dataclass
class _Reader:
    words: list[str]
    at: int = 0
    calls: list[str] = field(default_factory=list)
    selectors: list[Selector] = field(default_factory=list)
    grouping: set[str] = field(default_factory=set)

    def peek(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def next(self) -> str:
        word = self.peek()
        self.at += 1
        return word

    def until(self, closing: str) -> Iterator[str]:
        """Yield what stands between the bracket at hand and ``closing``."""
        self.next()
        while self.peek() not in (closing, ""):
            yield self.next()
        self.next()

    def read(self) -> Names:
        while self.at < len(self.words):
            self._one(self.next())
        return Names(tuple(self.selectors), frozenset(self.grouping))

    def _one(self, word: str) -> None:
        if word in _LABEL_LISTS and self.peek() == "(":
            self.grouping.update(label for label in self.until(")") if label != ",")
        elif word == "(":
            self.calls.append("")
        elif word == ")" and self.calls:
            self.calls.pop()
        elif word == "[":
            self._subquery()
        elif word == "{":
            self.at -= 1
            self._selector("")
        elif re.match(r"[A-Za-z_:]", word) and word.lower() not in _KEYWORDS:
            self._named(word)

    def _named(self, word: str) -> None:
        if self.peek() == "(":
            self.next()
            self.calls.append(word)
        elif self.peek() not in _LABEL_LISTS:
            self._selector(word)

    def _selector(self, metric: str) -> None:
        inside = "".join(self.until("}")) if self.peek() == "{" else ""
        matchers = tuple(re.findall(r"""\w+(?:=~|!~|!=|=)(?:"[^"]*"|'[^']*')""", inside))
        range_text = "".join(self.until("]")) if self.peek() == "[" else ""
        self.selectors.append(Selector(metric, matchers, range_text, self.calls[-1] if self.calls else ""))

    def _subquery(self) -> None:
        self.at -= 1
        for _ in self.until("]"):
            pass


def names_of(expression: str) -> Names:
    """Return the selectors of ``expression`` and the labels that it groups or joins by."""
    words = [match.group() for match in _WORD.finditer(expression)]
    return _Reader(_aggregations_as_calls(words)).read()


def _aggregations_as_calls(words: list[str]) -> list[str]:
    """Turn ``sum by (a) (x)`` into ``by (a) sum (x)``: the word before a bracket is then its function."""
    result: list[str] = []
    waiting = ""
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        if following in ("by", "without") and re.match(r"[a-z_]+$", word):
            waiting = word
        elif waiting and word == "(" and result[-1:] == [")"]:
            result += [waiting, word]
            waiting = ""
        else:
            result.append(word)
    return result


def _sample_labels() -> Mapping[str, frozenset[str]]:
    labels: dict[str, frozenset[str]] = {}
    for metric in (*names.METRICS, *names.SERVICE_METRICS):
        own = frozenset(metric.labels)
        if metric.kind == "histogram":
            labels[f"{metric.name}_bucket"] = own | {"le"}
            labels[f"{metric.name}_sum"] = labels[f"{metric.name}_count"] = own
        else:
            labels[metric.name] = own
    return labels


SAMPLE_LABELS: Final = _sample_labels()


def labels_of(metric: str) -> frozenset[str] | None:
    """Return the labels of ``metric`` once scraped or recorded; None when there is no such metric."""
    if metric == SCRAPES_STATE:
        return frozenset({PART})
    if metric.startswith(RECORDED_PREFIX):
        family = names.FAMILIES.get(metric.split(":")[1])
        if family is None:
            return None
        return frozenset(family.labels) | ({PART} if metric == state_metric(family) else set())
    own = SAMPLE_LABELS.get(metric)
    return None if own is None else own | SCRAPE_LABELS


def unknown_names(expression: str) -> list[str]:
    """Return, in words, what ``expression`` names and the exporter does not have; empty when fine."""
    found = names_of(expression)
    problems = []
    all_labels: set[str] = set()
    for selector in found.selectors:
        own = labels_of(selector.metric)
        if own is None:
            problems.append(f"metric {selector.metric or '(none)'}")
            continue
        all_labels |= own
        problems += [f"label {label} of {selector.metric}" for label in sorted(selector.labels - own)]
    if not any(problem.startswith("metric") for problem in problems):
        problems += [f"label {label} in by or on" for label in sorted(found.grouping - all_labels)]
    return problems


def substitute(expression: str, *, range_seconds: int, interval_seconds: int, min_step_seconds: int) -> str:
    """Return ``expression`` with Grafana's variables filled in, every job and instance chosen.

    ``$__rate_interval`` follows Grafana: the larger of four minimal steps and one interval plus one minimal step.
    """
    rate_interval = max(4 * min_step_seconds, interval_seconds + min_step_seconds)
    values = {
        "$__rate_interval": f"{rate_interval}s",
        "$__interval": f"{interval_seconds}s",
        "$__range": f"{range_seconds}s",
        "$job": ".+",
        "$instance": ".+",
    }
    for variable, value in values.items():
        expression = expression.replace(variable, value)
    return expression

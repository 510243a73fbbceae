"""The recording rules that keep exact running totals of every counter, generated from one place.

One rule per family carries all its state from one evaluation to the next, as series of one metric that are
committed together, ``asahi:<family>:state``, told apart by the label ``part``:

``seen``      each counter as last counted, by its identity: labels and ``store`` for an exporter with a state
              directory, all scraped labels for one without
``running``   the total ever counted, by the labels of the family
``memory``    when each memory that holds counters was created, by ``store`` or else ``job`` and ``instance``
``since``     when this unbroken run of evaluations began: the certificate of ``running``
``snapshot``  the moment up to which everything here is counted

An evaluation counts each counter's difference to ``seen``, however long ago that was recorded. Nothing reads a
sample of its own evaluation, so writers that are asynchronous (vmalert) work too. A snapshot is taken at the
last multiple of the evaluation interval that is ``settle`` ago, so that every term sees the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import yaml

from asahi_analytics.errors import UserInputError
from asahi_analytics.promql import by_clause, duration
from asahi_exporter.conventions import FAMILIES, STORE, STORE_CREATED, Family

PART: Final = "part"
SEEN: Final = "seen"
RUNNING: Final = "running"
MEMORY: Final = "memory"
SINCE: Final = "since"
SNAPSHOT: Final = "snapshot"
JOB: Final = "job"
INSTANCE: Final = "instance"
HISTOGRAM_SUFFIXES: Final = ("_bucket", "_sum", "_count")
HEADER: Final = (
    "# Made by `asahi-obs rules build` from asahi_analytics/tiles.py; docs/exact-dollars.md explains it.\n"
)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True)
class RuleParameters:
    """How the rules run.

    ``interval``: between evaluations, and the grid that snapshots lie on; ``histogram_interval``: the same for
    histogram families; ``settle``: how old a snapshot is at least, so that its scrapes are stored; ``lookback``:
    how old a sample may be to stand for its series at a snapshot; ``state_lookback``: how long an interruption
    of scrapes or evaluations may last without breaking the run.
    """

    interval: timedelta = timedelta(minutes=1)
    histogram_interval: timedelta = timedelta(minutes=5)
    settle: timedelta = timedelta(seconds=15)
    lookback: timedelta = timedelta(minutes=5)
    state_lookback: timedelta = timedelta(hours=6)

    def __post_init__(self) -> None:
        """Refuse parameters with which the rules would not be exact."""
        longest = max(self.interval, self.histogram_interval)
        if min(self.interval, self.histogram_interval, self.settle) < timedelta(seconds=1):
            raise UserInputError("rule intervals and settle must be at least one second")
        if self.lookback < longest:
            raise UserInputError(
                f"lookback must be at least the longest interval, {longest}; got {self.lookback}"
            )
        if self.state_lookback < 2 * (longest + self.settle):
            raise UserInputError(f"state_lookback must span several evaluations; got {self.state_lookback}")

    def interval_of(self, family: Family) -> timedelta:
        """Return the evaluation interval of ``family``."""
        return self.histogram_interval if is_histogram(family) else self.interval


def is_histogram(family: Family) -> bool:
    """Tell whether ``family`` is a part of a histogram."""
    return family.source.endswith(HISTOGRAM_SUFFIXES) and not family.source.endswith("_total")


def state_metric(family: Family) -> str:
    """Return the name of the metric that carries the state of ``family``."""
    return f"asahi:{family.name}:state"


def running_metric(family: Family) -> str:
    """Return the name of the running total of ``family``, as dashboards read it."""
    return f"asahi:{family.name}:running"


@dataclass(frozen=True)
class Reach:
    """How far back the terms look: for state, for counters last seen, and for samples of stored and plain counters.

    ``plain`` must not reach back before the moment up to which the state has counted.
    """

    state: timedelta
    seen: timedelta
    stored: timedelta
    plain: timedelta


@dataclass(frozen=True)
class Terms:
    """The terms of a running total of ``family`` in PromQL.

    ``snap`` wraps an expression so that it is evaluated at the snapshot (or leaves it at the query's own time),
    ``counted_to`` is that moment in PromQL; ``where`` holds matchers on the family's labels that all terms obey.
    """

    family: Family
    reach: Reach
    state: str
    snap: Callable[[str], str]
    counted_to: str
    where: str = ""

    def carried(self, part: str, more: str = "") -> str:
        """State as last recorded."""
        where = self.where if part in {SEEN, RUNNING} else ""
        matching = ",".join(filter(None, (f'{PART}="{part}"', more, where)))
        range_text = duration(self.reach.seen if part == SEEN else self.reach.state)
        return f"last_over_time({self.state}{{{matching}}}[{range_text}])"

    def _raw(self, store: str, reach: timedelta) -> str:
        matching = ",".join(filter(None, (f'{STORE}{store}""', self.where)))
        return f"{self.family.source}{{{matching}}}[{duration(reach)}]"

    def stored(self) -> str:
        """Counters of memories that survive their process: the store is the identity, wherever it is scraped."""
        last = self.snap(f"last_over_time({self._raw('!=', self.reach.stored)})")
        return f"max {by_clause((*self.family.labels, STORE))} ({last})"

    def plain(self) -> str:
        """Counters that die with their process: every scraped label is the identity."""
        return self.snap(f"last_over_time({self._raw('=', self.reach.plain)})")

    def dropped(self) -> str:
        """What a plain counter had reached before it fell; not twice, should a snapshot be taken again."""
        samples = self._raw("=", self.reach.plain)
        fell = self.snap(f"max_over_time({samples}) > last_over_time({samples})")
        return f"({fell} and on () ({self.carried(SNAPSHOT)} < {self.counted_to}))"

    def plain_through_resets(self) -> str:
        """Plain counters as if they had not fallen since the last snapshot."""
        tagged = part("dropped", self.dropped())
        return f"sum without ({PART}) ({self.plain()} or {tagged})"

    def memory(self) -> str:
        """When each memory was created."""
        name, look = STORE_CREATED.name, duration(self.reach.stored)
        stored = self.snap(f'last_over_time({name}{{{STORE}!=""}}[{look}])')
        plain = self.snap(f'last_over_time({name}{{{STORE}=""}}[{look}])')
        return f"(max by ({STORE}) ({stored}) or max by ({JOB}, {INSTANCE}) ({plain}))"

    def unknown_memory(self) -> str:
        """Memories older than what the state can know of, and not in it: taken over, not counted."""
        oldest = self.reach.seen.total_seconds()
        threshold = f"scalar(clamp_min({self.carried(SINCE)}, {self.counted_to} - {oldest:g}))"
        return f"({self.memory()} < {threshold}) unless ignoring ({PART}) {self.carried(MEMORY)}"

    def counted(self) -> str:
        """What each counter counted since it was last seen; births from zero."""
        stored, plain = self.stored(), self.plain_through_resets()
        seen_stored = self.carried(SEEN, f'{STORE}!=""')
        seen_plain = self.carried(SEEN, f'{STORE}=""')
        return f"""(
  clamp_min({stored} - ignoring ({PART}) {seen_stored}, 0)
  or
  ({plain} - ignoring ({PART}) {seen_plain}) >= 0
  or
  (
    ({stored} or {plain})
    and on () {self.carried(SINCE)}
    unless on ({STORE}, {JOB}, {INSTANCE}) ({self.unknown_memory()})
  )
)"""

    def total(self, labels: Iterable[str]) -> str:
        """The running total by ``labels``: what was carried and what was counted since."""
        return f"sum {by_clause(tuple(labels))} (\n{self.carried(RUNNING)}\nor\n{self.counted()}\n)"


def part(name: str, expression: str) -> str:
    """Return ``expression`` with the label that tells which part of the state it is."""
    return f'label_replace({expression}, "{PART}", "{name}", "", "")'


def snapshot_terms(family: Family, rules: RuleParameters) -> Terms:
    """Return the terms as the rules evaluate them: at the last grid point that is old enough."""
    interval, settle = rules.interval_of(family), rules.settle
    step, settled = duration(interval), f"(time() - {settle.total_seconds():g})"

    def snap(expression: str) -> str:
        return f"last_over_time(({expression})[{step}:{step}] offset {duration(settle)})"

    back = rules.state_lookback
    reach = Reach(state=back, seen=back, stored=rules.lookback, plain=interval - _MILLISECOND)
    counted_to = f"({settled} - {settled} % {interval.total_seconds():g})"
    return Terms(family, reach, state_metric(family), snap, counted_to)


def terms_at_query_time(
    family: Family, rules: RuleParameters, state: str, since_snapshot: timedelta, where: str = ""
) -> Terms:
    """Return the terms at the query's own time, ``since_snapshot`` after what ``state`` has counted."""
    reach = Reach(
        state=since_snapshot,
        seen=rules.state_lookback,
        stored=max(rules.lookback, since_snapshot),
        plain=since_snapshot,
    )
    return Terms(family, reach, state, lambda expression: f"({expression})", "time()", where)


def state_expression(family: Family, rules: RuleParameters) -> str:
    """Return the rule that carries the state of ``family``."""
    terms = snapshot_terms(family, rules)
    now = f"vector{terms.counted_to}"
    return "\nor\n".join(
        (
            part(RUNNING, terms.total(family.labels)),
            part(SEEN, f"({terms.stored()} or {terms.plain()})"),
            part(MEMORY, terms.memory()),
            part(SINCE, f"(max by () ({terms.carried(SINCE)}) or {now})"),
            part(SNAPSHOT, now),
        )
    )


def rule_group(family: Family, rules: RuleParameters) -> dict[str, Any]:
    """Return the group of rules of ``family``."""
    recent = duration(2 * rules.interval_of(family))
    copy = f'max without ({PART}) (last_over_time({state_metric(family)}{{{PART}="{RUNNING}"}}[{recent}]))'
    return {
        "name": f"asahi_{family.name}",
        "interval": duration(rules.interval_of(family)),
        "rules": [
            {"record": state_metric(family), "expr": state_expression(family, rules)},
            {"record": running_metric(family), "expr": copy},
        ],
    }


def rule_files(
    rules: RuleParameters | None = None, families: Mapping[str, Family] = FAMILIES
) -> dict[str, str]:
    """Return the text of each rule file by its name."""
    rules = rules or RuleParameters()
    groups = [rule_group(family, rules) for family in families.values()]
    text = yaml.dump({"groups": groups}, sort_keys=False, width=110, Dumper=_Dumper)
    return {"asahi_totals.yml": HEADER + text}


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as blocks."""


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)

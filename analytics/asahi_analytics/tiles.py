"""The recording rules that keep exact running totals of every counter, generated from one place.

One rule per family carries all its state from one evaluation to the next, as series of one metric that are
committed together, ``asahi:<family>:state``, told apart by the label ``part``:

``seen``      each counter as last counted, by its identity: labels and ``store`` for an exporter with a state
              directory, all scraped labels for one without
``running``   the total ever counted, by the labels of the family
``memory``    when each memory that holds counters was created, by ``store`` or else ``job`` and ``instance``
``since``     when this unbroken run of evaluations began: the certificate of ``running``
``snapshot``  the moment up to which everything here is counted
``adopted``   memories that were taken over without counting what they held: they are older than the state

An evaluation counts each counter's difference to ``seen``, however long ago that was recorded. Nothing reads a
sample of its own evaluation, so writers that are asynchronous (vmalert) work too. A snapshot is taken at the
last multiple of the evaluation interval that is ``settle`` ago, so that every term sees the same samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from asahi_analytics.errors import UserInputError
from asahi_analytics.promql import MILLISECOND, at_grid, by_clause, duration
from asahi_exporter.conventions import REQUESTS, STORE, STORE_CREATED, Family

PART: Final = "part"
SEEN: Final = "seen"
RUNNING: Final = "running"
MEMORY: Final = "memory"
SINCE: Final = "since"
SNAPSHOT: Final = "snapshot"
ADOPTED: Final = "adopted"
BACKFILLED: Final = "backfilled"
"""Present on samples that ``backfill`` wrote instead of the rules."""
LIFE: Final = "life"
SCRAPES_STATE: Final = "asahi:scrapes:state"
SCRAPED: Final = "scraped"
RESTARTS: Final = "restarts"
SCRAPE_SIGNS: Final = (STORE_CREATED.name, REQUESTS.name)
"""Metrics whose samples tell that an exporter was scraped."""
_NO_FAMILY: Final = Family("scrapes", "", ())
JOB: Final = "job"
INSTANCE: Final = "instance"
HISTOGRAM_SUFFIXES: Final = ("_bucket", "_sum", "_count")
DISCOVERY: Final = timedelta(seconds=10)
"""Prometheus takes up to half of this after its start until it scrapes."""
PLAIN_CREATED: Final = f'{STORE_CREATED.name}{{{STORE}=""}}'
PROCESS: Final = f"({JOB}, {INSTANCE})"
MINUTE_FAMILIES: Final = frozenset(
    {
        "requests",
        "cost_dollars",
        "baseline_dollars",
        "savings_dollars",
        "user_cost_dollars",
        "tokens",
        "cache_hits",
        "cache_misses",
        "errors",
    }
)
"""Families whose totals are recorded by the minute as well (see ``minutes``): money, and what alerts watch."""


@dataclass(frozen=True)
class RuleParameters:
    """How the rules run.

    ``state_interval``: between evaluations that carry state, and the grid that their snapshots lie on; ``interval``:
    the same of the minute level, and of what tells when exporters were scraped; ``settle``: how old a snapshot is at
    least, so that its scrapes are stored; ``lookback``: how old a sample may be to stand for its series at a snapshot;
    ``state_lookback``: how long an interruption of scrapes or evaluations may last without breaking the run;
    ``scrape_interval``: the shortest of any exporter.
    """

    interval: timedelta = timedelta(minutes=1)
    state_interval: timedelta = timedelta(minutes=5)
    settle: timedelta = timedelta(seconds=15)
    lookback: timedelta = timedelta(minutes=5)
    state_lookback: timedelta = timedelta(hours=2)
    scrape_interval: timedelta = timedelta(seconds=15)

    def __post_init__(self) -> None:
        """Refuse parameters with which the rules would not be exact."""
        longest = max(self.interval, self.state_interval)
        if min(self.scrape_interval, self.lookback - self.scrape_interval) <= timedelta(0):
            raise UserInputError(
                f"scrape_interval must be above 0 and below lookback, {self.lookback}; got {self.scrape_interval}"
            )
        if (shortest := min(self.interval, self.state_interval, self.settle)) < timedelta(seconds=1):
            raise UserInputError(f"rule intervals and settle must be at least one second; got {shortest}")
        if self.lookback < longest:
            raise UserInputError(
                f"lookback must be at least the longest interval, {longest}; got {self.lookback}"
            )
        if self.state_lookback < 2 * (longest + self.settle):
            raise UserInputError(f"state_lookback must span several evaluations; got {self.state_lookback}")

    @property
    def grid(self) -> timedelta:
        """How finely the rules look for the last words of a process: each scrape shows at two points."""
        return self.scrape_interval / 2

    @property
    def kept(self) -> timedelta:
        """How long after a snapshot its evaluation was at the latest."""
        return self.state_interval + self.settle

    @property
    def stored(self) -> timedelta:
        """How old a snapshot is at least when its state is sure to be stored."""
        return self.kept + self.settle

    @property
    def rejoin(self) -> timedelta:
        """How long after an interruption a run begins anew: every exporter is scraped again by then."""
        interval = self.state_interval
        return interval * math.ceil((interval + self.scrape_interval + DISCOVERY) / interval)


def is_histogram(family: Family) -> bool:
    """Tell whether ``family`` is a part of a histogram."""
    return family.source.endswith(HISTOGRAM_SUFFIXES) and not family.source.endswith("_total")


def state_metric(family: Family) -> str:
    """Return the name of the metric that carries the state of ``family``."""
    return f"asahi:{family.name}:state"


@dataclass(frozen=True)
class Reach:
    """How far back the terms look.

    For state, for counters last seen, for the memories they live in, for samples of stored counters, to the snapshot
    before, to the latest scrape, and from the beginning of a run to the creation of memories that are born in it. A
    memory is forgotten no later than its counters, which were last recorded up to a look-back before it: else what
    they held would be counted again. What was scraped before the run, and created within a look-back of its first
    snapshot, that snapshot has seen: what it has not seen was never scraped before.
    """

    state: timedelta
    seen: timedelta
    memory: timedelta
    stored: timedelta
    before: timedelta
    scrape: timedelta
    birth: timedelta


@dataclass(frozen=True)
class Terms:
    """The terms of a running total of ``family`` in PromQL.

    ``snap`` wraps an expression so that it is evaluated at the snapshot (or leaves it at the query's own time);
    ``through`` gives each of its series as last seen since the snapshot before; ``counted_to`` is that moment in
    PromQL; ``where`` holds matchers on the family's labels that all terms obey.
    """

    family: Family
    reach: Reach
    state: str
    snap: Callable[[str], str]
    through: Callable[[str], str]
    counted_to: str
    due: str = ""
    next: str = ""
    where: str = ""

    def carried(self, part: str, more: str = "") -> str:
        """State as last recorded."""
        where = self.where if part in {SEEN, RUNNING} else ""
        matching = ",".join(filter(None, (f'{PART}="{part}"', more, where)))
        reach = {SEEN: self.reach.seen, MEMORY: self.reach.memory}.get(part, self.reach.state)
        return f"last_over_time({self.state}{{{matching}}}[{duration(reach)}])"

    def _raw(self, store: str) -> str:
        matching = ",".join(filter(None, (f'{STORE}{store}""', self.where)))
        return f"{self.family.source}{{{matching}}}"

    def _stored_now(self) -> str:
        return self.snap(f"last_over_time({self._raw('!=')}[{duration(self.reach.stored)}])")

    def stored(self, unless: str = "") -> str:
        """Counters of memories that survive their process: the store is the identity, wherever it is scraped."""
        return f"max {by_clause((*self.family.labels, STORE))} ({self._stored_now()}{unless})"

    def _fresh(self, selector: str) -> str:
        """Series with a sample of the latest scrape: none that an earlier process left behind."""
        return f"last_over_time({selector}[{duration(self.reach.scrape)}])"

    def _steady(self) -> str:
        """Plain counters of processes that did not start anew since the snapshot before."""
        back = duration(self.reach.before)
        created = f"{PLAIN_CREATED}[{back}]"
        lives = f"{_lives(f'last_over_time({created})')} unless on {PROCESS} changes({created}) > 0"
        return f"last_over_time({self._raw('=')}[{back}]) * on {PROCESS} group_left ({LIFE}) ({lives})"

    def _restarted(self) -> str:
        """Plain counters of processes that started anew about now, by the life that the latest scrape saw."""
        back = duration(self.reach.before)
        anew = f"changes({PLAIN_CREATED}[{duration(2 * self.reach.before)}] offset -{back}) > 0"
        lives = _lives(self._fresh(PLAIN_CREATED))
        counters = f"({self._fresh(self._raw('='))} and on {PROCESS} {anew})"
        return f"({counters} * on {PROCESS} group_left ({LIFE}) {lives})"

    def _foreign(self) -> str:
        """Plain counters of processes that do not say when they were created."""
        back = duration(self.reach.before)
        created = f"last_over_time({PLAIN_CREATED}[{back}])"
        return f"last_over_time({self._raw('=')}[{back}]) unless on {PROCESS} {created}"

    def plain(self) -> str:
        """Counters that die with their process: every scraped label and the process's life are the identity.

        Of a process that started anew since the snapshot before, each of its lives as last scraped.
        """
        at_end = self.snap(f"{self._steady()} or {self._foreign()}")
        return f"({at_end} or {self.through(self._restarted())})"

    def memory(self) -> str:
        """When each memory was created."""
        name, look = STORE_CREATED.name, duration(self.reach.stored)
        stored = self.snap(f'last_over_time({name}{{{STORE}!=""}}[{look}])')
        plain = self.snap(f'last_over_time({name}{{{STORE}=""}}[{look}])')
        return f"(max by ({STORE}) ({stored}) or max by ({JOB}, {INSTANCE}) ({plain}))"

    def unknown_memory(self) -> str:
        """Memories older than what the state can know of, and not in it: taken over, not counted.

        What was recorded may carry more labels by now: Prometheus puts its external labels on all it sends away.
        """
        oldest = self.reach.seen.total_seconds()
        begun = f"{self.carried(SINCE)} - {self.reach.birth.total_seconds():g}"
        threshold = f"scalar(clamp_min({begun}, {self.counted_to} - {oldest:g}))"
        return (
            f"({self.memory()} < {threshold}) unless on ({STORE}, {JOB}, {INSTANCE}) {self.carried(MEMORY)}"
        )

    def broken(self) -> str:
        """Evaluations were missed while there were plain processes, whose last words may have gone unheard."""
        created = f'{STORE_CREATED.name}{{{STORE}=""}}[{duration(self.reach.seen)}]'
        return f"max by () ({self.carried(SNAPSHOT)} < {self.due} and on () count(last_over_time({created})))"

    def certificate(self) -> str:
        """When this unbroken run began; after a break at the next snapshot, when all is scraped again."""
        carried, broken = self.carried(SINCE), self.broken()
        begun = f"max by () ({carried} unless on () {broken})"
        return f"({begun} or {broken} * 0 + {self.next} or vector{self.counted_to})"

    def counted(self) -> str:
        """What each counter counted since it was last seen, never less than nothing; births count from zero.

        One sum for each identity of what it is now and of what it was, taken off: a birth has nothing to take off.
        Nothing counts before the first evaluation is recorded. Of two that agree, a comparison takes half the memory of
        ``clamp_min``, which makes every label set anew.
        """
        identity, since = by_clause((*self.family.labels, STORE)), self.carried(SINCE)
        unknown = f"{self.unknown_memory()} or {self.memory()} unless on () {since}"
        stored = self.stored(f" unless on ({STORE}) ({unknown})")
        plain = f"{self.plain()} unless on ({STORE}, {JOB}, {INSTANCE}) ({unknown}) and on () {since}"
        seen_stored, seen_plain = (self.carried(SEEN, f'{STORE}{which}""') for which in ("!=", "="))
        return f"""{part("fallen", self._fallen())}
or
sum without ({PART}) ({plain} or on ({PART}) -{seen_plain}) >= 0
or
sum {identity} ({stored} or on ({PART}) -{seen_stored}) >= 0"""

    def _fallen(self) -> str:
        """Counters whose value fell although nothing says that their process started anew: in full."""
        seen = self.carried(SEEN, f'{STORE}="",{LIFE}=""')
        return f"({self.snap(self._foreign())} < ignoring ({PART}) {seen})"

    def total(self, labels: Iterable[str]) -> str:
        """The running total by ``labels``: what was carried and what was counted since."""
        return f"(sum {by_clause(tuple(labels))} (\n{self.counted()}\nor on ({PART})\n{self.carried(RUNNING)}\n))"


def _lives(created: str) -> str:
    """Each process's life, told apart by when its memory was created: a restart begins another. Every value is 1."""
    return f'count_values by {PROCESS} ("{LIFE}", max by {PROCESS} ({created}))'


def part(name: str, expression: str) -> str:
    """Return ``expression`` with the label that tells which part of the state it is."""
    return f'label_replace({expression}, "{PART}", "{name}", "", "")'


def snapshot_terms(family: Family, rules: RuleParameters) -> Terms:
    """Return the terms as the rules evaluate them: at the last grid point that is old enough."""
    interval, settle = rules.state_interval, rules.settle
    settled = f"(time() - {settle.total_seconds():g})"

    def snap(expression: str) -> str:
        return at_grid(expression, interval, settle)

    def through(expression: str) -> str:
        grid = f"[{duration(interval - MILLISECOND)}:{duration(rules.grid)}]"
        return snap(f"last_over_time({expression}{grid})")

    reach = Reach(
        rules.state_lookback,
        rules.state_lookback,
        rules.state_lookback - rules.lookback,
        rules.lookback,
        interval - MILLISECOND,
        rules.scrape_interval - MILLISECOND,
        rules.lookback,
    )
    counted_to = f"({settled} - {settled} % {interval.total_seconds():g})"
    due = f"({counted_to} - {interval.total_seconds():g})"
    following = f"({counted_to} + {rules.rejoin.total_seconds():g})"
    return Terms(family, reach, state_metric(family), snap, through, counted_to, due, following)


def terms_at_query_time(
    family: Family, rules: RuleParameters, state: str, since_snapshot: timedelta, where: str = ""
) -> Terms:
    """Return the terms at the query's own time, ``since_snapshot`` after what ``state`` has counted."""
    reach = Reach(
        since_snapshot,
        rules.state_lookback,
        rules.state_lookback - rules.lookback,
        max(rules.lookback, since_snapshot),
        since_snapshot,
        rules.scrape_interval - MILLISECOND,
        rules.lookback,
    )
    grid = f"[{duration(since_snapshot)}:{duration(rules.grid)}]"

    def through(expression: str) -> str:
        return f"({expression} or last_over_time({expression}{grid}))"

    return Terms(family, reach, state, lambda expression: f"({expression})", through, "time()", where=where)


def state_expression(family: Family, rules: RuleParameters) -> str:
    """Return the rule that carries the state of ``family``."""
    terms = snapshot_terms(family, rules)
    now = f"vector{terms.counted_to}"
    few = (
        part(SNAPSHOT, now),
        part(SINCE, terms.certificate()),
        part(MEMORY, terms.memory()),
        part(ADOPTED, f"({terms.unknown_memory()})"),
    )
    seen = part(SEEN, f"({terms.plain()} or {terms.stored()})")
    return f"\nor on ({PART})\n".join((*few, part(RUNNING, terms.total(family.labels)), seen))


def recorded_total(family: Family, rules: RuleParameters, unless: str = "") -> str:
    """Return the running total of ``family`` as the state recorded it last, under no other labels than its own."""
    total = f'{state_metric(family)}{{{PART}="{RUNNING}"}}'
    return f"max without ({PART}) (last_over_time({total}[{duration(2 * rules.state_interval)}]){unless})"


def scrapes_expression(rules: RuleParameters) -> str:
    """Return the rule that counts the seconds in which any exporter was scraped, and the restarts seen."""
    interval = rules.interval
    step, seconds = duration(interval), f"{interval.total_seconds():g}"
    terms = Terms(_NO_FAMILY, Reach(*[rules.state_lookback] * 7), SCRAPES_STATE, str, str, "")
    settled = f"(time() - {rules.settle.total_seconds():g})"
    now = f"vector({settled} - {settled} % {seconds})"

    def snap(expression: str) -> str:
        return at_grid(expression, interval, rules.settle)

    fresh = duration(interval - MILLISECOND)
    samples = " or ".join(f"count(last_over_time({name}[{fresh}]))" for name in SCRAPE_SIGNS)
    scraped = f"({snap(samples)}) * 0 + {seconds}"
    created = f'last_over_time({STORE_CREATED.name}{{{STORE}=""}}[{duration(rules.lookback)}]'
    restarts = f"count({snap(f'{created}) != {created} offset {step})')})"
    counted = f"max by () ({terms.carried(SNAPSHOT)}) < {now}"

    def running(name: str, gained: str) -> str:
        added = part("gained", f"({gained} and on () ({counted}))")
        return part(name, f"sum by () ({terms.carried(name)} or {added} or vector(0))")

    return "\nor\n".join(
        (
            running(SCRAPED, scraped),
            running(RESTARTS, restarts),
            part(SINCE, f"(max by () ({terms.carried(SINCE)}) or {now})"),
            part(SNAPSHOT, now),
        )
    )


def scrapes_group(rules: RuleParameters) -> dict[str, Any]:
    """Return the group that tells how completely the exporters were scraped."""
    rule = {"record": SCRAPES_STATE, "expr": scrapes_expression(rules)}
    return {"name": "asahi_scrapes", "interval": duration(rules.interval), "rules": [rule]}

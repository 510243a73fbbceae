"""Hours of scrapes and rule evaluations in seconds: samples are written to a real Prometheus as if it had scraped them.

The shipped rules are evaluated by asking their expressions at the times of their evaluations, and written back. So
outages, restarts and moves happen to the millisecond where a test wants them. Times are seconds from ``START``.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from asahi_analytics import bases, minutes, recording, tiles
from asahi_analytics.bases import Base
from asahi_analytics.composer import Composer
from asahi_analytics.composer.ledger import add
from asahi_analytics.composer.raw import RawSums
from asahi_analytics.composer.raw_questions import DAY, cut
from asahi_analytics.demo.servers import prometheus, prometheus_config, running
from asahi_analytics.history import HistorySeries
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.remote_write import RemoteWriter
from asahi_analytics.settings import CacheSettings
from asahi_analytics.tiles import RuleParameters
from asahi_analytics.windows import Window
from asahi_exporter.conventions import FAMILIES, STORE_CREATED

Rule = Mapping[str, Any]
RULES = RuleParameters()
LONG_AGO = -50_000


class Simulation:
    """One family's counters and rules; ``phase`` is when in their interval the rules are evaluated.

    ``external``: labels that everything is stored with, as in a store that Prometheus writes to with external labels.
    """

    def __init__(
        self,
        url: str,
        family: str = "savings_dollars",
        phase: float = 20.0,
        rules: RuleParameters = RULES,
        external: Mapping[str, str] | None = None,
    ) -> None:
        self.family, self.rules = FAMILIES[family], rules
        self.client = PrometheusClient(url, cache=CacheSettings(max_bytes=0))
        self.composer = Composer(self.client, rules)
        self.writer = RemoteWriter(f"{url}/api/v1/write")
        self.external = external or {}
        self.start = (math.floor(time.time() / 3600) - 8) * 3600.0
        self.phase = phase
        self.interval = rules.state_interval.total_seconds()
        of_family = {family: self.family}
        self._rules = [
            tiles.scrapes_group(rules)["rules"][0],
            *recording.totals_group(self.family, rules)["rules"],
        ]
        self._bases = _rules_of(bases.rule_files(rules, of_family))
        self._minutes = _rules_of(minutes.rule_files(rules, of_family))
        self._scrapes: list[tuple[float, list[HistorySeries]]] = []

    def at(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(round(self.start + seconds, 3), UTC)

    def scrape(
        self,
        at: float,
        instance: str,
        counters: dict[str, float],
        *,
        store: str = "",
        created: float = LONG_AGO,
    ):
        """The exporter at ``instance`` is scraped; ``counters`` are told apart by the family's first label."""
        ms = np.array([round((self.start + at) * 1000)], dtype=np.int64)
        target = {
            "job": "asahi",
            "instance": instance,
            **({"store": store} if store else {}),
            **self.external,
        }
        series = [HistorySeries(STORE_CREATED.name, target, ms, np.array([self.start + created]))]
        for name, value in counters.items():
            labels = {**target, self.family.labels[0]: name}
            series.append(HistorySeries(self.family.source, labels, ms, np.array([float(value)])))
        self._scrapes.append((at, series))

    def run(
        self,
        end: float,
        begin: float = 60.0,
        down: tuple[float, float] = (0.0, 0.0),
        by_minute: float | None = None,
    ) -> None:
        """Let everything happen up to ``end``; the rules begin at ``begin`` and are not evaluated while ``down``.

        ``by_minute``: the phase of the rules of the minute level, which are not evaluated otherwise.
        """
        grid = Base(self.family, self.rules).grid.total_seconds()
        turns = [(self.interval, self.phase, self._rules), (grid, self.phase % grid, self._bases)]
        if by_minute is not None:
            turns.append((self.rules.interval.total_seconds(), by_minute, self._minutes))
        due: dict[float, list[Rule]] = defaultdict(list)
        for interval, phase, rules in turns:
            first = math.ceil((self.start + begin - phase) / interval)
            for number in range(first, math.floor((self.start + end - phase) / interval) + 1):
                due[round(number * interval + phase - self.start, 3)] += rules
        scrapes = sorted(self._scrapes, key=lambda scrape: scrape[0])
        for moment in (each for each in sorted(due) if not down[0] <= each < down[1]):
            seen = [one for at, series in scrapes if at <= moment for one in series]
            scrapes = [scrape for scrape in scrapes if scrape[0] > moment]
            if seen:
                self.writer.write(seen)
            for rule in due[moment]:
                self._record(rule, moment)
        rest = [one for _, series in scrapes for one in series]
        if rest:
            self.writer.write(rest)

    def _record(self, rule: Rule, moment: float) -> None:
        ms = np.array([round((self.start + moment) * 1000)], dtype=np.int64)
        answer = self.client.query(rule["expr"], self.at(moment))
        more = {**rule.get("labels", {}), **self.external}
        recorded = [
            HistorySeries(rule["record"], {**_unnamed(sample.labels), **more}, ms, np.array([sample.value]))
            for sample in answer.samples
        ]
        if recorded:
            self.writer.write(recorded)

    def total(self, start: float, end: float) -> dict[str, float]:
        """What the composer answers, by the family's first label."""
        sums = self.composer.total(
            self.family.name, [self.family.labels[0]], Window(self.at(start), self.at(end))
        )
        return _more_than_nothing(sums.values.items())

    def raw(self, start: float, end: float) -> dict[str, float]:
        """The sum over the raw samples."""
        raw = RawSums(self.client, self.family, None, self.rules.state_lookback)
        edges = cut(self.start + start, self.start + end, DAY)
        found = reduce(add, raw.each_bin([self.family.labels[0]], edges))
        return _more_than_nothing((key[0], value) for key, value in found.items())

    def bins(self, start: float, end: float, step: float):
        """The amounts in bins, one column each."""
        window, by = Window(self.at(start), self.at(end)), [self.family.labels[0]]
        return self.composer.series(self.family.name, by, window, timedelta(seconds=step)).frame


def _rules_of(files: Mapping[str, str]) -> list[Rule]:
    groups = [group for text in files.values() for group in yaml.safe_load(text)["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def _more_than_nothing(amounts) -> dict[str, float]:
    """Amounts to the millionth, without those that are none but for what floating point leaves."""
    rounded = {str(name): round(value, 6) for name, value in amounts}
    return {name: value for name, value in rounded.items() if value}


def _unnamed(labels) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != "__name__"}


@contextlib.contextmanager
def simulation(folder: Path, **options) -> Iterator[Simulation]:
    """Start a Prometheus that takes what is written to it."""
    server = prometheus(
        folder,
        prometheus_config(out_of_order="30d"),
        extra_flags=["--web.enable-remote-write-receiver"],
    )
    with running(server) as started:
        yield Simulation(started.url, **options)

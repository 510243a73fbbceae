"""Building blocks of the alert rules: PromQL and templates, as text.

Sums start from the running totals ``asahi:<family>:running``, which never lose a dollar: what happened within a
window is the total now less the total a window ago, so that births, restarts and gaps need no guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from asahi_alerts.thresholds import Thresholds, seconds
from asahi_exporter.conventions import FAMILIES
from asahi_exporter.promtext import quoted, regex_escaped

Pick = Literal["max", "min"]
"""Which expectation counts: the largest where a rise is unusual, the smallest where a fall is."""
HOUR_SECONDS: Final = 3_600
WEEK_SECONDS: Final = 7 * 24 * HOUR_SECONDS
SHORT_BRIDGE: Final = "6m"
"""How far before the start of a window of up to an hour its total is looked for, if Prometheus was down then."""
LONG_BRIDGE: Final = "1h"
"""The same for longer windows."""
RECENT: Final = "10m"
"""How old a total may be and still be the one of now: totals of histograms are recorded every five minutes."""


def running(family: str) -> str:
    """Return the name of the running total of ``family``; an unknown family is a ``KeyError``."""
    return FAMILIES[family].running


def indented(expr: str, spaces: int = 2) -> str:
    """Return ``expr`` with each line moved to the right."""
    return "\n".join(" " * spaces + line for line in expr.splitlines())


def aggregated(operator: str, by: Sequence[str], *arguments: str) -> str:
    """Return ``operator`` over the last argument, keeping the labels ``by`` (none: one value for all)."""
    head = f"{operator} by ({', '.join(by)}) (" if by else f"{operator}("
    return head + "\n" + ",\n".join(map(indented, arguments)) + "\n)"


def growth(family: str, by: Sequence[str], window: str) -> str:
    """Return what was added to ``family`` within the trailing ``window``, by the labels ``by``.

    Each label set is taken on its own: its total now less its total a window ago. One that had no total then or for
    some time before, though others had, was born since and counts from zero. Where nothing was recorded a window ago
    (Prometheus was down, the rules were just installed), counting starts with the first total after that: too little
    rather than too much. A total that fell was begun anew, because Prometheus was down for hours, and counts in full.
    """
    return aggregated("sum", by, _grown(running(family), window))


def grown_total(family: str, window: str) -> str:
    """Return what was added to the whole of ``family`` within ``window``: the same, from one series."""
    return _grown(total_running(family), window)


def total_running(family: str) -> str:
    """Return the name of the running total over all label sets of ``family``, which the alert rules record."""
    return f"asahi_total:{FAMILIES[family].name}:running"


def _grown(total: str, window: str) -> str:
    now, before = f"last_over_time({total}[{RECENT}])", _before(total, window)
    return (
        f"(\n  {now}\n  - (\n    {before}\n"
        f"    or {now} * 0 {_born(total, window)}\n"
        f"    or {_first(total, window)}\n  )\n) >= 0\n"
        f"or {now} < {before}"
    )


def _before(total: str, window: str) -> str:
    """Return ``total`` as it was a window ago; the longer the window, the further back it may have been recorded."""
    return f"last_over_time({total}[{_bridge(window)}] offset {window})"


def _born(total: str, window: str) -> str:
    """Return what keeps of totals those that are new since a window ago.

    Some totals are recorded minutes after others, so that where Prometheus stopped or came back, one may be there and
    another not yet, or no more. So a new one had no total for three bridges before the window, and that of requests was
    there a bridge before it: after an interruption longer than that, nothing is new until a bridge has passed.
    """
    bridge = seconds(_bridge(window))
    earlier = f"last_over_time({total}[{3 * bridge}s] offset {window})"
    recorded = f"last_over_time({total_running('requests')}[{bridge}s] offset {seconds(window) + bridge}s)"
    return f"unless {earlier} and on () {recorded}"


def _bridge(window: str) -> str:
    return SHORT_BRIDGE if _is_short(window) else LONG_BRIDGE


def _first(total: str, window: str) -> str:
    """Return the first of ``total`` within the window, or within the first hour of a long one."""
    if _is_short(window):
        return f"min_over_time({total}[{window}])"
    return f"min_over_time({total}[{LONG_BRIDGE}] offset {seconds(window) - seconds(LONG_BRIDGE)}s)"


def _is_short(window: str) -> bool:
    return seconds(window) <= seconds(LONG_BRIDGE)


def _named(expr: str, label: str, value: str) -> str:
    return f'label_replace({expr}, "{label}", "{value}", "", "")'


def either(expressions: Sequence[str], label: str) -> str:
    """Return the union of vectors with equal labels, told apart by ``label``."""
    return "\nor ".join(_named(expr, label, str(number)) for number, expr in enumerate(expressions, 1))


def usual(
    record: str,
    by: Sequence[str],
    window: str,
    *,
    pick: Pick,
    days: int,
    weeks: int,
    rolling: str,
    history: str,
    daily: bool = False,
    off_days: bool = False,
) -> str:
    """Return what ``record`` usually is: the ``pick`` of its expectations.

    One is its mean over the ``rolling`` window before this one, the second the median of the same time on each of
    the ``days`` before, the third what it came to in this hour of two of the ``weeks`` before. Nothing is expected
    where ``record`` was not there ``history`` ago or earlier.

    ``daily``: ``record`` rises and falls with the hour of the day. Until a day of it is known, the mean of a night says
    nothing about the morning; then its maximum up to two windows ago is a third expectation, so that a rise must be
    steeper than a morning's.

    ``off_days``: ``record`` has days without any. Where it is known of a week ago, it is not held against the mean,
    which says nothing on the day after one that was off.
    """
    same_time = either([f"{record} offset {day}d" for day in range(1, days + 1)], "day")
    expected = [
        f"avg_over_time({record}[{rolling}] offset {window})",
        aggregated("quantile", by, "0.5", same_time),
        _of_weekday(record, by, pick, weeks),
    ]
    on = f"on ({', '.join(by)})"
    if daily:
        highest = f"max_over_time({record}[{rolling}] offset {2 * seconds(window)}s)"
        expected.append(f"{highest} unless {on} last_over_time({record}[{rolling}] offset 1d)")
    if off_days:
        expected[0] = f"{expected[0]} unless {on} {record} offset 7d"
    known = f"last_over_time({record}[{rolling}] offset {history})"
    return f"{aggregated(pick, by, either(expected, 'expectation'))}\nand {on} {known}"


def _of_weekday(record: str, by: Sequence[str], pick: Pick, weeks: int) -> str:
    """Return what ``record`` came to, up (``max``) or down (``min``), in two of the ``weeks`` before.

    It is looked for an hour earlier and later, because jobs do not start to the minute, and clocks change. The second
    of all weeks is taken, so that one odd week is no custom; where but one week is known, that one.
    """
    extremes = [
        f"{pick}_over_time({record}[{2 * HOUR_SECONDS}s] offset {week * WEEK_SECONDS - HOUR_SECONDS}s)"
        for week in range(1, weeks + 1)
    ]
    most, least = ("topk", "min") if pick == "max" else ("bottomk", "max")
    return aggregated(least, by, aggregated(most, by, "2", either(extremes, "week")))


def both(*conditions: str) -> str:
    """Return the first condition where all of them hold (they have equal labels)."""
    return "\nand ".join(conditions)


def exporters(thresholds: Thresholds) -> str:
    """Return the selector of the scrape targets that are exporters."""
    return up_of(thresholds.exporter_jobs)


def up_of(jobs: Sequence[str]) -> str:
    """Return the selector of the scrape targets of ``jobs``, each matched as it stands."""
    if len(jobs) == 1:
        return f"up{{job={quoted(jobs[0])}}}"
    return f"up{{job=~{quoted('|'.join(map(regex_escaped, jobs)))}}}"


# Templates of descriptions ------------------------------------------------------------------------------------
def asked(query: str, shown: str) -> str:
    """Return a template that asks ``query`` as the alert fires and shows its first value piped through ``shown``.

    It shows nothing when the answer is empty.
    """
    return said_where(query, "{{ . | first | value | " + shown + " }}")


def said_where(query: str, words: str) -> str:
    """Return a template that says ``words`` where ``query`` has an answer, which is their dot."""
    return "{{ with query `" + query + "` }}" + words + "{{ end }}"


def asked_about(query: str, names: Sequence[str], shown: str) -> str:
    """Return a template that asks ``query``, whose ``%q`` stand for the alert's labels ``names``, in their order."""
    labels = " ".join(f"$labels.{name}" for name in names)
    return (
        "{{ with printf `"
        + query
        + "` "
        + labels
        + " | query }}{{ . | first | value | "
        + shown
        + " }}{{ end }}"
    )


def asked_label(query: str, name: str) -> str:
    """Return a template that asks ``query`` and shows the label ``name`` of its first answer."""
    return said_where(query, "{{ . | first | label `" + name + "` }}")


def plain(text: str) -> str:
    """Return a template that shows ``text`` as it stands."""
    return text.replace("{{", '{{ "{{" }}')


def one_line(expr: str) -> str:
    """Return ``expr`` without line breaks, for use inside a template."""
    return " ".join(expr.split()).replace("( ", "(").replace(" )", ")")


VALUE: Final = "{{ $value | %s }}"
DOLLARS: Final = 'printf "%.2f"'
NUMBER: Final = 'printf "%.0f"'
POINTS: Final = 'printf "%.2f"'
PERCENT: Final = "humanizePercentage"
DATE: Final = "humanizeTimestamp"


def value(shown: str) -> str:
    """Return a template of the alert's own value piped through ``shown``."""
    return VALUE % shown


def label(name: str, shown: str | None = None) -> str:
    """Return a template of one of the alert's labels, piped through ``shown`` if given; nothing where it is empty."""
    if shown is None:
        return "{{ $labels." + name + " }}"
    return "{{ with $labels." + name + " }}{{ . | " + shown + " }}{{ end }}"

"""Every recording rule: running totals, their copies and bases, latencies in bins, shares, tiles of full hours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from asahi_analytics import bases, hours, largest_shares, latency_bins, levels, minutes
from asahi_analytics.promql import duration
from asahi_analytics.rule_text import rules_text
from asahi_analytics.tiles import (
    MINUTE_FAMILIES,
    RuleParameters,
    recorded_total,
    scrapes_group,
    state_expression,
    state_metric,
)
from asahi_exporter.conventions import FAMILIES, Family

WITNESS: Final = state_metric(FAMILIES["requests"])
"""A result of the rules that is there when any is."""
EVALUATED: Final = f"group(last_over_time({WITNESS}[{duration(2 * RuleParameters().state_interval)}]))"
"""Whether the rules were evaluated lately, in PromQL: one evaluation may be late, or have been missed."""


def rule_files(
    rules: RuleParameters | None = None,
    families: Mapping[str, Family] = FAMILIES,
    latency_quantile: float | None = None,
) -> dict[str, str]:
    """Return the text of each rule file by its name; ``latency_quantile`` is the one that alerts and detector judge."""
    rules = rules or RuleParameters()
    groups = [scrapes_group(rules), *(totals_group(family, rules) for family in families.values())]
    return {
        "asahi_totals.yml": rules_text(groups),
        **minutes.rule_files(rules, families),
        **levels.rule_files(rules, families),
        **bases.rule_files(rules, families),
        **hours.rule_files(rules),
        **latency_bins.rule_files(rules, latency_quantile),
        **largest_shares.rule_files(rules),
    }


def totals_group(family: Family, rules: RuleParameters) -> dict[str, Any]:
    """Return the group that carries the state of ``family``, and what is recorded of it as often."""
    total = {"record": family.running, "expr": recorded_total(family, rules)}
    if family.name in MINUTE_FAMILIES:
        total = minutes.Minutes(family, rules).step
    return {
        "name": f"asahi_{family.name}",
        "interval": duration(rules.state_interval),
        "rules": [{"record": state_metric(family), "expr": state_expression(family, rules)}, total],
    }

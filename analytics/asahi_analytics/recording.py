"""Every recording rule: running totals, their copies and bases, latencies in bins, and the tiles of full hours."""

from __future__ import annotations

from asahi_analytics import bases, hours, latency_bins, levels, tiles
from asahi_analytics.tiles import RuleParameters


def rule_files(rules: RuleParameters | None = None) -> dict[str, str]:
    """Return the text of each rule file by its name."""
    return {
        **tiles.rule_files(rules),
        **levels.rule_files(rules),
        **bases.rule_files(rules),
        **hours.rule_files(rules),
        **latency_bins.rule_files(rules),
    }

"""Whether each rule of advice fires where it should, is silent where it should be, and states the right dollars.

    python benchmarks/advice.py [--seeds 5] [--first-seed 1000] [--months 16]

Each rule has traffic made so that it fires, request by request, and a replay of the very same requests with the
advice taken (tests/support/advice_traffic.py). Healthy traffic has weekends and growth, and nothing to advise on.
Dollars are a month's, of the first seed; the ratio is stated over replayed, its range that of all seeds. Where the
gain is time and not dollars, none must be stated. The tests use other seeds than these.

``in range`` is how often the range of 90 % held what the following month saved, in worlds of uneven days
(benchmarks/advice_months.py); traffic too thin for the rule is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from advice_months import WORLDS, held

from support.advice_cases import CASES, MINI, Case
from support.advice_traffic import advise, healthy

WIDEST = 0.10
STEP = 10
"""Between seeds, so that the several parts of one traffic do not share any."""


@dataclass(frozen=True)
class Outcome:
    """What a rule did on each seed: dollars stated (None: it did not fire) and dollars replayed."""

    case: Case
    stated: list[float | None]
    replayed: list[float]

    @property
    def fired(self) -> int:
        return sum(value is not None for value in self.stated)

    def ratios(self) -> list[float]:
        pairs = zip(self.stated, self.replayed, strict=True)
        return [stated / replayed for stated, replayed in pairs if stated is not None and replayed > 0]

    def good(self) -> bool:
        claims_nothing = all(
            stated == replayed == 0 for stated, replayed in zip(self.stated, self.replayed, strict=True)
        )
        within = len(self.ratios()) == len(self.stated) and all(
            abs(ratio - 1) <= WIDEST for ratio in self.ratios()
        )
        return self.fired == len(self.stated) and (within or claims_nothing)


def outcome(case: Case, seeds: Sequence[int]) -> Outcome:
    stated: list[float | None] = []
    replayed = []
    for seed in seeds:
        traffic = case.make(seed)
        found = advise(traffic, case.list_prices).get(case.id)
        stated.append(None if found is None else found.estimated_savings)
        replayed.append(case.replay(traffic) if found else float("nan"))
    return Outcome(case, stated, replayed)


def months_held(case: Case, first_seed: int, months: int) -> list[bool]:
    """Tell of months to come, in the worlds by turns, whether the range held them."""
    first = first_seed + STEP * months * CASES.index(case)  # no two rules have the same month
    told = (held(case, WORLDS[number % len(WORLDS)], first + STEP * number) for number in range(months))
    return [inside for inside in told if inside is not None]


def rule_of(stable_id: str) -> str:
    """The rule without what it is about, except where two rules differ in it: users and models, tiers."""
    parts = stable_id.split(":")
    return ":".join(parts[:2]) if parts[0] == "share-jump" else parts[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--months", type=int, default=16, help="months to come, for the range of each rule")
    arguments = parser.parse_args()
    seeds = [arguments.first_seed + STEP * number for number in range(arguments.seeds)]
    on_healthy = [{rule_of(name) for name in advise(healthy(seed), MINI)} for seed in seeds]
    print(
        f"{'rule':24} {'fired':>7} {'silent on healthy':>18} {'stated $':>10} {'replayed $':>11} {'ratio':>14} "
        f"{'in range':>9}"
    )
    failed, all_inside = [], list[bool]()
    for case in CASES:
        found, rule = outcome(case, seeds), rule_of(case.id)
        silent = sum(rule not in advised for advised in on_healthy)
        ratios = found.ratios()
        shown = f"{min(ratios):.3f}-{max(ratios):.3f}" if ratios else "-"
        stated = "-" if found.stated[0] is None else f"{found.stated[0]:.2f}"
        inside = months_held(case, arguments.first_seed, arguments.months) if ratios else []
        all_inside += inside
        print(
            f"{rule:24} {found.fired:>3} / {len(seeds)} {silent:>14} / {len(seeds)} {stated:>10} "
            f"{found.replayed[0]:>11.2f} {shown:>14} "
            f"{f'{sum(inside)} / {len(inside)}' if inside else '-':>9}"
        )
        if not found.good() or silent < len(seeds):
            failed.append(rule)
    if all_inside:
        print(
            f"in range, all rules: {100 * sum(all_inside) / len(all_inside):.0f} % of {len(all_inside)} months"
        )
    if failed:
        sys.exit(f"not as it should be: {', '.join(failed)}")


if __name__ == "__main__":
    main()

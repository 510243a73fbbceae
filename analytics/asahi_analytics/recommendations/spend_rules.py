"""Advice on spend that changed: cost per request, shares, waste and prices.

Each compares the last seven days with the days before them, and speaks only where Welch's t test on the daily values
finds the difference beyond chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import pandas as pd
from scipy import stats

from asahi_analytics.recommendations.findings import Finding, earlier_sum, money, percent, window_sum
from asahi_analytics.recommendations.models import Category, Evidence
from asahi_analytics.recommendations.observed import RECENT_DAYS, SHARE_JUMP, WINDOW_DAYS, Observed
from asahi_analytics.recommendations.uncached import Floats, Use
from asahi_analytics.recommendations.unit_prices import UnitPrice, price_of
from asahi_exporter import conventions as names

Days = TypeVar("Days", pd.Series, pd.DataFrame, Floats)

MIN_DAYS_BEFORE: Final = 7
CHANCE: Final = 0.001
"""Probability under which a difference is not put down to chance; many label sets are looked at each time."""
COST_DRIFT: Final = 1.15
WASTE_SHARE: Final = 0.02
PRICE_CHANGE: Final = 0.05


@dataclass(frozen=True)
class Spender:
    """Who may spend a larger share than before: its label, the family with its dollars, and what to do then.

    ``beyond`` gives the dollars of each recent day that would not have been spent without the jump, and ``computed``
    says how.
    """

    label: str
    family: str
    category: Category
    what: str
    beyond: Callable[[Observed, str], pd.Series]
    computed: str


def beyond_others(observed: Observed, user: str) -> pd.Series:
    """Return what ``user`` spent above its earlier level, grown with the others where they grew."""
    spent = observed.by("user_cost_dollars", names.USER)
    own, others = spent[user], spent.drop(columns=user).sum(axis=1)
    before, recent = float(_before(others).mean()), float(_recent(others).mean())
    growth = max(1.0, recent / before) if before > 0 else 1.0
    return _recent(own) - float(_before(own).mean()) * growth


def beyond_mix(observed: Observed, _model: str) -> pd.Series:
    """Return what the requests cost above what they would have at each task type's earlier cost per request."""
    cost, requests = (observed.by(family, names.TASK_TYPE) for family in ("cost_dollars", "requests"))
    each = _before(cost).sum() / _before(requests).sum()
    known = each.dropna().index
    return _recent(cost)[known].sum(axis=1) - (_recent(requests)[known] * each[known]).sum(axis=1)


SPENDERS: Final = (
    Spender(
        names.USER,
        "user_cost_dollars",
        "routing",
        "ask them what changed, or set a budget for them",
        beyond_others,
        "The dollars above its earlier level, grown with the others; only its owner can tell what of it is waste.",
    ),
    Spender(
        names.MODEL,
        "cost_dollars",
        "model",
        "check that the router meant to send it there",
        beyond_mix,
        "The same requests at what their task types cost each before, with the earlier mix of models.",
    ),
)


def spend_rules(observed: Observed) -> list[Finding]:
    """Return what the rules about changed spend find."""
    found = [*wasted_cost(observed)]
    if observed.days >= RECENT_DAYS + MIN_DAYS_BEFORE:
        found += [*drifting_costs(observed), *jumping_shares(observed), *changed_prices(observed)]
    return found


def wasted_cost(observed: Observed) -> list[Finding]:
    """Failed and retried requests cost more than 2 % of the whole: their dollars are what could be saved."""
    wasted = observed.total("daily_wasted_cost_dollars")
    share = float(wasted.sum()) / observed.cost_dollars if observed.cost_dollars > 0 else 0.0
    by_set = observed.frames["wasted_cost_dollars"].sum()
    if share < WASTE_SHARE or by_set.empty:
        return []
    model, task_type, outcome = by_set.index[int(by_set.to_numpy().argmax())]
    return [
        Finding(
            id="wasted-cost",
            category="routing",
            title=f"Errors and retries take {percent(share)} of the cost",
            seen=f"{money(float(wasted.sum()))} of the window's cost went to failed or retried requests.",
            computed="Counted dollar by dollar; all of it would be saved if none failed.",
            action=(
                f"Look at '{task_type}' on {model} first ({outcome}: {money(float(by_set.max()))}): shorten its "
                "time-out, back off before retrying, and stop retrying what cannot succeed."
            ),
            daily_dollars=wasted,
            evidence=(
                Evidence(
                    statement="Dollars spent on failed or retried requests in the window.",
                    value=float(wasted.sum()),
                    promql=window_sum("wasted_cost_dollars"),
                ),
                Evidence(
                    statement="Their share of the cost, 0-1.",
                    value=share,
                    promql=f"{window_sum('wasted_cost_dollars')} / {window_sum('cost_dollars')}",
                ),
            ),
        )
    ]


def drifting_costs(observed: Observed) -> list[Finding]:
    """The cost per request of a task type rose: the extra dollars on the requests of the last seven days."""
    cost, requests = (observed.by(family, names.TASK_TYPE) for family in ("cost_dollars", "requests"))
    found = []
    for task_type in cost.columns:
        spent, asked = cost[task_type].to_numpy(), requests[task_type].to_numpy()
        each = np.divide(spent, asked, out=np.full(spent.shape, np.nan), where=asked > 0)
        before, recent = _before(each), _recent(each)
        if not _rose(_finite(before), _finite(recent), COST_DRIFT):
            continue
        extra = (recent - _finite(before).mean()) * _recent(asked)
        means = [float(part(spent).sum() / part(asked).sum()) for part in (_before, _recent)]
        days = pd.Series(extra, index=_recent(cost).index).dropna()
        found.append(_drift(str(task_type), means[0], means[1], days))
    return found


def jumping_shares(observed: Observed) -> list[Finding]:
    """A user's or model's share of the cost jumped by ten points or more; ``Spender.beyond`` is the counterfactual."""
    found = []
    for spender in SPENDERS:
        frame = observed.by(spender.family, spender.label)
        amounts = frame.to_numpy(np.float64)
        total = amounts.sum(axis=1)
        shares = amounts[total > 0] / total[total > 0, np.newaxis]
        if len(shares) <= RECENT_DAYS:
            continue
        gained = _recent(shares).mean(axis=0) - _before(shares).mean(axis=0)
        for place in np.flatnonzero(gained >= SHARE_JUMP).tolist():
            if not _rose(_before(shares[:, place]), _recent(shares[:, place]), 1.0):
                continue
            name, own = str(frame.columns[place]), amounts[:, place]
            spent = [float(part(own).sum() / part(total).sum()) for part in (_before, _recent)]
            found.append(_jump(spender, name, spent[0], spent[1], spender.beyond(observed, name)))
    return found


def changed_prices(observed: Observed) -> list[Finding]:
    """A model's price per token changed by more than 5 %: what its recent tokens cost above the earlier price."""
    found = []
    for model in observed.uncached.models:
        use = observed.uncached.use(model)
        before, recent = use.over(slice(None, -RECENT_DAYS)), use.over(slice(-RECENT_DAYS, None))
        old, new = price_of(before), price_of(recent)
        if old is None or new is None or not _steady(before, old):
            continue
        used = recent.tokens.sum(axis=0)
        paid, would_pay = new.cost(used), old.cost(used)
        if would_pay.sum() > 0 and abs(paid.sum() / would_pay.sum() - 1) > PRICE_CHANGE:
            change = float(paid.sum() / would_pay.sum()) - 1
            extra = pd.Series(paid - would_pay, index=observed.uncached.days[-RECENT_DAYS:])
            blended = [float(part.cost_dollars.sum() / part.tokens.sum()) for part in (before, recent)]
            found.append(_price_changed(model, change, extra, blended))
    return found


def _steady(before: Use, old: UnitPrice) -> bool:
    """Tell whether the earlier days really follow one price: within 2 % of their cost on the whole."""
    paid, fitted = before.cost_dollars, old.cost(before.tokens)
    return bool(paid.sum() > 0 and np.abs(paid - fitted).sum() <= 0.02 * paid.sum())


def _recent(days: Days) -> Days:
    return days[-RECENT_DAYS:]


def _before(days: Days) -> Days:
    return days[:-RECENT_DAYS]


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _rose(before: Floats, recent: Floats, ratio: float) -> bool:
    """Tell whether ``recent`` is above ``ratio`` times ``before`` on average, beyond chance (Welch's t test)."""
    if len(before) < MIN_DAYS_BEFORE or len(recent) < 3 or recent.mean() <= ratio * before.mean():
        return False
    moments = [(float(days.mean()), float(days.std(ddof=1)), len(days)) for days in (recent, before)]
    if not any(deviation for _, deviation, _ in moments):
        return True
    test = stats.ttest_ind_from_stats(*moments[0], *moments[1], equal_var=False, alternative="greater")
    return bool(test.pvalue < CHANCE)


def _then_and_now(
    what: str, before: tuple[float, str], recent: tuple[float, str]
) -> tuple[Evidence, Evidence]:
    """Return ``what`` was in the last days, and the same in those before: values with their PromQL."""
    lately = f"{what} in the last {RECENT_DAYS} days."
    earlier = f"The same in the {WINDOW_DAYS - RECENT_DAYS} days before."
    return (
        Evidence(statement=lately, value=recent[0], promql=recent[1]),
        Evidence(statement=earlier, value=before[0], promql=before[1]),
    )


def _drift(task_type: str, before: float, recent: float, extra: pd.Series) -> Finding:
    where = {names.TASK_TYPE: task_type}
    now, earlier = (
        f"{asked('cost_dollars', where, RECENT_DAYS)} / {asked('requests', where, RECENT_DAYS)}"
        for asked in (window_sum, earlier_sum)
    )
    return Finding(
        id=f"cost-drift:{task_type}",
        category="token",
        title=f"A '{task_type}' request costs {percent(recent / before - 1)} more than before",
        seen=f"A thousand cost {money(1000 * recent)} in the last {RECENT_DAYS} days, {money(1000 * before)} before.",
        computed="The difference on each request of those days.",
        action=f"Compare the prompts, the model mix and the cache hits of '{task_type}' with those of two weeks ago.",
        daily_dollars=extra,
        evidence=_then_and_now(
            f"Dollars per '{task_type}' request",
            (before, earlier),
            (recent, now),
        ),
    )


def _jump(spender: Spender, name: str, before: float, recent: float, extra: pd.Series) -> Finding:
    label, category, what, family = spender.label, spender.category, spender.what, spender.family
    now, earlier = (
        f"{asked(family, {label: name}, RECENT_DAYS)} / {asked(family, {}, RECENT_DAYS)}"
        for asked in (window_sum, earlier_sum)
    )
    return Finding(
        id=f"share-jump:{label}:{name}",
        category=category,
        title=f"{label.capitalize()} {name} went from {percent(before)} to {percent(recent)} of the cost",
        seen=f"Its share over the last {RECENT_DAYS} days is beyond what its earlier days would explain by chance.",
        computed=spender.computed,
        action=f"Look at {label} {name}: {what}.",
        daily_dollars=extra,
        evidence=_then_and_now("Share of the cost, 0-1,", (before, earlier), (recent, now)),
        premise_known=False,
    )


def _price_changed(model: str, change: float, extra: pd.Series, blended: list[float]) -> Finding:
    rose, where = change > 0, {names.MODEL: model, names.CACHE_TIER: names.NO_CACHE}
    now, earlier = (
        f"{asked('cost_dollars', where, RECENT_DAYS)} / {asked('tokens', where, RECENT_DAYS)}"
        for asked in (window_sum, earlier_sum)
    )
    act = (
        "look for a cheaper model of equal quality, or ask the provider"
        if rose
        else "routing thresholds may follow"
    )
    return Finding(
        id=f"price-change:{model}",
        category="model",
        title=f"The price of {model} {'rose' if rose else 'fell'} by {percent(abs(change))}",
        seen=f"The same tokens of {model} cost {percent(abs(change))} {'more' if rose else 'less'} than before.",
        computed="The recent tokens at the recent price, less the same tokens at the earlier price.",
        action=f"Check the price list of {model}; {act}.",
        daily_dollars=extra,
        evidence=_then_and_now(
            f"Dollars per uncached token of {model}, in and out alike,",
            (blended[0], earlier),
            (blended[1], now),
        ),
    )

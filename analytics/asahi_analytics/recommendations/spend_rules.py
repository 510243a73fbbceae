"""Advice on spend that changed: cost per request, shares, waste and prices.

Each compares the last seven days with the days before them, and speaks only where Welch's t test on the daily values
finds the difference beyond chance. Where the cost of some requests is not known, a model's dollars and those of the
task types that it answers change with what is known of them: they are not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from asahi_analytics.recommendations.findings import Finding, earlier_sum, money, window_sum
from asahi_analytics.recommendations.models import Category, Evidence
from asahi_analytics.recommendations.observed import RECENT_DAYS, SHARE_JUMP, WINDOW_DAYS, Observed
from asahi_analytics.recommendations.uncached import Floats, Use
from asahi_analytics.recommendations.unit_prices import UNPRICED, UnitPrice, price_of
from asahi_exporter import conventions as names
from asahi_exporter.prose import named, percent, shown

MIN_DAYS_BEFORE: Final = 7
MIN_RECENT_DAYS: Final = 3
CHANCE: Final = 0.001
"""Probability under which a difference is not put down to chance; many label sets are looked at each time."""
COST_DRIFT: Final = 1.15
WASTE_SHARE: Final = 0.02
PRICE_CHANGE: Final = 0.05
MIN_DAYS_AT_PRICE: Final = 2
SEVERAL: Final = 3.0
"""From how many times as much a rise is told in times, not in percent."""


class Beyond(NamedTuple):
    """The dollars of each recent day above what is held against it, and that one's standard error, in dollars a day."""

    dollars: pd.Series
    error: float


@dataclass(frozen=True)
class Spender:
    """Who may spend a larger share than before: its label, the family with its dollars, and what to do then.

    ``beyond`` gives the dollars of each recent day that would not have been spent without the jump, and the standard
    error, a day, of what it holds them against; ``computed`` says how.
    """

    label: str
    family: str
    category: Category
    what: str
    beyond: Callable[[Observed, str], Beyond]
    computed: str


def beyond_others(observed: Observed, user: str) -> Beyond:
    """Return what ``user`` spent above its earlier level, grown with the others where they grew."""
    spent = observed.by("user_cost_dollars", names.USER)
    own, others = spent[user], spent.drop(columns=user).sum(axis=1)
    before, recent = float(others[observed.before].mean()), float(others[observed.recent].mean())
    growth = max(1.0, recent / before) if before > 0 else 1.0
    level = _daily(own[observed.before].to_numpy(dtype=np.float64))
    return Beyond(own[observed.recent] - level.mean * growth, level.error * growth)


def beyond_mix(observed: Observed, _model: str) -> Beyond:
    """Return what the requests cost above what they would have at each task type's earlier cost per request."""
    cost, requests = (observed.by(family, names.TASK_TYPE) for family in ("cost_dollars", "requests"))
    known = [name for name in cost if requests[name][observed.before].sum() > 0]
    extra, squares = pd.Series(0.0, index=cost.index[observed.recent]), 0.0
    for name in known:
        each = _each(cost[name].to_numpy(), requests[name].to_numpy(), observed.before)
        asked = requests[name][observed.recent]
        extra += cost[name][observed.recent] - each.mean * asked
        squares += (each.error * float(asked.mean())) ** 2
    return Beyond(extra, float(np.sqrt(squares)))


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


def spend_rules(observed: Observed, prices: Mapping[str, UnitPrice]) -> list[Finding]:
    """Return what the rules about changed spend find; ``prices`` are of the models whose cost was always known."""
    found = [*wasted_cost(observed)]
    earlier, recent = (len(observed.uncached.days[part]) for part in (observed.before, observed.recent))
    if earlier >= MIN_DAYS_BEFORE and recent >= MIN_RECENT_DAYS:
        found += [*drifting_costs(observed), *jumping_shares(observed), *changed_prices(observed, prices)]
    return found


def wasted_cost(observed: Observed) -> list[Finding]:
    """Failed and retried requests cost more than 2 % of the whole: their dollars are what could be saved."""
    wasted = observed.total("daily_wasted_cost_dollars")
    share = float(wasted.sum()) / observed.cost_dollars if observed.cost_dollars > 0 else 0.0
    by_set = observed.frames["wasted_cost_dollars"].sum()
    if share < WASTE_SHARE or by_set.empty:
        return []
    model, task_type, outcome = by_set.index[int(by_set.to_numpy().argmax())]
    where = f"{named(names.TASK_TYPE, task_type)} on {shown(model)}"
    return [
        Finding(
            id="wasted-cost",
            category="routing",
            title=f"Errors and retries take {percent(share)} of the cost",
            seen=f"{money(float(wasted.sum()))} of the window's cost went to failed or retried requests.",
            computed="Counted dollar by dollar; all of it would be saved if none failed.",
            action=(
                f"Look at {where} first ({shown(outcome)}: {money(float(by_set.max()))}): shorten its "
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
    """The cost per request of a task type rose: the extra dollars on the requests of the last seven days.

    Days count with their requests, so that a quiet day on which each was dear neither hides a rise nor makes one.
    """
    cost, requests = (observed.by(family, names.TASK_TYPE) for family in ("cost_dollars", "requests"))
    unpriced = _task_types_without_all_costs(observed)
    found = []
    for task_type in cost.columns.difference(unpriced):
        spent, asked = cost[task_type].to_numpy(), requests[task_type].to_numpy()
        before, recent = (_each(spent, asked, part) for part in (observed.before, observed.recent))
        if _rose(before, recent, COST_DRIFT):
            extra = (cost[task_type] - before.mean * requests[task_type])[observed.recent]
            error = before.error * float(asked[observed.recent].mean())
            found.append(_drift(str(task_type), before.mean, recent.mean, Beyond(extra, error)))
    return found


def _each(spent: Floats, asked: Floats, part: slice) -> Daily:
    """Return what a request cost on the days of ``part``, which count with their requests."""
    used = asked[part] > 0
    count = asked[part][used]
    return _daily(spent[part][used] / count, count)


def _task_types_without_all_costs(observed: Observed) -> list[str]:
    """The task types of which some share of requests went to a model whose cost was not always known."""
    models = [model for model in observed.models if observed.unpriced_share(model) > UNPRICED]
    found = []
    for task_type in observed.uncached.task_types:
        by_model = observed.uncached.requests_by_model(task_type)
        if sum(by_model.get(model, 0.0) for model in models) > UNPRICED * sum(by_model.values()):
            found.append(task_type)
    return found


def jumping_shares(observed: Observed) -> list[Finding]:
    """A user's or model's share of the cost jumped by ten points or more; ``Spender.beyond`` is the counterfactual.

    Silent where no more was spent than before: others spend less then.
    """
    found = []
    for spender in SPENDERS:
        frame = observed.by(spender.family, spender.label)
        amounts = frame.to_numpy(np.float64)
        total = amounts.sum(axis=1)
        earlier, recent = (_shares(amounts[part], total[part]) for part in (observed.before, observed.recent))
        if not (len(earlier) and len(recent)):
            continue
        gained = recent.mean(axis=0) - earlier.mean(axis=0)
        for place in np.flatnonzero(gained >= SHARE_JUMP).tolist():
            name, own = str(frame.columns[place]), amounts[:, place]
            if spender.label == names.MODEL and observed.unpriced_share(name) > UNPRICED:
                continue
            if not _rose(_daily(earlier[:, place]), _daily(recent[:, place]), 1.0):
                continue
            before, now = (
                float(own[part].sum() / total[part].sum()) for part in (observed.before, observed.recent)
            )
            beyond = spender.beyond(observed, name)
            if now - before >= SHARE_JUMP and beyond.dollars.sum() > 0:
                found.append(_jump(spender, name, before, now, beyond))
    return found


def _shares(amounts: Floats, total: Floats) -> Floats:
    """Shares of the days that have a total."""
    return amounts[total > 0] / total[total > 0, np.newaxis]


def changed_prices(observed: Observed, prices: Mapping[str, UnitPrice]) -> list[Finding]:
    """A model's price per token changed by more than 5 %: what its tokens have cost since, above the earlier price."""
    found = []
    for model in prices:
        use = observed.uncached.use(model)
        before, recent = use.over(observed.before), use.over(observed.recent)
        old = price_of(before)
        if old is None or not _steady(before, old):
            continue
        extra, change = _since_the_change(recent, old, observed.uncached.days[observed.recent])
        if extra.size:
            blended = [float(part.cost_dollars.sum() / part.tokens.sum()) for part in (before, recent)]
            found.append(_price_changed(model, change, extra, blended))
    return found


def _since_the_change(recent: Use, old: UnitPrice, days: pd.Index) -> tuple[pd.Series, float]:
    """Return what each day since the price changed cost above ``old``, and the change, 0-1; no days if it did not.

    It did where every day from one on is off by more than 5 %, whatever the earlier price was in each direction. The
    first of them may have begun at the earlier price and is left out, unless they are all there are.
    """
    paid, tokens = recent.cost_dollars.sum(axis=0), recent.tokens.sum(axis=0)
    used = tokens.sum(axis=1) > 0
    paid, tokens, days = paid[used], tokens[used], days[used]
    for earlier, sign in zip(old.bounds(tokens), (-1, 1), strict=True):
        would_pay = earlier.cost(tokens)
        kept = np.flatnonzero(sign * (paid - would_pay) <= PRICE_CHANGE * would_pay)
        first = int(kept[-1]) + 2 if kept.size else 0
        if len(days) - first >= MIN_DAYS_AT_PRICE and would_pay[first:].sum() > 0:
            change = float(paid[first:].sum() / would_pay[first:].sum()) - 1
            return pd.Series((paid - would_pay)[first:], index=days[first:]), change
    return pd.Series(dtype=np.float64), 0.0


def _steady(before: Use, old: UnitPrice) -> bool:
    """Tell whether the earlier days really follow one price: within 2 % of their cost on the whole."""
    paid, fitted = before.cost_dollars, old.cost(before.tokens)
    return bool(paid.sum() > 0 and np.abs(paid - fitted).sum() <= 0.02 * paid.sum())


@dataclass(frozen=True)
class Daily:
    """Mean and standard deviation of values of days, and how many days of equal weight tell as much."""

    mean: float
    deviation: float
    days: float

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.deviation / float(np.sqrt(self.days)) if self.days > 0 else 0.0


def _daily(values: Floats, weights: Floats | None = None) -> Daily:
    """Return the weighted mean and deviation of ``values``, with Kish's effective number of days."""
    weights = np.ones(len(values)) if weights is None else weights
    whole = float(weights.sum())
    if whole <= 0:
        return Daily(0.0, 0.0, 0.0)
    mean, days = float(weights @ values) / whole, whole**2 / float(weights @ weights)
    variance = float(weights @ (values - mean) ** 2) / whole
    return Daily(mean, float(np.sqrt(variance * days / (days - 1))) if days > 1 else 0.0, days)


def _rose(before: Daily, recent: Daily, ratio: float) -> bool:
    """Tell whether ``recent`` is above ``ratio`` times ``before`` on average, beyond chance (Welch's t test)."""
    if before.days < MIN_DAYS_BEFORE or recent.days < MIN_RECENT_DAYS or recent.mean <= ratio * before.mean:
        return False
    moments = [(days.mean, days.deviation, days.days) for days in (recent, before)]
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


def _more(before: float, recent: float) -> str:
    if before <= 0:
        return f"{money(recent)}, and nothing"
    times = recent / before
    return f"{times:.1f} times as much as" if times >= SEVERAL else f"{percent(times - 1)} more than"


def _drift(task_type: str, before: float, recent: float, beyond: Beyond) -> Finding:
    where, what = {names.TASK_TYPE: task_type}, named(names.TASK_TYPE, task_type)
    now, earlier = (
        f"{asked('cost_dollars', where, RECENT_DAYS)} / {asked('requests', where, RECENT_DAYS)}"
        for asked in (window_sum, earlier_sum)
    )
    return Finding(
        id=f"cost-drift:{task_type}",
        category="token",
        title=f"A request of {what} costs {_more(before, recent)} before",
        seen=f"A thousand cost {money(1000 * recent)} in the last {RECENT_DAYS} days, {money(1000 * before)} before.",
        computed="The difference on each request of those days.",
        action=f"Compare the prompts, the model mix and the cache hits of {what} with those of two weeks ago.",
        daily_dollars=beyond.dollars,
        error_dollars=beyond.error,
        evidence=_then_and_now(
            f"Dollars per request of {what}",
            (before, earlier),
            (recent, now),
        ),
    )


def _jump(spender: Spender, name: str, before: float, recent: float, beyond: Beyond) -> Finding:
    label, category, what, family = spender.label, spender.category, spender.what, spender.family
    who = named(label, name)
    now, earlier = (
        f"{asked(family, {label: name}, RECENT_DAYS)} / {asked(family, {}, RECENT_DAYS)}"
        for asked in (window_sum, earlier_sum)
    )
    return Finding(
        id=f"share-jump:{label}:{name}",
        category=category,
        title=f"{who[0].upper()}{who[1:]} went from {percent(before)} to {percent(recent)} of the cost",
        seen=f"Its share over the last {RECENT_DAYS} days is beyond what its earlier days would explain by chance.",
        computed=spender.computed,
        action=f"Look at {who}: {what}.",
        daily_dollars=beyond.dollars,
        error_dollars=beyond.error,
        evidence=_then_and_now("Share of the cost, 0-1,", (before, earlier), (recent, now)),
        premise_known=False,
    )


def _price_changed(model: str, change: float, extra: pd.Series, blended: list[float]) -> Finding:
    rose, called, where = change > 0, shown(model), {names.MODEL: model, names.CACHE_TIER: names.NO_CACHE}
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
        title=f"The price of {called} {'rose' if rose else 'fell'} by {percent(abs(change))}",
        seen=f"The same tokens of {called} cost {percent(abs(change))} {'more' if rose else 'less'} than before.",
        computed="What its tokens cost since, less the same tokens at the earlier price.",
        action=f"Check the price list of {called}; {act}.",
        daily_dollars=extra,
        evidence=_then_and_now(
            f"Dollars per uncached token of {called}, in and out alike,",
            (blended[0], earlier),
            (blended[1], now),
        ),
    )

"""Why spend changed: the change split exactly by what moved.

Spend is the sum over label sets of requests x tokens for each request x dollars for each token. The change of each
label set is split with the logarithmic mean Divisia index (LMDI-I, additive form): the part of a factor is
``L(after, before) * ln(factor_after / factor_before)`` with the logarithmic mean ``L(a, b) = (a - b) / ln(a / b)``,
so that the parts add up to the change without a rest. Sources: B. W. Ang, "The LMDI approach to decomposition
analysis: a practical guide", Energy Policy 33 (2005) 867-871; for zeros, B. W. Ang and N. Liu, "Handling zero values
in the logarithmic mean Divisia index decomposition approach", Energy Policy 35 (2007) 238-246: the limit gives the
whole change of a label set that is born or dies to the factor that was zero.

Requests then part into volume, model mix, task mix (told as token size) and hit rate: requests that came on top are
volume; requests that moved from one model, task type or cache tier to another are the mix of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.anomaly.bins import Floats
from asahi_analytics.figures import quotients
from asahi_exporter import conventions as names

VOLUME: Final = "volume"
TOKEN_SIZE: Final = "token_size"  # noqa: S105  (no password)
MODEL_MIX: Final = "model_mix"
UNIT_PRICE: Final = "unit_price"
HIT_RATE: Final = "hit_rate"
FACTORS: Final = (VOLUME, TOKEN_SIZE, MODEL_MIX, UNIT_PRICE, HIT_RATE)
LEAF: Final = (names.MODEL, names.TASK_TYPE, names.CACHE_TIER)
TRAFFIC_COLUMNS: Final = ("requests", "input_tokens", "output_tokens", "cost")
OUTPUT_WEIGHT: Final = 4.0
"""What an output token costs against an input token where the traffic does not tell."""
TINY: Final = 1e-12
"""Amounts below this count as nothing, so that no ratio overflows."""
WEIGHT_RANGE: Final = (0.5, 20.0)


@dataclass(frozen=True)
class CostChange:
    """The change of spend from ``before`` to ``after``: ``parts`` (by factor) add up to it."""

    before: float
    after: float
    parts: dict[str, float]
    by_leaf: pd.DataFrame

    @property
    def change(self) -> float:
        """Return dollars after minus dollars before."""
        return self.after - self.before


def split_cost_change(before: pd.DataFrame, after: pd.DataFrame, expected: float | None = None) -> CostChange:
    """Split the change of spend between two tables of traffic by what moved.

    Both tables are indexed by model, task type and cache tier and hold ``requests``, ``input_tokens``,
    ``output_tokens`` and ``cost`` (dollars); label sets that lack on one side were not there. ``expected`` scales
    ``before`` to the spend that was to be expected (the window may have another length): the scale is volume.
    NaN counts as zero. ``by_leaf`` holds the parts of each label set.
    """
    tables = _aligned(before, after)
    total = float(tables[0]["cost"].sum())
    scale = expected / total if expected is not None and total > 0 else 1.0
    tables = (tables[0] * scale, tables[1])
    parts = _leaf_parts(*tables)
    return CostChange(
        before=float(tables[0]["cost"].sum()),
        after=float(tables[1]["cost"].sum()),
        parts={factor: float(parts[factor].sum()) for factor in FACTORS},
        by_leaf=parts,
    )


def _aligned(before: pd.DataFrame, after: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    index = before.index.union(after.index)
    first, second = (
        table.reindex(index).reindex(columns=list(TRAFFIC_COLUMNS)).fillna(0.0).astype(np.float64)
        for table in (before, after)
    )
    return first.where(first >= TINY, 0.0), second.where(second >= TINY, 0.0)


def log_mean(after: Floats, before: Floats) -> Floats:
    """Return the logarithmic mean of two arrays; where they are equal it is that value, and 0 where one is 0."""
    both = (after > 0) & (before > 0)
    ratio = np.divide(after, before, out=np.ones_like(after), where=both)
    near = np.abs(ratio - 1) < 1e-9
    log = np.where(near, 1.0, np.log(ratio))
    return np.where(both, np.where(near, (after + before) / 2, (after - before) / log), 0.0)


def _leaf_parts(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return the parts of each label set, in dollars; they add up to its change."""
    weight = (
        before.index.get_level_values(names.MODEL).map(_output_weights(before, after)).to_numpy(np.float64)
    )
    cost0, cost1 = before["cost"].to_numpy(), after["cost"].to_numpy()
    count0, count1 = before["requests"].to_numpy(), after["requests"].to_numpy()
    size0, size1 = _size(before, weight), _size(after, weight)
    served = (count0 > 0) & (count1 > 0)
    usable = served & (cost0 > 0) & (cost1 > 0)
    sized = usable & (size0 > 0) & (size1 > 0)
    mean = log_mean(cost1, cost0)
    requests = np.where(
        usable, mean * _log_ratio(count1, count0, usable), np.where(served, 0.0, cost1 - cost0)
    )
    per_request = cost1 - cost0 - requests
    size = np.where(sized, mean * _log_ratio(size1, size0, sized), 0.0)
    parts = pd.DataFrame({TOKEN_SIZE: size, UNIT_PRICE: per_request - size}, index=before.index)
    traffic = _traffic_parts(before.index, count0, count1, requests)
    parts[TOKEN_SIZE] += traffic.pop(TOKEN_SIZE)
    return parts.join(traffic)[list(FACTORS)]


def _size(table: pd.DataFrame, weight: Floats) -> Floats:
    """Return the tokens of a request, output tokens weighted by what they cost against input tokens."""
    tokens = table["input_tokens"].to_numpy() + weight * table["output_tokens"].to_numpy()
    count = table["requests"].to_numpy()
    return quotients(tokens, count, otherwise=0.0)


def _log_ratio(after: Floats, before: Floats, where: np.ndarray) -> Floats:
    ratio: Floats = np.log(np.divide(after, before, out=np.ones_like(after), where=where))
    return ratio


def _output_weights(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, float]:
    """Return for each model what an output token costs against an input token.

    Task types differ in their shapes, so that cost = a * input + b * output tells a and b by least squares.
    """
    spent = before[before["cost"] > 0]
    found = {str(model): _output_weight(rows) for model, rows in spent.groupby(level=names.MODEL)}
    models = before.index.get_level_values(names.MODEL).union(after.index.get_level_values(names.MODEL))
    return {str(model): found.get(str(model), OUTPUT_WEIGHT) for model in models}


def _output_weight(rows: pd.DataFrame) -> float:
    tokens = rows[["input_tokens", "output_tokens"]].to_numpy(np.float64)
    cost = rows["cost"].to_numpy(np.float64)
    relative = tokens / cost[:, None]
    if len(rows) < 2 or np.linalg.matrix_rank(relative, tol=1e-3 * float(np.abs(relative).max())) < 2:
        return OUTPUT_WEIGHT
    (first, second), *_ = np.linalg.lstsq(relative, np.ones(len(rows)), rcond=None)
    low, high = WEIGHT_RANGE
    return float(np.clip(second / first, low, high)) if first > 0 and second > 0 else OUTPUT_WEIGHT


def _traffic_parts(index: pd.Index, before: Floats, after: Floats, dollars: Floats) -> pd.DataFrame:
    """Part the dollars that more or fewer requests made into volume, model mix, task mix and hit rate.

    From the leaves up: within a model and task type, requests that moved between cache tiers are the hit rate;
    within a model, between task types, token size; between models, the model mix; the rest is volume.
    """
    parts = pd.DataFrame(0.0, index=index, columns=[VOLUME, MODEL_MIX, TOKEN_SIZE, HIT_RATE])
    change = pd.Series(after - before, index=index)
    left = pd.Series(dollars, index=index)
    for factor, levels in (
        (HIT_RATE, [names.MODEL, names.TASK_TYPE]),
        (TOKEN_SIZE, [names.MODEL]),
        (MODEL_MIX, []),
    ):
        keep = _net_share(change, levels)
        parts[factor] += left * (1 - keep)
        left, change = left * keep, change * keep
    parts[VOLUME] = left
    return parts


def _net_share(change: pd.Series, levels: list[str]) -> pd.Series:
    """Return for each leaf which share of its change remains when moves within its group are netted out.

    In a group that grew, what was lost has moved to where it grew: losses count as moved wholly, gains in part.
    """
    gains, losses = change.clip(lower=0.0), (-change).clip(lower=0.0)
    up, down = (_group_sums(each, levels) for each in (gains, losses))
    net = np.abs(up - down)
    grew = up >= down
    base = np.where(grew, up, down)
    share = np.divide(net, base, out=np.ones(len(change)), where=base > 0)
    with_the_group = np.where(grew, change >= 0, change <= 0)
    return pd.Series(np.where(with_the_group, share, 0.0), index=change.index)


def _group_sums(values: pd.Series, levels: list[str]) -> Floats:
    if not levels:
        return np.full(len(values), float(values.sum()))
    return values.groupby(level=levels).transform("sum").to_numpy(np.float64)

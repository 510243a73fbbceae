"""How well cost spikes are detected on real traffic, against three other rules on the same series.

    python benchmarks/anomaly.py llm_traffic_14d_10min.csv.gz [--incidents 60] [--seeds 11 12 13]

The file holds ``model, client, t_s, requests, input_tokens_mean, output_tokens_mean`` in bins of ten minutes.
Judged are the total, each model, and of every second client (``held_back``) random groups, others for each seed, and
single clients. The constants of the detector were chosen on the total, the models, and groups and single clients of the
other half, with other seeds. Detectors:

ours      score_series
plain     more than twice the mean of the last 24 hours
adaptive  the adaptive rules of grafana/promql-anomaly-detection, upper band (a bin is longer than their `for: 5m`)
robust    its robust rules, likewise

The published formulas of the last two are computed on the bins. An incident is a group of anomalous bins no more than
an hour apart, from the second day on. It is *explained* when two of three bins within it exceed 1.9 times both the
median of the last three hours and the usual value of that time of day (the median over all days, later ones as well).
Injected incidents last 20 minutes, one hour or three, and multiply the traffic or add to it. *must*: two bins in a row
exceed 2.2 times the largest of the true value, the median of three hours before (of the clean series) and the usual
value, and add half of the last day's mean. *hidden*: they exceed the same and stay below twice the mean of the last 24
hours, as at a quiet hour. For each series and seed as many hidden ones are drawn as others, where it has room for them.
Totals with a made-up daily and weekly season and log-normal noise are judged beside the real ones. *surges* are those
of the traffic itself that meet the condition of *must*: they are to be reported. A lasting step multiplies all that
follows by 2.5 or 4: one incident (bins up to three hours apart), then the new normal, in which a spike is an incident
again two days later. Latency,
errors, caches and quality follow: see anomaly_levels.py. The formulas of the last two detectors look at one hour, which
is one bin of the hourly series.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import anomaly_levels
import numpy as np
import pandas as pd
from anomaly_injection import Injected, Reference, groups, injections, natural, per_day, two_of_three

from asahi_analytics.anomaly import AnomalyConfig, score_series

PRICES = {"m-large": (1.60, 6.40), "m-small": (0.05, 0.20)}
CONFIG = AnomalyConfig()
STEP_TITLES = (
    "a lasting step is one incident, 12 hours",
    "a lasting step is one incident, two days",
    "a spike two days after the step",
)
Detector = Callable[[pd.Series], np.ndarray]


def load(path: str) -> pd.DataFrame:
    rows = pd.read_csv(path)
    prices = np.array([PRICES[model] for model in rows["model"]])
    tokens = rows[["input_tokens_mean", "output_tokens_mean"]].to_numpy()
    rows["cost"] = rows["requests"] * (tokens * prices).sum(axis=1) / 1e6
    rows["time"] = pd.Timestamp("2024-03-04", tz="UTC") + pd.to_timedelta(rows["t_s"], unit="s")
    return rows


def by_client(rows: pd.DataFrame) -> pd.DataFrame:
    """Cost with bins as rows and (model, client) as columns."""
    table = rows.pivot_table(index="time", columns=["model", "client"], values="cost", aggfunc="sum")
    return table.asfreq("10min").fillna(0.0)


def made_up(seed: int, index: pd.DatetimeIndex) -> pd.Series:
    """A total with a daily season, quieter weekends, and log-normal noise."""
    rng = np.random.default_rng(10_000 + seed)
    days = np.arange(len(index)) / 144
    season = rng.uniform(0.4, 1.0) * np.sin(2 * np.pi * days + rng.uniform(0, 6))
    weekend = (
        pd.Series(np.where(index.day_of_week >= 5, rng.uniform(0.4, 1), 1.0))
        .rolling(24, min_periods=1)
        .mean()
    )
    noise = rng.normal(0, rng.uniform(0.05, 0.2), len(index))
    return pd.Series(100 * np.exp(season + noise) * weekend.to_numpy(), index=index)


def ours(values: pd.Series) -> np.ndarray:
    return score_series(values, CONFIG)["is_anomaly"].to_numpy()


def plain(values: pd.Series) -> np.ndarray:
    day = per_day(values)
    return (values > 2 * values.shift(1).rolling(day, min_periods=day // 4).mean()).to_numpy()


def adaptive(values: pd.Series) -> np.ndarray:
    day = per_day(values)
    hour = max(1, day // 24)
    seen = values.where(values > 0)
    mean, spread = seen.rolling(hour, min_periods=1).mean(), seen.rolling(hour, min_periods=1).std(ddof=0)
    short = mean + 2 * spread.where(spread > 0.5 * mean).rolling(round(day * 26 / 24), min_periods=1).mean()
    shifts = [max(1, round(day * hours / 24)) for hours in (23.5, 167.5)]
    long = [(mean + 2 * spread).shift(shift) for shift in shifts]
    upper = pd.concat([short, 1.5 * mean, *long], axis=1).max(axis=1)
    return (seen > upper).to_numpy()


def robust(values: pd.Series) -> np.ndarray:
    day = per_day(values)
    hour = max(1, day // 24)
    seen = values.where(values > 0)
    middle = seen.rolling(day, min_periods=1).median()
    spread = (seen - middle).abs().rolling(day, min_periods=1).median()
    bands = [middle + 2 * spread, 1.5 * middle]
    for hours in (23.75, 167.75):
        moved = seen.shift(max(1, round(day * hours / 24)))
        center = moved.rolling(hour, min_periods=1).median()
        bands.append(center + 2 * (moved - center).abs().rolling(hour, min_periods=1).median())
    level = seen.rolling(hour, min_periods=1).median()
    return (level > pd.concat(bands, axis=1).max(axis=1)).to_numpy()


DETECTORS: dict[str, Detector] = {"ours": ours, "plain": plain, "adaptive": adaptive, "robust": robust}


def alarms(values: pd.Series, detector: Detector) -> tuple[float, float]:
    """Incidents a week, and those of them that are not explained."""
    day = per_day(values)
    flags = detector(values).copy()
    flags[:day] = False
    explained = two_of_three(values.to_numpy() > 1.9 * Reference.of(values).largest)
    found = groups(flags, max(1, day // 24))
    weeks = (len(values) - day) / day / 7
    unexplained = sum(not explained[first : last + 1].any() for first, last in found)
    return len(found) / weeks, unexplained / weeks


def caught(injected: Injected, detector: Detector) -> float:
    """Bins from the incident's start to its first anomalous bin; NaN when it was missed."""
    flags = detector(injected.values.iloc[: injected.start + injected.length + 1])[injected.start :]
    return float(np.argmax(flags)) if flags.any() else np.nan


def repeated(values: pd.Series, detector: Detector, rng: np.random.Generator, count: int) -> float:
    """Share of spikes (four times the usual for an hour) that are caught again on the next day."""
    day, hits, tried = per_day(values), 0, 0
    length = max(2, day // 24)
    usual = Reference.of(values).largest
    for _ in range(count):
        start = int(rng.integers(2 * day, len(values) - day - length - 1))
        changed = values.to_numpy().copy()
        for offset in (0, day):
            span = slice(start + offset, start + offset + length)
            changed[span] = np.fmax(changed[span], 4 * usual[span])
        flags = detector(pd.Series(changed, values.index))
        tried += 1
        hits += bool(flags[start + day : start + day + length + 1].any())
    return hits / tried


def surges(values: pd.Series, detector: Detector) -> tuple[int, int]:
    """Of the traffic's own surges, how many are reported, and how many there are."""
    flags, found = detector(values), natural(values)
    return sum(bool(flags[first - 1 : last + 1].any()) for first, last in found), len(found)


def step(values: pd.Series, detector: Detector, start: int, factor: float) -> tuple[bool, bool, bool]:
    """Whether a lasting step is one incident in 12 hours, in two days, and whether a spike is caught thereafter."""
    day = per_day(values)
    changed = values.to_numpy().copy()
    changed[start:] *= factor
    late = slice(start + 2 * day, start + 2 * day + max(2, day // 24))
    flags = detector(pd.Series(changed, values.index))[start:]
    half, whole = (groups(flags[:width], max(3, day // 8)) for width in (day // 2, 2 * day))
    changed[late] *= 3
    again = detector(pd.Series(changed, values.index)[: late.stop])[late].any()
    return len(half) == 1, len(whole) == 1, bool(again)


def table_of_alarms(series: dict[str, pd.Series]) -> None:
    print("\nIncidents a week (unexplained)")
    print(f"{'':26}" + "".join(f"{name:>16}" for name in DETECTORS))
    for name, values in series.items():
        cells = [alarms(values, detector) for detector in DETECTORS.values()]
        print(f"{name:26}" + "".join(f"{f'{all_:.1f} ({bad:.1f})':>16}" for all_, bad in cells))
    reported = {
        name: np.sum([surges(values, each) for values in series.values()], axis=0)
        for name, each in DETECTORS.items()
    }
    cells = [f"{told} of {count}" for told, count in reported.values()]
    print(f"{'surges reported':26}" + "".join(f"{cell:>16}" for cell in cells))


def table_of_recall(series: dict[str, pd.Series], count: int, seeds: list[int]) -> None:
    found = pd.DataFrame(
        [
            _outcome(name, injected)
            for name, values in series.items()
            for seed in seeds
            for injected in injections(values, count, np.random.default_rng(seed))
        ]
    )
    must, hidden = found[found["must"] & ~found["hidden"]], found[found["hidden"]]
    print(
        "\nCaught of injected incidents, %" + f"{'number':>22}" + "".join(f"{name:>10}" for name in DETECTORS)
    )
    for name, rows in must.groupby("series", sort=False):
        _recall_line(f"must-catch, {name}", rows)
    for size, rows in must.groupby("size"):
        _recall_line(f"must-catch, size {size:g}", rows)
    for minutes, rows in must.groupby("minutes"):
        _recall_line(f"must-catch, {minutes:.0f} minutes", rows)
    for name, rows in hidden.groupby("series", sort=False):
        _recall_line(f"hidden, {name}", rows)
    if must["bin_minutes"].max() <= 10:
        _soon_line(must)
    for title, grouped in (("the same spike on the next day", False), ("the same, groups", True)):
        _repeat_line(
            title, [values for name, values in series.items() if ("group" in name) == grouped], count, seeds
        )
    _step_lines(series, seeds)


def _outcome(name: str, injected: Injected) -> dict[str, object]:
    minutes = 24 * 60 / per_day(injected.values)
    return {
        "series": name.rstrip("0123456789, "),
        "size": injected.size,
        "minutes": injected.length * minutes,
        "bin_minutes": minutes,
        "must": injected.must,
        "hidden": injected.hidden,
        **{key: caught(injected, detector) for key, detector in DETECTORS.items()},
    }


def _soon_line(must: pd.DataFrame) -> None:
    """Of those caught, how many by the end of the second bin."""
    for name, rows in [*must.groupby("series", sort=False), ("all", must)]:
        cells = [100 * (rows[each].dropna() <= 1).mean() for each in DETECTORS]
        title = f"told within 20 minutes, {name}"
        print(f"{title:46}{len(rows):7}" + "".join(f"{cell:10.1f}" for cell in cells))


def _repeat_line(title: str, series: list[pd.Series], count: int, seeds: list[int]) -> None:
    tries = max(5, count // 5)
    cells = [
        100
        * np.mean(
            [
                repeated(values, each, np.random.default_rng(seed), tries)
                for values in series
                for seed in seeds
            ]
        )
        for each in DETECTORS.values()
    ]
    number = tries * len(series) * len(seeds)
    print(f"{title:46}{number:7}" + "".join(f"{c:10.1f}" for c in cells))


def _step_lines(series: dict[str, pd.Series], seeds: list[int]) -> None:
    calm = {name: values for name, values in series.items() if "group" not in name}
    results: dict[str, list[tuple[bool, bool, bool]]] = {name: [] for name in DETECTORS}
    for values in calm.values():
        day = per_day(values)
        for seed in seeds:
            start = int(np.random.default_rng(seed).integers(3 * day, 10 * day))
            for name, detector in DETECTORS.items():
                results[name] += [step(values, detector, start, factor) for factor in (2.5, 4.0)]
    for column, title in enumerate(STEP_TITLES):
        cells = [100 * np.mean([result[column] for result in each]) for each in results.values()]
        number = 2 * len(calm) * len(seeds)
        print(f"{title:46}{number:7}" + "".join(f"{c:10.1f}" for c in cells))


def _recall_line(title: str, rows: pd.DataFrame) -> None:
    print(
        f"{title:46}{len(rows):7}" + "".join(f"{100 * rows[name].notna().mean():10.1f}" for name in DETECTORS)
    )


def clients_line(table: pd.DataFrame) -> None:
    busy = table.loc[:, table.gt(0).mean() > 0.05]
    counts = pd.DataFrame(
        [{name: alarms(busy[column], each)[0] for name, each in DETECTORS.items()} for column in busy]
    )
    title = f"Single clients, incidents a week ({len(counts)} clients)"
    print(f"\n{title:53}" + "".join(f"{name:>10}" for name in DETECTORS))
    lines = {"mean": counts.mean(), "median": counts.median(), "90th percentile": counts.quantile(0.9)}
    for title, numbers in lines.items():
        print(f"  {title:51}" + "".join(f"{numbers[name]:10.1f}" for name in DETECTORS))


def timing(series: dict[str, pd.Series]) -> None:
    """Wall and processor time: where other work shares the machine, the first says little."""
    for name, values in series.items():
        wall, processor = [], []
        for _ in range(30):
            started, used = time.perf_counter(), time.process_time()
            score_series(values, CONFIG)
            wall.append(time.perf_counter() - started)
            processor.append(time.process_time() - used)
        print(
            f"\n{name}: {len(values)} bins scored in {1000 * np.median(wall):.1f} ms, "
            f"{1000 * np.median(processor):.1f} ms of the processor (medians of 30)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trace", help="the traffic file, plain or gzip")
    parser.add_argument("--incidents", type=int, default=60, help="injected incidents for each series")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    arguments = parser.parse_args()
    table = by_client(load(arguments.trace))
    models = {str(model): table[model].sum(axis=1) for model in table.columns.unique("model")}
    named = {"total": table.sum(axis=1), **models, **groups_of(held_back(table), arguments.seeds)}
    named |= {f"made-up total, {number}": made_up(number, table.index) for number in arguments.seeds}
    for title, width in (("10-minute bins", "10min"), ("hourly bins", "1h")):
        print(f"\n== {title}")
        series = {name: values.resample(width).sum() for name, values in named.items()}
        table_of_alarms(series)
        table_of_recall(series, arguments.incidents, arguments.seeds)
    clients_line(held_back(table))
    timing({name: named[name] for name in ("total", *models)})
    anomaly_levels.table(50)


def held_back(table: pd.DataFrame) -> pd.DataFrame:
    """Every second client: the half on which no constant was chosen."""
    return table.iloc[:, 1::2]


def groups_of(table: pd.DataFrame, seeds: list[int]) -> dict[str, pd.Series]:
    """Random groups of 40 and 80 clients, two for each seed."""
    return {
        f"group of {size} clients, {seed}": table.iloc[
            :, np.random.default_rng(90_000 + seed).choice(table.shape[1], size, replace=False)
        ].sum(axis=1)
        for size in (40, 80)
        for seed in seeds
    }


if __name__ == "__main__":
    main()

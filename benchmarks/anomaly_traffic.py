"""Cost spikes in traffic of many kinds, on which the detector's constants were developed.

    python benchmarks/anomaly_traffic.py llm_traffic_14d_10min.csv.gz azure_llm_conv_2023.csv.gz [--seeds 1 2 3]

The first file is that of anomaly.py; the second holds single requests: ``TIMESTAMP, ContextTokens, GeneratedTokens``.
Totals: made up from a daily season (or office hours, with nights of nothing and quiet weekends), drift, a shift by an
hour, gaps, few requests with log-normal bursts, and requests drawn from those of the second file. Models: clients of
the half of anomaly.py on which constants may be chosen, weighted at random and each moved by whole days, and made-up
clients that are on and off, heavy-tailed, and run nightly jobs. Two weeks of ten-minute bins each, starting on a day
of the week that differs.

Incidents are those of anomaly.py: *unexplained* a week, *must*-catch and *hidden* ones caught, and told within 20
minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import anomaly
import numpy as np
import pandas as pd
from anomaly_injection import injections

BINS = 14 * 144
Shape = Callable[[np.ndarray], np.ndarray]


def index(start_day: int) -> pd.DatetimeIndex:
    first = pd.Timestamp("2024-03-04", tz="UTC") + pd.Timedelta(days=start_day)
    return pd.date_range(first, periods=BINS, freq="10min")


def season(hour: np.ndarray) -> np.ndarray:
    return np.exp(0.7 * np.sin(2 * np.pi * (hour - 8) / 24))


def two_peaks(hour: np.ndarray) -> np.ndarray:
    return np.exp(0.5 * np.sin(2 * np.pi * (hour - 8) / 24) + 0.4 * np.sin(4 * np.pi * (hour - 3) / 24))


def office(hour: np.ndarray) -> np.ndarray:
    return 0.05 + 1 / (1 + np.exp(-3 * (hour - 8.5))) / (1 + np.exp(2 * (hour - 17.5)))


def office_only(hour: np.ndarray) -> np.ndarray:
    return np.where((hour >= 8) & (hour < 18), 0.7 + 0.3 * np.sin(np.pi * (hour - 8) / 10), 0.0)


def level(hour: np.ndarray) -> np.ndarray:
    return np.ones_like(hour)


def noise(rng: np.random.Generator, size: float, memory: float) -> np.ndarray:
    """Log-normal: half of it new in each bin, the rest with a memory (autoregressive)."""
    shocks = rng.normal(0, size * np.sqrt(1 - memory**2), BINS)
    slow = np.empty(BINS)
    last = rng.normal(0, size)
    for place, shock in enumerate(shocks):
        last = slow[place] = memory * last + shock
    return np.exp(slow + rng.normal(0, size / 2, BINS))


def total(
    rng: np.random.Generator,
    shape: Shape,
    *,
    weekend: float = 1.0,
    size: float = 0.1,
    memory: float = 0.8,
    drift: float = 0.0,
    shift: bool = False,
) -> pd.Series:
    """A made-up total; ``drift`` is that of the logarithm a day, ``shift`` an hour's from the second week on."""
    times = index(int(rng.integers(0, 5)))
    hour = (times.hour + times.minute / 60).to_numpy()
    if shift:
        hour = np.where(np.arange(BINS) > BINS // 2, (hour + 1) % 24, hour)
    week = pd.Series(np.where(times.day_of_week >= 5, weekend, 1.0)).rolling(18, min_periods=1).mean()
    trend = np.exp(drift * np.arange(BINS) / 144)
    return pd.Series(100 * shape(hour) * week.to_numpy() * trend * noise(rng, size, memory), index=times)


def with_gaps(values: pd.Series, rng: np.random.Generator) -> pd.Series:
    holed = values.copy()
    for start in rng.integers(200, BINS, 8):
        holed.iloc[start : start + int(rng.integers(1, 40))] = np.nan
    return holed


def of_requests(rate: pd.Series, costs: np.ndarray, rng: np.random.Generator) -> pd.Series:
    """Cost of requests drawn from ``costs``, as many a bin as ``rate`` (mean 100) lets expect, at 30."""
    counts = rng.poisson(0.3 * rate)
    return pd.Series([rng.choice(costs, count).sum() for count in counts], index=rate.index)


def reweighted(table: pd.DataFrame, model: str, rng: np.random.Generator) -> pd.Series:
    """Another model of the same clients: each weighted at random, and moved by whole days."""
    clients = table[model].to_numpy()
    weights = np.exp(rng.normal(0, 1.0, clients.shape[1]))
    moved = [np.roll(clients[:, place], 144 * int(rng.integers(14))) for place in range(clients.shape[1])]
    return pd.Series(np.array(moved).T @ weights, index=table.index)


def bursty(rng: np.random.Generator) -> pd.Series:
    """A model of 15 to 100 made-up clients: on and off, with nightly jobs, or with a season, of very unequal size."""
    times = index(0)
    hour = (times.hour + times.minute / 60).to_numpy()
    shapes: list[Shape] = [season, office, level, two_peaks]
    values = np.zeros(BINS)
    for _ in range(int(rng.choice([15, 30, 60, 100]))):
        course = shapes[rng.integers(4)]((hour + rng.uniform(-4, 4)) % 24)
        habit = rng.random()
        if habit < 0.3:
            course = 3 * course * _on_and_off(rng)
        elif habit < 0.4:
            course = 20 * (((hour - rng.uniform(0, 24)) % 24) < rng.uniform(0.3, 3))
        values += (rng.pareto(1.3) + 0.1) * course * noise(rng, 0.3, 0.9)
    return pd.Series(values, index=times)


def _on_and_off(rng: np.random.Generator) -> np.ndarray:
    on, place, state = np.zeros(BINS), 0, bool(rng.random() < 0.5)
    while place < BINS:
        length = int(rng.exponential(30 if state else 120)) + 1
        on[place : place + length] = state
        place, state = place + length, not state
    return on


def kinds(table: pd.DataFrame, costs: np.ndarray) -> dict[str, Callable[[np.random.Generator], pd.Series]]:
    return {
        "season": lambda rng: total(rng, season, size=0.15, memory=0.95),
        "two peaks, quiet weekends": lambda rng: total(rng, two_peaks, weekend=0.5),
        "office hours, quiet weekends": lambda rng: total(rng, office, weekend=0.25),
        "nothing but office hours": lambda rng: total(rng, office_only, weekend=0.3),
        "growing by 10 % a day": lambda rng: total(rng, season, drift=0.1),
        "shrinking by 10 % a day": lambda rng: total(rng, season, drift=-0.1),
        "an hour's shift": lambda rng: total(rng, office, shift=True),
        "gaps": lambda rng: with_gaps(total(rng, two_peaks), rng),
        "no season, noisy": lambda rng: total(rng, level, size=0.25, memory=0.95),
        "30 real requests a bin": lambda rng: of_requests(total(rng, two_peaks), costs, rng),
        "model: m-large reweighted": lambda rng: reweighted(table, "m-large", rng),
        "model: m-small reweighted": lambda rng: reweighted(table, "m-small", rng),
        "model: bursty clients": bursty,
    }


def line(title: str, series: list[pd.Series], count: int) -> None:
    alarms = [anomaly.alarms(values, anomaly.ours) for values in series]
    found = [
        (injected.hidden, anomaly.caught(injected, anomaly.ours))
        for seed, values in enumerate(series)
        for injected in injections(values, count, np.random.default_rng(seed))
    ]
    must = np.array([delay for hidden, delay in found if not hidden])
    hidden = np.array([delay for is_hidden, delay in found if is_hidden])
    soon = (must[np.isfinite(must)] <= 1).mean()
    cells = [np.isfinite(must).mean(), soon, np.isfinite(hidden).mean()]
    total_, unexplained = np.mean(alarms, axis=0)
    print(
        f"{title:32}{total_:8.1f}{unexplained:8.2f}"
        + "".join(f"{100 * cell:10.1f}" for cell in cells)
        + f"{len(must):8}{len(hidden):8}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trace", help="the traffic file, plain or gzip")
    parser.add_argument("requests", help="the file of single requests, plain or gzip")
    parser.add_argument("--incidents", type=int, default=20, help="injected incidents for each series")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(6)))
    arguments = parser.parse_args()
    table = anomaly.by_client(anomaly.load(arguments.trace)).iloc[:, 0::2]
    tokens = pd.read_csv(arguments.requests)[["ContextTokens", "GeneratedTokens"]].to_numpy()
    costs = (tokens * np.array(anomaly.PRICES["m-large"])).sum(axis=1) / 1e6
    print(
        f"{'':32}{'a week':>8}{'unexpl.':>8}{'must, %':>10}{'20 min, %':>10}{'hidden, %':>10}{'must':>8}{'hidden':>8}"
    )
    for number, (title, make) in enumerate(kinds(table, costs).items()):
        series = [make(np.random.default_rng([number, seed])) for seed in arguments.seeds]
        line(title, series, arguments.incidents)


if __name__ == "__main__":
    main()

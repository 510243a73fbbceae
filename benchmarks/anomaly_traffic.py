"""Cost spikes in traffic of many kinds, on which the detector's constants were developed.

    python benchmarks/anomaly_traffic.py llm_traffic_14d_10min.csv.gz azure_llm_conv_2023.csv.gz [--seeds 1 2 3]

The first file is that of anomaly.py; the second holds single requests: ``TIMESTAMP, ContextTokens, GeneratedTokens``.
Totals: made up from a daily season (or office hours, with nights of nothing and quiet weekends), drift, a shift by an
hour, gaps, bins missing at random, a holiday, a weekend to begin with, time zones, jobs that run each night, on working
days or each hour, few requests with log-normal bursts, and requests drawn from those of the second file; and clients of
the half of anomaly.py on which constants may be chosen, moved by whole days each and by hours together, none of which
holds more than 8 % of the total. Models: such clients of one model or a few of either, weighted at random, and made-up
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
LARGEST = 0.08
"""No client of a mixed total holds more of it."""


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


def with_missing(values: pd.Series, rng: np.random.Generator) -> pd.Series:
    return values.mask(rng.random(BINS) < 0.05)


def with_holiday(values: pd.Series, rng: np.random.Generator) -> pd.Series:
    """One working day from the fifth on runs at 35 %."""
    day = rng.choice([day for day in range(4, 13) if values.index[144 * day].day_of_week < 5])
    return values.where(np.arange(BINS) // 144 != day, 0.35 * values)


def with_jobs(
    values: pd.Series, rng: np.random.Generator, *, late: float, working: bool = False
) -> pd.Series:
    """A job of up to 100 minutes a day of two to five times the mean, give or take ``late`` bins."""
    at, length, size = rng.uniform(0, 144), int(rng.integers(2, 10)), 100 * rng.uniform(2, 5)
    changed = values.to_numpy().copy()
    for day in range(14):
        start = max(0, round(144 * day + at + rng.normal(0, late)))
        if start < BINS and not (working and values.index[start].day_of_week >= 5):
            changed[start : start + length] += size * np.exp(rng.normal(0, 0.15))
    return pd.Series(changed, index=values.index)


def with_hourly_job(values: pd.Series, rng: np.random.Generator) -> pd.Series:
    return values.where(np.arange(BINS) % 6 != rng.integers(6), values * rng.uniform(2, 4))


def three_zones(rng: np.random.Generator) -> pd.Series:
    parts = [np.roll(total(rng, office, weekend=0.5).to_numpy(), 6 * int(rng.integers(24))) for _ in range(3)]
    return pd.Series(rng.uniform(0.3, 1, 3) @ np.array(parts), index=index(int(rng.integers(0, 7))))


def from_weekend(rng: np.random.Generator) -> pd.Series:
    """A total with quiet weekends that begins on a Friday, Saturday or Sunday."""
    values = total(rng, two_peaks, weekend=0.4)
    return values.iloc[144 * int((4 + rng.integers(3) - values.index[0].day_of_week) % 7) :]


def mixed(table: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
    """A total of all clients, weighted at random, none larger than ``LARGEST``, in another time zone."""
    clients = table.to_numpy()
    weights = np.exp(rng.normal(0, 0.5, clients.shape[1]))
    for _ in range(30):
        spend = weights * clients.sum(axis=0)
        weights = weights * np.minimum(1, LARGEST * spend.sum() / np.maximum(spend, 1e-12))
    zone = 6 * int(rng.integers(24))
    moved = [np.roll(clients[:, place], zone + 144 * int(rng.integers(14))) for place in range(len(weights))]
    return pd.Series(weights @ np.array(moved), index=index(int(rng.integers(0, 7))))


def few(table: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.Series:
    """A model of ``count`` clients of about the same size, each moved by hours."""
    active = table.loc[:, table.gt(0).mean() > 0.05].to_numpy()
    picked = active[:, rng.choice(active.shape[1], count, replace=False)]
    moved = [np.roll(each / each.mean(), 6 * int(rng.integers(14 * 24))) for each in picked.T]
    return pd.Series(np.exp(rng.normal(0, 1, count)) @ np.array(moved), index=table.index)


def of_requests(
    rate: pd.Series, costs: np.ndarray, rng: np.random.Generator, number: float = 30
) -> pd.Series:
    """Cost of requests drawn from ``costs``, as many a bin as ``rate`` (mean 100) lets expect, at ``number``."""
    counts = rng.poisson(number / 100 * rate)
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
        "3 real requests a bin": lambda rng: of_requests(total(rng, two_peaks), costs, rng, 3),
        "8 by day, none at night": lambda rng: of_requests(
            total(rng, office_only, weekend=0.4), costs, rng, 8
        ),
        "5 % of bins missing": lambda rng: with_missing(total(rng, two_peaks), rng),
        "a holiday": lambda rng: with_holiday(total(rng, office, weekend=0.3), rng),
        "from a weekend on": from_weekend,
        "three time zones": three_zones,
        "a daily job": lambda rng: with_jobs(total(rng, two_peaks), rng, late=0.3),
        "a daily job at about a time": lambda rng: with_jobs(total(rng, two_peaks), rng, late=1.5),
        "a job of working days": lambda rng: with_jobs(total(rng, two_peaks), rng, late=0.5, working=True),
        "an hourly job": lambda rng: with_hourly_job(total(rng, two_peaks), rng),
        "all clients mixed": lambda rng: mixed(table, rng),
        "model: five clients": lambda rng: few(table, 5, rng),
        "model: twelve clients": lambda rng: few(table, 12, rng),
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

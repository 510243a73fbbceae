"""Latency, errors, caches and quality: alarms in weeks of normal traffic, and injected faults caught.

    python benchmarks/anomaly_levels.py [--seeds 50]

Each seed makes three weeks of ten-minute bins with its own traffic (30 to 3000 requests a bin, by the hour of the day)
and its own level and noise: latency with a daily season and log-normal noise, error and hit rates as they come out of
so many requests, mean scores whose spread falls with the requests. The faults start at random and last an hour.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from asahi_analytics.anomaly import AnomalyConfig, score_series
from asahi_analytics.anomaly.config import Kind

DAY, DAYS, LENGTH = 144, 21, 6
FEW = 100
"""Requests of a bin, in the fault, below which it is told apart: few say little."""
CONFIG = AnomalyConfig()
FAULTS: dict[Kind, tuple[float, ...]] = {
    "latency_spike": (2.5, 4.0),
    "error_rate": (0.05, 0.3),
    "cache_degradation": (0.1, 0.0),
    "quality_drop": (0.8, 2.0),
}
UNITS: dict[Kind, str] = {
    "latency_spike": "times as slow",
    "error_rate": "of requests fail",
    "cache_degradation": "hit rate",
    "quality_drop": "points lost",
}


def traffic(rng: np.random.Generator) -> pd.Series:
    """Requests of each bin."""
    index = pd.date_range("2024-03-04", periods=DAYS * DAY, freq="10min", tz="UTC")
    season = np.exp(rng.uniform(0, 0.8) * np.sin(2 * np.pi * (np.arange(len(index)) / DAY + rng.random())))
    mean = np.exp(rng.uniform(np.log(30), np.log(3000)))
    return pd.Series(rng.poisson(mean * season).astype(float), index)


def share(rate: float, volume: pd.Series, rng: np.random.Generator) -> pd.Series:
    """Of so many requests, the share that comes out at a true ``rate``."""
    return pd.Series(rng.binomial(volume.astype(int), rate) / volume.clip(lower=1), volume.index)


def healthy(kind: Kind, volume: pd.Series, rng: np.random.Generator) -> pd.Series:
    if kind == "latency_spike":
        season = rng.uniform(0, 0.3) * np.sin(2 * np.pi * np.arange(len(volume)) / DAY)
        noise = rng.normal(0, rng.uniform(0.05, 0.15), len(volume))
        return pd.Series(rng.uniform(200, 3000) * np.exp(season + noise), volume.index)
    if kind == "quality_drop":
        spread = 0.8 / np.sqrt(volume.clip(lower=1).to_numpy())
        return pd.Series(rng.uniform(3.5, 4.7) + rng.normal(0, 1, len(volume)) * spread, volume.index)
    return share(rng.uniform(0, 0.006) if kind == "error_rate" else rng.uniform(0.3, 0.8), volume, rng)


def faulty(
    kind: Kind, values: pd.Series, volume: pd.Series, size: float, rng: np.random.Generator
) -> tuple[pd.Series, slice]:
    start = int(rng.integers(2 * DAY, len(values) - LENGTH))
    fault = slice(start, start + LENGTH)
    changed = values.copy()
    if kind == "latency_spike":
        changed.iloc[fault] *= size
    elif kind == "quality_drop":
        changed.iloc[fault] -= size
    else:
        changed.iloc[fault] = share(size, volume.iloc[fault], rng).to_numpy()
    return changed, fault


def flags(kind: Kind, values: pd.Series, volume: pd.Series) -> np.ndarray:
    return score_series(values, CONFIG, kind=kind, volume=volume)["is_anomaly"].to_numpy()


def table(seeds: int) -> None:
    print(f"\n== latency, errors, caches, quality: {seeds} seeds of {DAYS // 7} weeks, 10-minute bins")
    print(
        f"{'':18}{'alarms, normal weeks':>22}{'fault':>24}{'requests':>13}{'caught, %':>12}{'in 20 min, %':>14}"
    )
    for kind, sizes in FAULTS.items():
        alarms, rows = 0, []
        for seed in range(seeds):
            rng = np.random.default_rng([seed, len(kind)])
            volume = traffic(rng)
            values = healthy(kind, volume, rng)
            alarms += int(flags(kind, values, volume).any())
            for size in sizes:
                changed, fault = faulty(kind, values, volume, size, rng)
                found = flags(kind, changed, volume)[fault]
                rows.append((size, volume.iloc[fault].mean() < FEW, found.any(), found[:2].any()))
        faults = pd.DataFrame(rows, columns=["size", "few", "caught", "soon"])
        for (size, few), group in faults.groupby(["size", "few"]):
            requests = f"{'<' if few else '>='} {FEW} ({len(group)})"
            print(
                f"{kind:18}{f'{alarms} of {seeds}':>22}{f'{size:g} {UNITS[kind]}':>24}{requests:>13}"
                f"{100 * group['caught'].mean():12.1f}{100 * group['soon'].mean():14.1f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=50)
    table(parser.parse_args().seeds)


if __name__ == "__main__":
    main()

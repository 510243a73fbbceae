"""How well percentiles are read from our histogram buckets, and how many series the buckets cost.

``python benchmarks/buckets.py``

Log-normal traffic is put into the buckets by its exact distribution function, and p50 ... p99 are read back as
Prometheus' ``histogram_quantile`` does, linearly inside a bucket. The error is relative to the true percentile.
Medians sweep the whole range in 200 steps; percentiles outside the range are left out. The spread sigma goes
from 0.3 (a p99 of twice the median) to 1.6 (of forty times). A sample of real traffic has an error of its own
besides: the last column, for 10,000 requests.
"""

from __future__ import annotations

import numpy as np

from asahi_exporter.conventions import (
    LATENCY_MS_BUCKETS,
    TOKEN_BUCKETS,
    geometric,
)
from asahi_exporter.tally import PERCENTILES

SIGMAS = (0.3, 0.4, 0.5, 0.7, 1.0, 1.3, 1.6)
MEDIANS = 200


def normal_cdf(z: np.ndarray) -> np.ndarray:
    """Return the standard normal distribution function."""
    from math import erf

    return np.array([(1 + erf(value / 2**0.5)) / 2 for value in z])


def normal_quantile(share: float) -> float:
    """Return the standard normal quantile."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)


def read_back(bounds: np.ndarray, cumulative: np.ndarray, share: float) -> float:
    """Return the percentile as ``histogram_quantile`` computes it."""
    rank = share * cumulative[-1]
    position = int(np.searchsorted(cumulative, rank))
    if position >= len(bounds):
        return float(bounds[-1])
    low = bounds[position - 1] if position else 0.0
    below = cumulative[position - 1] if position else 0.0
    return float(low + (bounds[position] - low) * (rank - below) / (cumulative[position] - below))


def errors(buckets: tuple[float, ...], low: float, high: float, sigma: float) -> dict[str, float]:
    """Return the worst relative error of each percentile over medians from ``low`` to ``high``."""
    bounds = np.array(buckets)
    worst = dict.fromkeys(PERCENTILES, 0.0)
    for median in np.geomspace(low, high, MEDIANS):
        cumulative = np.append(normal_cdf(np.log(bounds / median) / sigma), 1.0)
        for name, share in PERCENTILES.items():
            true = median * np.exp(sigma * normal_quantile(share))
            if low <= true <= high:
                error = abs(read_back(bounds, cumulative, share) / true - 1)
                worst[name] = max(worst[name], error)
    return worst


def sampling_error(sigma: float, size: int = 10_000, repeats: int = 200) -> float:
    """Return the 95th percentile of the error that a p99 of ``size`` raw values has by chance."""
    random = np.random.default_rng(1)
    true = np.exp(sigma * normal_quantile(0.99))
    found = np.quantile(np.exp(sigma * random.standard_normal((repeats, size))), 0.99, axis=1)
    return float(np.quantile(np.abs(found / true - 1), 0.95))


def table(title: str, buckets: tuple[float, ...], low: float, high: float) -> None:
    """Print the worst errors of one set of buckets."""
    print(f"\n{title}: {len(buckets)} bounds, {len(buckets) + 3} series a label set, {low:g} to {high:g}")
    print(
        f"{'sigma':>6} "
        + " ".join(f"{name:>7}" for name in PERCENTILES)
        + f" {'p99 of 10,000 raw values':>26}"
    )
    for sigma in SIGMAS:
        worst = errors(buckets, low, high, sigma)
        cells = " ".join(f"{100 * value:6.2f}%" for value in worst.values())
        print(f"{sigma:6.1f} {cells} {100 * sampling_error(sigma):25.2f}%")


def costs() -> None:
    """Print what finer and coarser buckets would give."""
    print(
        "\nLatency: buckets for each factor of ten against the worst error of any percentile at sigma >= 0.3"
    )
    for per_decade in (3, 5, 8, 10, 11, 12, 16, 20):
        buckets = geometric(1.0, 60_000.0, per_decade)
        worst = max(max(errors(buckets, 1.0, 60_000.0, sigma).values()) for sigma in SIGMAS)
        print(f"{per_decade:>6} {len(buckets) + 3:>4} series {100 * worst:6.2f}%")


def main() -> None:
    table("asahi_latency_ms", LATENCY_MS_BUCKETS, 1.0, 60_000.0)
    table("asahi_token_count", TOKEN_BUCKETS, 1.0, 2_000_000.0)
    costs()


if __name__ == "__main__":
    main()

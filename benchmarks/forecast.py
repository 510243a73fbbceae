"""How good forecasts are on real series, beside the plain methods and the libraries that people use.

``python benchmarks/forecast.py [TRACE] [--origins 2] [--packages .bench/packages] [--horizons 30 7]``

Daily series (money, page views, counters) come from packages on PyPI, see ``forecast_data.py``: 90 days of history
are forecast 30 and 7 days ahead from ``--origins`` places, as they are (*plain*) and with a growth of 2 or 4 % a week,
up or down, laid on (*growing*). Hourly cost in total and by model comes from TRACE: 7 days of history, 3 days ahead.
Constants were set on series that are not *held back*. ``--parts`` and ``--methods`` run
some only, ``--by-source`` adds how ours did on each collection.

MAPE       mean error of the total in percent of what came; one error counts 100 at most, so that no peer is
           condemned for one explosion; the plain mean stands beside it
<20%       share of totals that are off by 20 % at most
MASE       mean error of the steps against that of repeating the last season, in the history
c95, c80   share of totals inside their interval
score      interval score at 95 % (Gneiting and Raftery 2007) relative to what came: mean, an interval counts 10 at most
ms         median milliseconds a forecast; ours are three calls of it: one each for two levels, and one more unmeasured
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from forecast_data import Series, daily_series, hourly_series
from forecast_peers import METHODS, Answer, run

from asahi_analytics.forecasting import forecast_series

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WORST_APE, WORST_SCORE = 1.0, 10.0
GROWTH = (0.02, -0.02, 0.04, -0.04)
"""Growth a week that the growing variant lays on, by the series' name."""


@dataclass(frozen=True)
class Task:
    """One forecast to make and what came."""

    history: pd.Series
    actual: np.ndarray
    period: int
    source: str
    growing: bool = False


def tasks(series: Sequence[Series], days: int, horizon: int, origins: int, period: int) -> Iterator[Task]:
    """Yield the forecasts of each series from ``origins`` places spread over it, plain and growing."""
    for one in series:
        values = one.values
        if len(values) < days + horizon:
            continue
        for end in dict.fromkeys(np.linspace(days, len(values) - horizon, origins).astype(int).tolist()):
            history, actual = values.iloc[end - days : end], values.iloc[end : end + horizon].to_numpy()
            if actual.sum() <= 0 or (history > 0).sum() < 20:
                continue
            yield Task(history, actual, period, one.source)
            if period == 7:
                growth = GROWTH[zlib.crc32(one.name.encode()) % len(GROWTH)] / 7
                factor = np.exp(growth * np.arange(days + horizon))
                yield Task(history * factor[:days], actual * factor[days:], period, one.source, growing=True)


@dataclass(frozen=True)
class Result:
    """How one forecast did; ``readings`` are (score, in 95, in 80) for each reading of the interval."""

    source: str
    error: float
    scaled: float
    readings: list[tuple[float, bool, bool]]
    seconds: float


def judge(task: Task, answer: Answer, seconds: float) -> Result:
    """Return how ``answer`` did."""
    history, total = task.history.to_numpy(), float(task.actual.sum())
    scale = np.abs(history[task.period :] - history[: -task.period]).mean()
    readings = []
    for reading in answer.readings:
        low, high = reading[0.95]
        score = high - low + 40 * max(low - total, 0.0) + 40 * max(total - high, 0.0)
        inside = reading[0.80][0] <= total <= reading[0.80][1]
        readings.append((min(score / total, WORST_SCORE), low <= total <= high, inside))
    return Result(
        task.source,
        abs(answer.total - total) / total,
        float(np.abs(answer.mean - task.actual).mean() / scale),
        readings,
        seconds,
    )


def timed(name: str, task: Task) -> tuple[Answer | None, float]:
    """Return the answer and the seconds of one forecast: for ours one call, for others all that they do."""
    horizon = len(task.actual)
    start = time.perf_counter()
    if name.startswith("asahi"):
        forecast_series(task.history, horizon, 0.95, name.split()[1])
        seconds = time.perf_counter() - start
        return run(METHODS[name], task.history, horizon, task.period), seconds
    answer = run(METHODS[name], task.history, horizon, task.period)
    return answer, time.perf_counter() - start


def results(chosen: Sequence[Task], methods: Sequence[str]) -> dict[str, list[Result]]:
    """Return how every one of ``methods`` did on every task; they take turns on each task."""
    found: dict[str, list[Result]] = {name: [] for name in methods}
    for task in chosen:
        for name in methods:
            answer, seconds = timed(name, task)
            if answer is not None and np.isfinite(answer.total):
                found[name].append(judge(task, answer, seconds))
    return found


def table(title: str, found: dict[str, list[Result]], chosen: int, *, by_source: bool = False) -> None:
    """Print one line per method, and ours once more for each collection where ``by_source``."""
    print(f"\n{title}: {chosen} forecasts", flush=True)
    header = f"{'':26}{'MAPE':>6}{'(mean)':>9}{'<20%':>6}{'MASE':>7}{'c95':>7}{'c80':>7}{'score':>7}{'ms':>8}"
    print(header)
    for name, each in found.items():
        if each:
            print(
                f"{name:26}{_row(each)}" + (f"   {chosen - len(each)} failed" if len(each) < chosen else "")
            )
    ours = found.get("asahi auto", []) if by_source else []
    for source in dict.fromkeys(result.source for result in ours):
        mine = [result for result in ours if result.source == source]
        print(f"  {f'{source}, {len(mine)}':24}{_row(mine)}")


def _row(each: list[Result]) -> str:
    errors = np.array([result.error for result in each])
    kinder = min(range(len(each[0].readings)), key=lambda i: np.mean([r.readings[i][0] for r in each]))
    score, in_95, in_80 = np.mean([result.readings[kinder] for result in each], axis=0)
    return (
        f"{100 * np.minimum(errors, WORST_APE).mean():6.1f}{100 * errors.mean():9.1f}"
        f"{100 * (errors <= 0.2).mean():6.0f}{np.mean([r.scaled for r in each]):7.2f}"
        f"{100 * in_95:7.1f}{100 * in_80:7.1f}{score:7.2f}{1000 * np.median([r.seconds for r in each]):8.1f}"
    )


def with_one_thread() -> None:
    """Start again with BLAS on one thread: it reads that when it is loaded, and more make small fits slower."""
    if not all(os.environ.get(variable) == "1" for variable in THREADS):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | dict.fromkeys(THREADS, "1"))


def main() -> None:
    with_one_thread()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", nargs="?", type=Path, help="llm_traffic_14d_10min.csv.gz, or none")
    parser.add_argument("--origins", type=int, default=2, help="forecasts of each daily series")
    parser.add_argument(
        "--packages", type=Path, default=Path(".bench/packages"), help="where downloads are kept"
    )
    parser.add_argument("--horizons", type=int, nargs="*", default=[30, 7], help="days ahead")
    parser.add_argument("--parts", nargs="*", help="some tables only, such as 'held back'")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), help="some of them only")
    parser.add_argument("--by-source", action="store_true", help="ours on each collection, too")
    arguments = parser.parse_args()
    series = daily_series(arguments.packages) if arguments.horizons else []
    for part in arguments.parts or sorted({one.part for one in series}):
        for horizon in arguments.horizons:
            mine = [one for one in series if one.part == part]
            chosen = list(tasks(mine, 90, horizon, arguments.origins, 7))
            for growing in (False, True):
                some = [task for task in chosen if task.growing == growing]
                found = results(some, arguments.methods)
                kind = f"{'growing' if growing else 'plain'}, {part}"
                table(f"90 -> {horizon} days, {kind}", found, len(some), by_source=arguments.by_source)
    if arguments.trace is not None:
        chosen = list(tasks(hourly_series(arguments.trace), 168, 72, 5, 24))
        table("7 -> 3 days by the hour, cost of the trace", results(chosen, arguments.methods), len(chosen))


if __name__ == "__main__":
    main()

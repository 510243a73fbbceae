"""Replayed traffic costs in Prometheus and VictoriaMetrics what the file says, for every label."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.cli import main
from asahi_analytics.composer import Composer
from asahi_analytics.demo.servers import Server, prometheus, prometheus_config, running
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.settings import PrometheusSettings
from asahi_analytics.windows import Window
from support.victoria import flush, victoria_metrics

pytestmark = pytest.mark.integration
PRICES = {"m-large": (1.60, 6.40), "m-small": (0.05, 0.20)}
OPTIONS = [f"--price={model}={rate[0]},{rate[1]}" for model, rate in PRICES.items()]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Twelve hours of bursty bins: users that come late, go silent, and send a thousandth of what others do."""
    rng = np.random.default_rng(5)
    found = []
    for user in range(12):
        model = "m-large" if user % 3 else "m-small"
        for step in range(rng.integers(0, 40), 72):
            if rng.random() < 0.6:
                requests = int(rng.pareto(1.2) * 10 ** (user % 4)) + 1
                found.append((model, user, step * 600, requests, *rng.uniform(1, 900, 2).round(1)))
    names = ["model", "client", "t_s", "requests", "input_tokens_mean", "output_tokens_mean"]
    return pd.DataFrame(found, columns=names)


@pytest.fixture(scope="module")
def trace(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "trace.csv.gz"
    rows.to_csv(path, index=False)
    return path


def dollars(rows: pd.DataFrame) -> pd.Series:
    prices = rows["model"].map(PRICES)
    each = rows["input_tokens_mean"] * prices.str[0] + rows["output_tokens_mean"] * prices.str[1]
    return rows["requests"] * each / 1e6


def assert_costs_agree(server: Server, rows: pd.DataFrame, end: datetime) -> None:
    composer = Composer(PrometheusClient(PrometheusSettings(url=server.url)))
    length_s = rows["t_s"].max() + 600
    for hours in (1, 6, 24):
        late = rows[rows["t_s"] >= length_s - hours * 3600]
        window = Window(end - timedelta(hours=hours), end)
        for family, label, column in (
            ("cost_dollars", "model", late["model"]),
            ("user_cost_dollars", "user", late["client"].astype(str)),
        ):
            ledger = dollars(late).groupby(column).sum()
            answer = composer.total(family, [label], window).values
            answer = answer[answer != 0]
            assert set(answer.index) == set(ledger.index)
            np.testing.assert_allclose(answer[ledger.index], ledger, rtol=1e-9)


@pytest.fixture(scope="module")
def end() -> datetime:
    """The last full minute."""
    return datetime.now(UTC).replace(second=0, microsecond=0)


@pytest.mark.parametrize("totals", [[], ["--no-totals"]], ids=["from totals", "from raw samples"])
def test_history_in_a_data_directory(
    trace: Path, rows: pd.DataFrame, end: datetime, tmp_path: Path, totals: list[str]
) -> None:
    data = tmp_path / "data"
    assert (
        main(["replay", str(trace), "--data-dir", str(data), "--end", end.isoformat(), *OPTIONS, *totals])
        == 0
    )
    with running(prometheus(tmp_path, prometheus_config(), data=data)) as server:
        assert_costs_agree(server, rows, end)


def test_history_sent_to_a_prometheus(trace: Path, rows: pd.DataFrame, end: datetime, tmp_path: Path) -> None:
    flags = ["--web.enable-remote-write-receiver"]
    with running(prometheus(tmp_path, prometheus_config(out_of_order="30d"), extra_flags=flags)) as server:
        options = ["--remote-write", f"{server.url}/api/v1/write", "--end", end.isoformat(), *OPTIONS]
        assert main(["replay", str(trace), *options]) == 0
        assert_costs_agree(server, rows, end)


def test_history_sent_to_victoria_metrics(
    trace: Path, rows: pd.DataFrame, end: datetime, tmp_path: Path
) -> None:
    with running(victoria_metrics(tmp_path)) as server:
        options = ["--remote-write", f"{server.url}/api/v1/write", "--end", end.isoformat(), *OPTIONS]
        assert main(["replay", str(trace), *options]) == 0
        flush(server)
        assert_costs_agree(server, rows, end)

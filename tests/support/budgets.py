"""A forecasting model over made-up spend, for budgets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from asahi_analytics.composer import Trust
from asahi_analytics.forecasting import ForecastingModel
from asahi_analytics.settings import Settings
from support.daily_composer import DailyComposer, LedgerEngine, hourly


def forecasting(
    now: datetime, zone: str = "UTC", days: int = 120, trust: Trust | None = None, **levels: float
) -> ForecastingModel:
    """Spend of ``levels`` dollars a day by model, with a little noise, up to two days after ``now``."""
    start = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days)
    rng = np.random.default_rng(7)
    columns = {
        name: level * np.exp(rng.normal(0, 0.05, days + 2))
        for name, level in (levels or {"m": 100.0}).items()
    }
    composer = DailyComposer({"cost_dollars": hourly(start, columns)}, trust or Trust())
    return ForecastingModel(LedgerEngine(composer, now, Settings(timezone=zone)))

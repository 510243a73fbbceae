"""The files that the settings name, checked before a command rests on them."""

from __future__ import annotations

from asahi_analytics import limits
from asahi_analytics.budget import load_plans
from asahi_analytics.prices import price_book
from asahi_analytics.settings import Settings


def check_files(settings: Settings) -> None:
    """Raise ``UserInputError`` when the budgets, prices or thresholds of ``settings`` cannot be used."""
    load_plans(settings.budgets_file)
    limits.load(settings.thresholds_file)
    price_book(settings.price_file, settings.genai_prices_provider)

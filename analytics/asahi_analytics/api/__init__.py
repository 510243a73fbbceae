"""The HTTP API: a Flask application over the engine and its companions."""

from __future__ import annotations

from asahi_analytics.api.app import create_app

__all__ = ["create_app"]

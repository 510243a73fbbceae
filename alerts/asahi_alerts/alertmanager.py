"""Alerts that the service computes, and the client that hands them to Alertmanager (its v2 API)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import requests

from asahi_alerts.errors import AlertmanagerRefused, AlertmanagerUnreachable

BATCH: Final = 64
"""Alerts in one post, as Prometheus does it."""
Identity = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Alert:
    """One alert; its labels are its identity, everything else may change while it lasts.

    Times are aware. ``ends_at`` is None while the alert lasts. ``over_at`` is when its end was known, where that took a
    while: what may come back at any moment is held to last until then.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None = None
    over_at: datetime | None = None
    generator_url: str = ""
    identity: Identity = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse an alert that Alertmanager would refuse, and times that are not aware."""
        if not self.labels.get("alertname"):
            raise ValueError(f"an alert needs the label alertname, got {dict(self.labels)}")
        times = {"starts_at": self.starts_at, "ends_at": self.ends_at, "over_at": self.over_at}
        for name, moment in times.items():
            if moment is not None and moment.utcoffset() is None:
                raise ValueError(f"{name} must be an aware time, got {moment!r}")
        identity = frozenset((name, value) for name, value in self.labels.items() if value)
        object.__setattr__(self, "identity", identity)

    def ended(self, now: datetime) -> bool:
        """Tell whether the alert is over at ``now``."""
        return self.ends_at is not None and self.ends_at <= now

    def known_to_have_ended(self, now: datetime) -> bool:
        """Tell whether it was known at ``now`` that the alert is over."""
        return self.ended(now) and (self.over_at is None or self.over_at <= now)

    def payload(self, ends_at: datetime) -> dict[str, Any]:
        """Return the alert as Alertmanager reads it: it holds until ``ends_at`` unless it is sent again."""
        return {
            "labels": dict(self.identity),
            "annotations": dict(self.annotations),
            "startsAt": min(self.starts_at, ends_at).isoformat(),
            "endsAt": ends_at.isoformat(),
            "generatorURL": self.generator_url,
        }


class AlertmanagerClient:
    """Posts alerts to one Alertmanager."""

    def __init__(
        self, url: str, *, timeout_seconds: float = 10.0, session: requests.Session | None = None
    ) -> None:
        """Take the base address, such as ``http://127.0.0.1:9093``; nothing is sent yet.

        A user and password in it sign in; ``url``, which messages show, is without them.
        """
        parts = urlsplit(url)
        base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self.url = f"{base.rstrip('/')}/api/v2/alerts"
        self.timeout_seconds = timeout_seconds
        self.session = session or requests.Session()
        if parts.username is not None:
            self.session.auth = (unquote(parts.username), unquote(parts.password or ""))

    def post(self, payloads: Sequence[Mapping[str, Any]]) -> None:
        """Hand over ``payloads``, in posts of bounded size.

        Raises ``AlertmanagerUnreachable`` or ``AlertmanagerRefused``; posts before the one that failed have arrived.
        """
        for start in range(0, len(payloads), BATCH):
            self._post(payloads[start : start + BATCH])

    def _post(self, payloads: Sequence[Mapping[str, Any]]) -> None:
        try:
            answer = self.session.post(self.url, json=list(payloads), timeout=self.timeout_seconds)
        except requests.RequestException as error:
            raise AlertmanagerUnreachable(f"cannot reach Alertmanager at {self.url}: {error}") from error
        if not answer.ok:
            raise AlertmanagerRefused(
                f"Alertmanager at {self.url} answered {answer.status_code}: {answer.text[:500]}",
                answer.status_code,
            )

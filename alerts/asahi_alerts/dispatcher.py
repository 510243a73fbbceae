"""Keeps Alertmanager informed of the alerts that a source computes.

Nothing is stored: the source derives what is going on, and what ended lately, from Prometheus, so that a service
that was restarted sends what its predecessor would have sent. Alertmanager forgets an alert that is not sent
again; each is therefore repeated every ``resend_seconds`` and made to hold for four times that, as Prometheus does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from asahi_alerts.alertmanager import Alert, Identity
from asahi_alerts.errors import AlertmanagerError, AlertmanagerRefused
from asahi_exporter.conventions import NOTIFIER_ALERTS, NOTIFIER_ATTEMPTS, NOTIFIER_LAST_SUCCESS, RESULT

LOG: Final = logging.getLogger(__name__)
HOLD_INTERVALS: Final = 4
"""An alert sent holds for this many resend intervals."""
RESOLVED_FOR: Final = timedelta(minutes=15)
"""An alert that is over is repeated for so long, in case Alertmanager was restarted meanwhile."""
TURN_SECONDS: Final = 1.0
"""Alertmanager has taken an alert before all its parts have heard of it; what that alert inhibits waits so long."""
_SEVERITIES: Final = ("critical", "warning", "info")

Source = Callable[[datetime], Sequence[Alert]]


class Client(Protocol):
    """Takes alerts as Alertmanager reads them; ``AlertmanagerClient`` does."""

    def post(self, payloads: Sequence[Mapping[str, Any]]) -> None:
        """Hand over ``payloads`` or raise an ``AlertmanagerError``."""
        ...


@dataclass
class Counts:
    """What a dispatcher did so far; times in seconds since 1970."""

    sent: int = 0
    resolved: int = 0
    failed: int = 0
    dropped: int = 0
    attempts_ok: int = 0
    attempts_failed: int = 0
    source_failed: int = 0
    last_success: float | None = None

    def samples(self) -> Iterable[tuple[str, dict[str, str], float]]:
        """Yield name, labels and value of each series for the service's own ``/metrics``."""
        for result in ("sent", "resolved", "failed", "dropped"):
            yield NOTIFIER_ALERTS.name, {RESULT: result}, float(getattr(self, result))
        for result, count in (
            ("ok", self.attempts_ok),
            ("failed", self.attempts_failed),
            ("no_data", self.source_failed),
        ):
            yield NOTIFIER_ATTEMPTS.name, {RESULT: result}, float(count)
        if self.last_success is not None:
            yield NOTIFIER_LAST_SUCCESS.name, {}, self.last_success


@dataclass
class _Held:
    """An alert that this dispatcher knows of."""

    alert: Alert
    delivered_at: datetime | None = None  # first time that Alertmanager took it while it lasted
    sent_at: datetime | None = None  # last time that Alertmanager took it as it is now
    over_since: datetime | None = None


def utc_now() -> datetime:
    """Return the time now, aware."""
    return datetime.now(UTC)


class Dispatcher:
    """Sends what ``source`` finds to ``client``; one thread at a time.

    ``source`` takes the time now and returns the alerts that last and those that ended lately; an error of the types
    ``source_errors`` means that nothing is known just now, and what lasted is kept up for ``keep_seconds`` at most.
    At most ``max_alerts`` are held, the gravest and newest. ``pause`` waits for so many seconds.
    """

    def __init__(
        self,
        source: Source,
        client: Client,
        *,
        clock: Callable[[], datetime] = utc_now,
        pause: Callable[[float], object] = time.sleep,
        resend_seconds: float = 60.0,
        max_backoff_seconds: float = 120.0,
        keep_seconds: float = 3_600.0,
        max_alerts: int = 1_000,
        source_errors: tuple[type[Exception], ...] = (OSError,),
    ) -> None:
        """Hold the collaborators; nothing is asked or sent yet."""
        self.counts = Counts()
        self._source, self._client = source, client
        self._clock, self._pause = clock, pause
        self._resend = timedelta(seconds=resend_seconds)
        self._max_backoff = max_backoff_seconds
        self._keep = timedelta(seconds=keep_seconds)
        self._max_alerts = max_alerts
        self._source_errors = source_errors
        self._held: dict[Identity, _Held] = {}
        self._asked_at: datetime | None = None
        self._failures = 0

    def step(self) -> float:
        """Ask the source, send what is due, and return the seconds to wait until the next step.

        After the last one alerts are left standing: whoever comes next goes on with them.
        """
        now = self._clock()
        self._ask(now)
        due = [held for held in self._held.values() if self._is_due(held, now)]
        if not self._send_all(due, now):
            return min(self._max_backoff, 2.0 ** (self._failures - 1))
        self._forget(now)
        return self._resend.total_seconds() / 2

    # What the source says -------------------------------------------------------------------------------------
    def _ask(self, now: datetime) -> None:
        try:
            found = self._bounded(_one_each(self._source(now), now))
        except self._source_errors as error:
            self.counts.source_failed += 1
            LOG.warning("alerts could not be computed: %s", error)
            if self._asked_at is None or now - self._asked_at <= self._keep:
                return
            found = {}
        else:
            self._asked_at = now
        self._take(found, now)

    def _bounded(self, found: dict[Identity, Alert]) -> dict[Identity, Alert]:
        if len(found) <= self._max_alerts:
            return found
        self.counts.dropped += len(found) - self._max_alerts
        LOG.warning("%d alerts at once; the gravest %d are sent", len(found), self._max_alerts)
        gravest = sorted(found.values(), key=_gravity)[: self._max_alerts]
        return {alert.identity: alert for alert in gravest}

    def _take(self, found: Mapping[Identity, Alert], now: datetime) -> None:
        """Lay what was found over what is held; what is gone without an end ends now."""
        for identity, alert in found.items():
            self._take_one(identity, alert, now)
        for identity, held in self._held.items():
            if identity not in found and held.over_since is None:
                held.over_since, held.sent_at = now, None
        self._bound()

    def _bound(self) -> None:
        """Give up what ended first when more is held than may be: Alertmanager has been away for long."""
        excess = len(self._held) - self._max_alerts
        if excess > 0:
            over = [(held.over_since, identity) for identity, held in self._held.items() if held.over_since]
            for _, identity in sorted(over, key=lambda pair: pair[0])[:excess]:
                del self._held[identity]
                self.counts.dropped += 1

    def _take_one(self, identity: Identity, alert: Alert, now: datetime) -> None:
        held = self._held.get(identity)
        if held is None:
            if alert.known_to_have_ended(now - RESOLVED_FOR):
                return
            held = self._held[identity] = _Held(alert)
            if alert.ended(now):  # a predecessor's: it was delivered, and is over
                held.delivered_at = alert.starts_at
        over_since = alert.ends_at if alert.ended(now) else None
        if (over_since is None) != (held.over_since is None) or alert.annotations != held.alert.annotations:
            held.sent_at = None
        held.alert, held.over_since = alert, over_since

    # What Alertmanager is told -----------------------------------------------------------------------------------
    def _is_due(self, held: _Held, now: datetime) -> bool:
        return held.sent_at is None or now - held.sent_at >= self._resend or self._just_resolved(held, now)

    def _just_resolved(self, held: _Held, now: datetime) -> bool:
        """Tell whether an end that had to wait is now to be told."""
        end = self._end(held)
        return end is not None and held.sent_at is not None and held.sent_at < end <= now

    def _end(self, held: _Held) -> datetime | None:
        """Return when the alert is over for Alertmanager.

        One that ended before Alertmanager could be told is shown for two resend intervals all the same.
        """
        if held.over_since is None or held.delivered_at is None:
            return None
        return max(held.over_since, held.delivered_at + 2 * self._resend)

    def _send_all(self, due: Sequence[_Held], now: datetime) -> bool:
        """Send ``due`` turn by turn, and tell whether Alertmanager took it all."""
        for number, turn in enumerate(self._turns(due, now)):
            if number:
                self._pause(TURN_SECONDS)
            if not self._send(turn, now):
                return False
        return True

    def _turns(self, due: Sequence[_Held], now: datetime) -> Iterator[list[_Held]]:
        """Yield what is due as posts, one after the other, so that a cause inhibits its symptoms all the while.

        Of one post Alertmanager may tell the symptom before it has heard of the cause. So what is critical goes
        before the rest, and ends after it.
        """
        by_turn: dict[int, list[_Held]] = {}
        for held in due:
            by_turn.setdefault(self._turn(held, now), []).append(held)
        yield from (by_turn[turn] for turn in sorted(by_turn))

    def _turn(self, held: _Held, now: datetime) -> int:
        if held.alert.labels.get("severity") != _SEVERITIES[0]:
            return 1
        return 0 if self._told_end(held, now) > now else 2

    def _send(self, due: Sequence[_Held], now: datetime) -> bool:
        payloads = [held.alert.payload(self._told_end(held, now)) for held in due]
        try:
            self._client.post(payloads)
        except AlertmanagerError as error:
            if not _is_final(error):
                self._failed(due, error)
                return False
            self.counts.dropped += len(due)
            LOG.error("%s", error)
        self._sent(due, now)
        return True

    def _told_end(self, held: _Held, now: datetime) -> datetime:
        end = self._end(held)
        return end if end is not None and end <= now else now + HOLD_INTERVALS * self._resend

    def _failed(self, due: Sequence[_Held], error: AlertmanagerError) -> None:
        self.counts.attempts_failed += 1
        self.counts.failed += len(due)
        if self._failures == 0:
            LOG.warning("%s; trying again until it answers", error)
        self._failures = min(self._failures + 1, 32)

    def _sent(self, due: Sequence[_Held], now: datetime) -> None:
        if self._failures:
            LOG.info("Alertmanager answers again")
        self._failures = 0
        self.counts.attempts_ok += 1
        self.counts.last_success = now.timestamp()
        for held in due:
            if self._told_end(held, now) <= now:
                self.counts.resolved += 1
            else:
                self.counts.sent += 1
                held.delivered_at = held.delivered_at or now
            held.sent_at = now

    def _forget(self, now: datetime) -> None:
        """Drop what is over and was told for long enough."""
        for identity, held in list(self._held.items()):
            end = self._end(held)
            if end is None or held.sent_at is None or held.sent_at < end:
                continue
            if now - max(end, held.alert.over_at or end) >= RESOLVED_FOR:
                del self._held[identity]


def _one_each(alerts: Iterable[Alert], now: datetime) -> dict[Identity, Alert]:
    """Return one alert for each set of labels: the one that lasts, else the one that ended last."""
    chosen: dict[Identity, Alert] = {}
    for alert in alerts:
        other = chosen.get(alert.identity)
        if other is None or _rank(alert, now) > _rank(other, now):
            chosen[alert.identity] = alert
    return chosen


def _rank(alert: Alert, now: datetime) -> tuple[bool, datetime]:
    lasts = not alert.ended(now)
    return lasts, alert.starts_at if alert.ends_at is None or lasts else alert.ends_at


def _gravity(alert: Alert) -> tuple[int, float]:
    severity = alert.labels.get("severity", "")
    grave = _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
    return grave, -alert.starts_at.timestamp()


def _is_final(error: AlertmanagerError) -> bool:
    """Tell whether trying again is of no use: Alertmanager takes the valid alerts of a post that it calls bad."""
    return isinstance(error, AlertmanagerRefused) and error.status == 400

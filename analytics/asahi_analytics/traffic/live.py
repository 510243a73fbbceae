"""A trace played live: an exporter that serves ``/metrics`` while simulated time runs faster than ours."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Final, Protocol

from asahi_analytics.errors import UserInputError
from asahi_analytics.prices import PriceBook
from asahi_analytics.traffic.player import Player
from asahi_analytics.traffic.traces import Trace
from asahi_exporter import ConfigError, MetricsCollector, MetricsConfig, PortInUseError

TICK_SECONDS: Final = 0.5
EXPORTER_PORT: Final = 9464
"""Where replays and the demo serve ``/metrics`` unless told otherwise."""


class Teller(Protocol):
    """Who tells the user."""

    def say(self, text: str) -> None:
        """Write one line."""

    def step(self, name: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Show a bar that is moved by telling (done, total)."""


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set; what they did before is put back afterwards."""
    event = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        event.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def serving(collector: MetricsCollector, addr: str, port: int, port_option: str = "--port") -> Iterator[str]:
    """Serve the collector's ``/metrics`` and yield its address.

    Raises ``UserInputError`` when the port is taken, naming ``port_option`` as the way to pass another, and when
    ``addr`` or ``port`` cannot be listened on at all.
    """
    try:
        server = collector.start_http_server(port, addr)
    except PortInUseError as error:
        raise UserInputError(
            f"cannot listen on {addr}:{port}: the port is in use; pass another {port_option}"
        ) from error
    except ConfigError as error:
        raise UserInputError(f"{error}; pass another --addr or {port_option}") from error
    try:
        yield f"http://{addr}:{port if server is None else server.port}/metrics"
    finally:
        collector.close()


@dataclass(frozen=True)
class LivePlay:
    """How a trace is played live: ``speed`` times as fast as it was, on ``/metrics`` of ``addr``:``port``.

    ``stay`` keeps serving the last state when the trace is over, until a signal comes.
    """

    speed: float
    addr: str
    port: int
    model: str
    stay: bool


def play_live(trace: Trace, book: PriceBook, play: LivePlay, teller: Teller) -> int:
    """Play ``trace`` until it is over or SIGINT or SIGTERM comes, and return the exit code."""
    start = datetime.now(UTC)
    collector = MetricsCollector(MetricsConfig())
    player = Player(trace, collector, book, start, model=play.model)
    with serving(collector, play.addr, play.port) as address, stopping() as stop:
        teller.say(f"  Serving {address}; {play.speed:g} times as fast as recorded; Ctrl-C ends it")
        with teller.step("Playing") as update:
            _play(player, start, trace.length_s, speed=play.speed, stop=stop, update=update)
        teller.say(f"  {player.requests:,} requests played, {player.unpriced:,} of them without a price")
        if play.stay and not stop.is_set():
            teller.say("  The trace is over; its last state is served until Ctrl-C")
            stop.wait()
    return 0


def _play(
    player: Player,
    start: datetime,
    length_s: float,
    *,
    speed: float,
    stop: threading.Event,
    update: Callable[[int, int], None],
) -> None:
    """Follow the clock from ``start``, ``speed`` times as fast, for ``length_s`` seconds of the trace."""
    began, done_s = time.monotonic(), 0.0
    while done_s < length_s and not stop.is_set():
        stop.wait(TICK_SECONDS)
        done_s = min((time.monotonic() - began) * speed, length_s)
        player.play_until(start + timedelta(seconds=done_s))
        update(int(done_s), int(length_s))

"""The collector: everything that instrumented code calls. Recording never raises and never waits for a network."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family

from asahi_exporter import conventions as names
from asahi_exporter import exposition
from asahi_exporter.book import Book
from asahi_exporter.config import MetricsConfig
from asahi_exporter.errors import Refused
from asahi_exporter.events import InferenceEvent
from asahi_exporter.guard import amount
from asahi_exporter.quiet import QuietLog, say
from asahi_exporter.retry import Retry
from asahi_exporter.server import MetricsServer
from asahi_exporter.statestore import StateStore
from asahi_exporter.store import MemoryStore, Store
from asahi_exporter.tally import summary
from asahi_exporter.waiting import FORKED_LOCK_SECONDS, WaitingStore
from asahi_exporter.web import flask_blueprint, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from flask import Blueprint

_SECONDS_PER_MINUTE: Final = 60.0
_MINUTES_PER_HOUR: Final = 60.0


def open_store(config: MetricsConfig, now: float) -> Store:
    """Return the store that ``config`` asks for: a state directory, or plain memory.

    Raises:
        StateDirectoryError: the state directory cannot be used.
    """
    path = config.state_directory() if config.enabled else None
    return MemoryStore(now) if path is None else StateStore(path, config.service, now)


class MetricsCollector:
    """Counts inferences and everything around them, and exposes them to Prometheus.

    Thread-safe and fork-safe. ``record_*`` never raise, whatever they get: what cannot be counted is counted in
    ``asahi_refused_records_total`` by reason and logged at most once a minute.

    Args:
        config: settings; the defaults when left out.
        registry: where to register; a registry of its own when left out, so that several collectors do not clash.
        clock: seconds since 1970.

    Raises:
        StateDirectoryError: the state directory cannot be used.
        ValueError: ``registry`` already holds a collector of these metrics.
    """

    def __init__(
        self,
        config: MetricsConfig | None = None,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config or MetricsConfig()
        self.registry = registry or CollectorRegistry()
        self._clock = clock
        self._enabled = self.config.enabled
        self._log = QuietLog(clock)
        self._opening = threading.RLock()
        self._forked = False
        self._retry = self._new_retry()
        self._opened: Book | None = self._booked(open_store(self.config, clock()))
        self._servers: list[MetricsServer] = []
        if self._enabled:
            self.registry.register(self)
        _COLLECTORS.add(self)

    @property
    def _book(self) -> Book:
        """The book to count in; a process that was forked opens one of its own when it first needs it."""
        return self._opened or self._reopen()

    def _reopen(self) -> Book:
        with self._opening:
            if self._opened is None:
                self._opened = self._booked(self._reopened_store())
            return self._opened

    def _booked(self, store: Store) -> Book:
        book = Book(self.config, store, self._clock)
        book.cells.found_no_room = self._retry.wake
        if not book.settled:
            self._retry.wake()
        return book

    def _new_retry(self) -> Retry:
        known = weakref.ref(self)

        def look() -> bool:
            collector = known()
            return collector is None or collector._settled()

        return Retry(self.config.collection_interval_seconds, look)

    def _settled(self) -> bool:
        """Try once more to write what could not be written; tell whether nothing is left."""
        book = self._opened
        if book is None or book.settled:
            return True
        with book.lock:
            book.settle(self._clock())
            return book.settled

    def _reopened_store(self) -> Store:
        now, path = self._clock(), self.config.state_directory()
        if path is None:
            return MemoryStore(now)
        try:
            return StateStore(path, self.config.service, now, lock_seconds=FORKED_LOCK_SECONDS)
        except OSError as error:
            say(self._log.line("state", f"counters of this worker wait in memory: {error}"))
            return WaitingStore(path, self.config.service, now, str(error))

    def _before_fork(self) -> None:
        if self._opened is not None:
            self._opened.lock.acquire()

    def _after_fork_in_parent(self) -> None:
        self._forked = True
        if self._opened is not None:
            self._opened.lock.release()

    def _after_fork_in_child(self) -> None:
        """Give back what belongs to the parent: a forked process counts in a file of its own."""
        for server in self._servers:
            server.disown()
        self._servers.clear()
        self._opening = threading.RLock()
        self._retry = self._new_retry()
        self._forked = True
        if self._opened is None:
            return
        self._opened.relock()
        self._opened.cells.found_no_room = self._retry.wake
        if self._opened.store.kept:
            self._opened.close()
            self._opened = None

    # Recording ----------------------------------------------------------------------------------------------
    def record_inference(self, event: InferenceEvent) -> None:
        """Count one answered request."""
        if not self._enabled:
            return
        try:
            book = self._opened or self._reopen()
            with book.lock:
                book.turn()
                book.inference(event)
        except Exception as error:  # noqa: BLE001 - the caller's request must not fail because of its bookkeeping
            self._refuse(error)

    def record_cache_event(self, tier: int, hit: bool, latency_ms: float | None = None) -> None:
        """Count one look-up in cache ``tier`` (1, 2 or 3) and, when known, the time it took in milliseconds."""
        self._record(Book.cache_event, tier, hit, latency_ms)

    def record_routing_decision(self, mode: str, model: str, latency_ms: float | None = None) -> None:
        """Count one decision of the router: its mode, the model it chose and the time it took in milliseconds."""
        self._record(Book.routing_decision, mode, model, latency_ms)

    def record_batch_event(self, batch_size: int, savings_pct: float | None = None) -> None:
        """Count one batch of ``batch_size`` requests that saved ``savings_pct`` percent (0-100) of their cost."""
        self._record(Book.batch_event, batch_size, savings_pct)

    def record_error(self, error_type: str, component: str) -> None:
        """Count one error of ``component``."""
        self._record(Book.error, error_type, component)

    def record_correction(
        self,
        dollars: float,
        model: str,
        task_type: str = names.UNKNOWN,
        cache_tier: int | None = None,
    ) -> None:
        """Count ``dollars`` that were credited back after they counted as cost; cost never goes down."""
        self._record(Book.correction, dollars, model, task_type, cache_tier)

    def _record(self, enter: Callable[..., None], *values: Any) -> None:
        if not self._enabled:
            return
        try:
            book = self._book
            with book.lock:
                book.turn()
                enter(book, *values)
        except Exception as error:  # noqa: BLE001 - the caller's request must not fail because of its bookkeeping
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        """Count and tell a record that was not taken. The caller's values are not printed: printing may fail too."""
        if isinstance(error, Refused):
            reason, message = error.reason, str(error)
        else:
            reason, message = "internal", f"{type(error).__name__} while recording"
        with self._book.lock:
            self._book.refused(reason)
            line = self._log.line(reason, f"record refused ({reason}): {message}")
        say(line)

    # Reading ------------------------------------------------------------------------------------------------
    def collect(self) -> Iterable[Family]:
        """Yield the metric families with their samples (the interface of prometheus-client)."""
        if not self._enabled:
            return []
        book, now = self._book, self._clock()
        with book.lock:
            book.roll(now)
        own = list(book.cells.copy(housed=self._forked and book.store.kept))
        others = list(book.store.rows())
        live = [row for row in others if row[0][0].live]
        with book.lock:
            gauges = book.rolling.gauges(now, live)
        for metric, value in {**book.store.gauges(), names.STORE_CREATED: book.store.created}.items():
            gauges[metric] = {(): value}
        created = book.store.created if self.config.created_samples else None
        sums = exposition.add_up(row for row in (*own, *others) if not row[0][0].live)
        return exposition.families(sums, gauges, book.store.identity, created)

    def describe(self) -> Iterable[Family]:
        """Return the families without samples, for the registry to refuse doubles."""
        return exposition.empty_families()

    def get_prometheus_metrics(self) -> str:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry).decode("utf-8")

    def get_json_metrics(self) -> dict[str, Any]:
        """Return the same families as plain data."""
        return exposition.as_json(self.registry.collect)

    def get_summary(self, window_minutes: float = 60) -> dict[str, Any]:
        """Return what this process saw in the last ``window_minutes``, as plain numbers.

        None stands where nothing was seen. Older slots of the window are coarser: the answer may reach back up
        to 4 % further than asked.

        Raises:
            ValueError: the window is not positive or longer than ``retention_hours``.
        """
        longest = self.config.retention_hours * _MINUTES_PER_HOUR
        try:
            minutes = amount("window_minutes", window_minutes, longest)
        except Refused:
            minutes = 0.0
        if minutes == 0.0:
            raise ValueError(
                f"window_minutes must be above 0 and at most {longest:g} (retention_hours), got {window_minutes!r:.40}"
            )
        book, now = self._book, self._clock()
        with book.lock:
            slots = book.slots(now - minutes * _SECONDS_PER_MINUTE)
        return {"window_minutes": window_minutes, **summary(book.window.add_up(slots))}

    # Serving ------------------------------------------------------------------------------------------------
    def start_http_server(self, port: int | None = None, addr: str = "127.0.0.1") -> MetricsServer | None:
        """Serve ``/metrics`` from a daemon thread and return the server; None when the exporter is disabled.

        Args:
            port: the config's ``prometheus_port`` when left out; 0 takes a free one (see ``port`` of the result).
            addr: address to listen on; this machine only unless told otherwise.

        Raises:
            PortInUseError: another program has the port.
        """
        if not self._enabled:
            return None
        server = MetricsServer(self.wsgi_app(), self.config.prometheus_port if port is None else port, addr)
        self._servers.append(server)
        return server

    def wsgi_app(self) -> WSGIApplication:
        """Return a WSGI application that serves the metrics, to mount in the host's own server."""
        return make_wsgi_app(self, self.config.export_format)

    def flask_blueprint(self, name: str = "asahi_metrics") -> Blueprint:
        """Return a Flask blueprint that serves the metrics.

        Raises:
            MissingDependencyError: Flask is not installed.
        """
        return flask_blueprint(self.wsgi_app(), name)

    def close(self) -> None:
        """Stop the servers and let go of the state directory. What is recorded afterwards stays in memory."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._opened is not None:
            self._settled()
            self._opened.close()
        self._retry.stop()


def _each(action: Callable[[MetricsCollector], object]) -> Callable[[], None]:
    def act() -> None:
        for collector in list(_COLLECTORS):
            action(collector)

    return act


_COLLECTORS: Final = weakref.WeakSet[MetricsCollector]()
atexit.register(_each(MetricsCollector._settled))
os.register_at_fork(
    before=_each(MetricsCollector._before_fork),
    after_in_parent=_each(MetricsCollector._after_fork_in_parent),
    after_in_child=_each(MetricsCollector._after_fork_in_child),
)

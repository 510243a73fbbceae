"""An exporter process that writes each dollar to a ledger of its own before it records it, and kills itself.

Run as a program: PORT LEDGER SEED [STATE_DIR]. It obeys its input between two records: ``pause`` stops counting
until the next line, ``refuse`` makes scrapes fail until ``serve``, and ``kill`` or its end is death by SIGKILL.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import threading
import time
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from asahi_exporter import InferenceEvent, MetricsCollector, MetricsConfig

MODELS = [f"model-{number}" for number in range(8)]
TASKS = ("chat", "code", "summary")
TIERS = (None, 1, 2, 3)
USERS = [f"user-{number}" for number in range(20)]


class _Server(ThreadingMixIn, WSGIServer):
    """Takes its port again at once, although the process before died with connections open."""

    daemon_threads = True


class _Front:
    """The exporter's application behind what goes wrong on the way: refusals, and answers that take a while."""

    def __init__(self, app: Any, jitter_seconds: float) -> None:
        self.app, self.jitter_seconds, self.refuses = app, jitter_seconds, False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if self.refuses:
            start_response("503 Service Unavailable", [])
            return [b""]
        time.sleep(random.SystemRandom().random() * self.jitter_seconds)
        return self.app(environ, start_response)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _event(rng: random.Random, births: float) -> InferenceEvent:
    """A request of one of the models and users that were born so far."""
    born = 2 + int(births)
    return InferenceEvent(
        model=rng.choice(MODELS[:born]),
        task_type=rng.choice(TASKS),
        cache_tier=rng.choice(TIERS),
        user=rng.choice(USERS[: 2 * born]),
        input_tokens=rng.randrange(1, 2000),
        output_tokens=rng.randrange(1, 500),
        cost_dollars=rng.random() / 50,
        savings_dollars={"routing": rng.random() / 50},
        latency_ms=rng.lognormvariate(6, 1),
    )


def main() -> None:
    port, ledger, seed, state = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    rng = random.Random(seed)
    started, birth_seconds, jitter = (float(text) for text in os.environ["LEDGER_TIMES"].split())
    config = MetricsConfig(state_dir=state[0], service="ledger") if state else MetricsConfig()
    collector = MetricsCollector(config)
    front = _Front(collector.wsgi_app(), jitter)
    server = make_server("127.0.0.1", port, front, _Server, _Quiet)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    with ledger.open("a", buffering=1) as book:
        while True:
            event = _event(rng, (time.time() - started) / birth_seconds)
            tier = event.cache_tier or "none"
            book.write(f"{event.model},{event.task_type},{tier},{event.user},{event.cost_dollars!r}\n")
            collector.record_inference(event)
            ready, _, _ = select.select([sys.stdin], [], [], rng.random() / 50)
            order = sys.stdin.readline().strip() if ready else "go on"
            if order in ("refuse", "serve"):
                front.refuses = order == "refuse"
            elif order == "pause":
                sys.stdin.readline()
            elif order != "go on":
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()

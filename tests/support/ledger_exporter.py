"""An exporter process that writes each dollar to a ledger of its own before it records it, and kills itself.

Run as a program: PORT LEDGER SEED [STATE_DIR]. It ends by SIGKILL, between two records, when its input says so.
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
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from asahi_exporter import InferenceEvent, MetricsCollector, MetricsConfig

MODELS = [f"model-{number}" for number in range(8)]
TASKS = ("chat", "code", "summary")
TIERS = (None, 1, 2, 3)
USERS = [f"user-{number}" for number in range(20)]
BIRTH_SECONDS = 4.0
"""A new model and a new user every so often, measured from the common start in the environment."""


class _Server(ThreadingMixIn, WSGIServer):
    """Takes its port again at once, although the process before died with connections open."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _event(rng: random.Random, age_seconds: float) -> InferenceEvent:
    born = 2 + int(age_seconds / BIRTH_SECONDS)
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
    rng, started = random.Random(seed), float(os.environ["LEDGER_STARTED"])
    config = MetricsConfig(state_dir=state[0], service="ledger") if state else MetricsConfig()
    collector = MetricsCollector(config)
    server = make_server("127.0.0.1", port, collector.wsgi_app(), _Server, _Quiet)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    with ledger.open("a", buffering=1) as book:
        while True:
            event = _event(rng, time.time() - started)
            tier = event.cache_tier or "none"
            book.write(f"{event.model},{event.task_type},{tier},{event.user},{event.cost_dollars!r}\n")
            collector.record_inference(event)
            ready, _, _ = select.select([sys.stdin], [], [], rng.random() / 50)
            if ready and not sys.stdin.readline().startswith("pause"):
                os.kill(os.getpid(), signal.SIGKILL)
            elif ready:
                sys.stdin.readline()


if __name__ == "__main__":
    main()

"""Prometheus, Alertmanager and VictoriaMetrics as child processes on loopback, for the demo and the tests.

A server is started on a port of this machine, waited for until it answers, and ended by its own process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from asahi_analytics.errors import AnalyticsError

LOOPBACK: Final = "127.0.0.1"
PROGRAMS: Final[Mapping[str, tuple[str, ...]]] = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "amtool": ("amtool",),
    "victoria-metrics": ("victoria-metrics", "victoria-metrics-prod"),
}
PACKAGES: Final[Mapping[str, str]] = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "victoria-metrics": "victoria-metrics",
}


class ServerError(AnalyticsError):
    """A server could not be found, started or reached; the message says what to do."""


def find_program(name: str) -> str:
    """Return the path of ``name``, whatever the distribution calls it.

    Raises ``ServerError`` naming the package to install when it is not on the PATH.
    """
    for candidate in PROGRAMS[name]:
        if path := shutil.which(candidate):
            return path
    raise ServerError(f"{name} is not on the PATH; install it, for example: apt-get install {PACKAGES[name]}")


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on just now."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Return ``count`` such ports, no two of them the same."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def is_free(port: int) -> bool:
    """Tell whether a server could listen on ``port`` of the loopback interface now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(url: str, timeout_seconds: float = 1.0) -> bool:
    """Tell whether ``url`` answers with a status below 300."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:  # noqa: S310  (always http://127.0.0.1)
            return bool(answer.status < 300)
    except (urllib.error.URLError, OSError):
        return False


@dataclass
class Server:
    """One child process that serves HTTP on loopback.

    ``environment`` is what it gets besides our own environment. It runs in a session of its own, so that a Ctrl-C
    reaches us alone and the servers are stopped in order.
    """

    name: str
    command: Sequence[str]
    port: int
    ready_path: str
    log_path: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Base address, without a trailing slash."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self, timeout_seconds: float = 60.0) -> None:
        """Start the process and return when it is ready; raise ``ServerError`` with its log's end if it is not."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                self.command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_seconds
        while not answers(self.url + self.ready_path):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerError(
                    f"{self.name} did not start on port {self.port}; its log ends:\n{self._log_end()}"
                )
            time.sleep(0.05)

    def stop(self, signal_number: int = signal.SIGTERM, timeout_seconds: float = 20.0) -> None:
        """End the process by its own id: ``signal_number`` first, SIGKILL when it does not heed it in time.

        What it started itself and left behind ends with it.
        """
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout_seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # the group is its own: see start_new_session
        self.process.wait()
        self.process = None

    def ended(self) -> str | None:
        """Return what its log says last if it was started and has ended by itself, else None."""
        if self.process is None or self.process.poll() is None:
            return None
        return f"{self.name} has ended with code {self.process.returncode}; its log ends:\n{self._log_end()}"

    def _log_end(self) -> str:
        return self.log_path.read_text(errors="replace")[-1500:]


@contextlib.contextmanager
def running(server: Server, timeout_seconds: float = 60.0) -> Iterator[Server]:
    """Start ``server``, yield it, and end it whatever happens."""
    server.start(timeout_seconds)
    try:
        yield server
    finally:
        server.stop()


def prometheus_config(
    *,
    targets: Mapping[str, Sequence[str]] | None = None,
    rule_files: Sequence[Path] = (),
    scrape_interval: str = "15s",
    evaluation_interval: str = "1m",
    alertmanagers: Sequence[str] = (),
    external_labels: Mapping[str, str] | None = None,
    out_of_order: str | None = None,
) -> dict[str, Any]:
    """Return a Prometheus configuration: ``targets`` are lists of host:port by job name."""
    config: dict[str, Any] = {
        "global": {
            "scrape_interval": scrape_interval,
            "evaluation_interval": evaluation_interval,
            "external_labels": dict(external_labels or {}),
        },
        "rule_files": [str(path.resolve()) for path in rule_files],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(hosts)}]}
            for job, hosts in (targets or {}).items()
        ],
    }
    if alertmanagers:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]}
    if out_of_order:
        config["storage"] = {"tsdb": {"out_of_order_time_window": out_of_order}}
    return config


def prometheus(
    folder: Path,
    config: Mapping[str, Any],
    *,
    port: int | None = None,
    data: Path | None = None,
    retention: str = "400d",
    extra_flags: Sequence[str] = (),
) -> Server:
    """Return a Prometheus that keeps its configuration, data and log below ``folder`` (not yet started)."""
    folder.mkdir(parents=True, exist_ok=True)
    config_path = folder / "prometheus.yml"
    config_path.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    port = port or free_port()
    command = [
        find_program("prometheus"),
        f"--config.file={config_path}",
        f"--storage.tsdb.path={data or folder / 'data'}",
        f"--storage.tsdb.retention.time={retention}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--web.enable-lifecycle",
        "--log.level=warn",
        *extra_flags,
    ]
    return Server("Prometheus", command, port, "/-/ready", folder / "prometheus.log")


def alertmanager(folder: Path, config: Mapping[str, Any], *, port: int | None = None) -> Server:
    """Return an Alertmanager without clustering that lives below ``folder`` (not yet started)."""
    folder.mkdir(parents=True, exist_ok=True)
    config_path = folder / "alertmanager.yml"
    config_path.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    port = port or free_port()
    command = [
        find_program("alertmanager"),
        f"--config.file={config_path}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    return Server("Alertmanager", command, port, "/-/ready", folder / "alertmanager.log")

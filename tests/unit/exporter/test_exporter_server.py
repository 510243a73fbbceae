from __future__ import annotations

import builtins
import gzip
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from asahi_exporter import (
    ConfigError,
    MetricsCollector,
    MetricsConfig,
    MissingDependencyError,
    PortInUseError,
)
from asahi_exporter.errors import StateDirectoryError
from asahi_exporter.server import in_use
from asahi_exporter.web import accepts_gzip
from support.exporting import inference


@pytest.fixture
def collector() -> Iterator[MetricsCollector]:
    made = MetricsCollector(MetricsConfig(export_format="both"))
    made.record_inference(inference())
    yield made
    made.close()


def get(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(
        url, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_metrics_are_served_on_this_machine_only(collector: MetricsCollector) -> None:
    server = collector.start_http_server(port=0)
    assert server is not None
    assert server.url.startswith("http://127.0.0.1:")
    status, headers, body = get(server.url)
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b'asahi_user_requests_total{user="team-a"} 1.0' in body
    assert "Content-Encoding" not in headers


def test_the_client_chooses_openmetrics(collector: MetricsCollector) -> None:
    server = collector.start_http_server(port=0)
    assert server is not None
    _, headers, body = get(server.url, Accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert list(text_string_to_metric_families(body.decode()))


def test_the_client_chooses_gzip(collector: MetricsCollector) -> None:
    server = collector.start_http_server(port=0)
    assert server is not None
    _, headers, body = get(server.url, Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert b"asahi_requests_total" in gzip.decompress(body)


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("", False),
        ("br", False),
    ],
)
def test_gzip_is_sent_to_those_who_take_it(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken


def test_json_is_served_beside(collector: MetricsCollector) -> None:
    server = collector.start_http_server(port=0)
    assert server is not None
    status, headers, body = get(f"{server.url}.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body)["metrics"]


@pytest.mark.parametrize(("export_format", "statuses"), [("prometheus", (200, 404)), ("json", (200, 200))])
def test_the_format_decides_what_is_served(export_format: Any, statuses: tuple[int, int]) -> None:
    collector = MetricsCollector(MetricsConfig(export_format=export_format))
    server = collector.start_http_server(port=0)
    assert server is not None
    assert (get(server.url)[0], get(f"{server.url}.json")[0]) == statuses
    collector.close()


def test_other_pages_and_methods_are_refused(collector: MetricsCollector) -> None:
    server = collector.start_http_server(port=0)
    assert server is not None
    status, _, body = get(f"http://127.0.0.1:{server.port}/")
    assert status == 404
    assert b"/metrics" in body
    status, headers, _ = get(server.url, method="POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    status, headers, body = get(server.url, method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_a_port_in_use_is_told_with_its_number(collector: MetricsCollector) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1 is already in use"):
            collector.start_http_server(port=port)


def test_recording_goes_on_where_the_port_was_in_use_and_another_can_be_taken(
    collector: MetricsCollector,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortInUseError):
        collector.start_http_server(port=taken.getsockname()[1])
    collector.record_error("timeout", "router")
    server = collector.start_http_server(port=0)
    assert server is not None
    assert b'asahi_errors_total{component="router",error_type="timeout"} 1.0' in get(server.url)[2]


@pytest.mark.parametrize(
    ("port", "other", "of_prometheus"), [(9090, 9464, True), (9091, 9464, False), (9464, 9465, False)]
)
def test_a_port_in_use_says_which_other_one_to_pass_and_whose_default_it_is(
    port: int, other: int, of_prometheus: bool
) -> None:
    words = in_use(port, "127.0.0.1")
    assert ("it is the default port of Prometheus, too" in words) is of_prometheus
    for way in (
        f"start_http_server(port={other})",
        "prometheus_port",
        f"ASAHI_METRICS_PROMETHEUS_PORT={other}",
    ):
        assert way in words


@pytest.mark.parametrize(("port", "addr"), [(70_000, "127.0.0.1"), ("http", "127.0.0.1"), (0, "192.0.2.1")])
def test_an_address_that_cannot_be_served_on_is_told(
    collector: MetricsCollector, port: Any, addr: str
) -> None:
    with pytest.raises(ConfigError, match=r"port must be|cannot serve"):
        collector.start_http_server(port=port, addr=addr)


def test_the_port_of_the_config_is_the_default() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    collector = MetricsCollector(MetricsConfig(prometheus_port=port))
    server = collector.start_http_server()
    assert server is not None
    assert server.port == port
    collector.close()
    collector.close()
    again = collector.start_http_server()
    assert again is not None
    assert get(again.url)[0] == 200
    again.close()
    again.close()


def test_an_address_of_ip_6_is_served_on(collector: MetricsCollector) -> None:
    server = collector.start_http_server(port=0, addr="::1")
    assert server is not None
    assert server.url == f"http://[::1]:{server.port}/metrics"
    assert get(server.url)[0] == 200


def test_a_flask_blueprint_serves_under_any_prefix(collector: MetricsCollector) -> None:
    app = Flask("host")
    app.register_blueprint(collector.flask_blueprint(), url_prefix="/internal")
    client = app.test_client()
    answer = client.get("/internal/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b"asahi_requests_total" in gzip.decompress(answer.data)
    assert client.get("/internal/metrics.json").json["metrics"]
    assert client.get("/internal/other").status_code == 404


def test_a_wsgi_app_serves_where_it_is_mounted(collector: MetricsCollector) -> None:
    said: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/metrics", "PATH_INFO": ""}
    body = collector.wsgi_app()(environ, lambda *answer: said.append(answer))
    assert said[0][0] == "200 OK"
    assert b"asahi_requests_total" in b"".join(body)


def test_figures_that_cannot_be_read_are_an_error_and_not_a_part(
    collector: MetricsCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> None:
        raise StateDirectoryError("the directory is gone")

    monkeypatch.setattr(collector._book.store, "rows", gone)
    server = collector.start_http_server(port=0)
    assert server is not None
    status, _, body = get(server.url)
    assert (status, body) == (503, b"the directory is gone\n")


def test_flask_that_is_missing_is_told(collector: MetricsCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    import_module = builtins.__import__

    def no_flask(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "flask":
            raise ImportError(name)
        return import_module(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_flask)
    with pytest.raises(MissingDependencyError, match="needs Flask"):
        collector.flask_blueprint()

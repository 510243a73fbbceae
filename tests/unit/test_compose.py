"""docker-compose.yml follows the schema, and every path it mounts is in the repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_the_file_follows_the_compose_schema() -> None:
    program = shutil.which("docker-compose")
    assert program, "docker-compose is needed: apt-get install docker-compose"
    checked = subprocess.run(
        [program, "config", "-q"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_every_mounted_path_exists(compose: dict[str, Any]) -> None:
    mounts = [volume for service in compose["services"].values() for volume in service.get("volumes", [])]
    sources = [mount.split(":")[0] for mount in mounts]
    assert any(source.startswith("./") for source in sources)
    assert [source for source in sources if source.startswith("./") and not (ROOT / source).exists()] == []
    assert {source for source in sources if not source.startswith("./")} == set(compose["volumes"])


def test_every_service_has_a_health_check_and_a_pinned_image(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert "healthcheck" in service, name
        tag = service["image"].partition(":")[2]
        assert tag[:1].isdigit() or tag[:2] in {"v0", "v3"}, (name, tag)


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_retention_covers_400_days(compose: dict[str, Any]) -> None:
    assert "--storage.tsdb.retention.time=400d" in compose["services"]["prometheus"]["command"]


def test_what_the_image_copies_is_in_the_repository() -> None:
    copies = [
        line.split()[1:-1]
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ")
    ]
    sources = [word for words in copies for word in words if not word.startswith(("--", "/"))]
    assert [source for source in sources if not (ROOT / source).exists()] == []

"""``scripts/setup.sh`` on a machine that lacks everything: what it installs, what it says, what it leaves behind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "setup.sh"
TOOLS = ("bash", "cat", "dirname", "env", "mktemp", "rm", "sort", "touch")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout, and a PATH of its own on which sudo writes down what it is asked for."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool))
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for path, text in {
        python: "exit 0",
        programs / "python3": "exit 0",
        programs / "id": "echo 1000",
        programs / "apt-get": "exit 0",
        programs / "systemctl": "exit 0",
        programs / "sudo": f'echo "$*" >>{tmp_path}/asked; case "$*" in *install*) eval "$APT";; esac',
    }.items():
        path.write_text(f"#!{shutil.which('bash')}\n{text}\n")
        path.chmod(0o755)
    return tmp_path


def set_up(machine: Path, apt: str, kind: str = "run") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("bash"), machine / "scripts" / "setup.sh", kind],
        env={"PATH": str(machine / "bin"), "APT": apt},
        capture_output=True,
        text=True,
        check=False,
    )


def test_servers_that_are_installed_do_not_start_at_the_next_boot(machine: Path) -> None:
    done = set_up(machine, "echo 'Created symlink'; echo 'policy-rc.d denied execution of start.' >&2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Created symlink" not in done.stdout
    assert done.stdout.startswith("==> ")
    assert "\033" not in done.stdout  # colours are for terminals
    asked = (machine / "asked").read_text().splitlines()
    assert any(line.endswith("--no-install-recommends prometheus prometheus-alertmanager") for line in asked)
    assert asked[-2:] == [
        "systemctl disable --quiet prometheus",
        "systemctl disable --quiet prometheus-alertmanager",
    ]


def test_what_cannot_be_installed_is_told_with_the_words_of_apt(machine: Path) -> None:
    done = set_up(machine, "echo 'E: Unable to locate package prometheus' >&2; exit 100")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "E: Unable to locate package prometheus",
        "setup: apt-get could not install: prometheus prometheus-alertmanager. Its own words are above",
    ]
    assert not (machine / ".venv" / ".run").exists()


@pytest.mark.parametrize(
    ("kind", "stamps"), [("run", {".run"}), ("test", {".run", ".test"}), ("bench", {".bench"})]
)
def test_the_demo_installs_what_benchmarks_do_without(machine: Path, kind: str, stamps: set[str]) -> None:
    assert set_up(machine, "exit 0", kind).returncode == 0
    assert {stamp.name for stamp in (machine / ".venv").glob(".*")} == stamps

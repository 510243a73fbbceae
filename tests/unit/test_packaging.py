"""The distribution holds every package, and the two packaging files say nothing twice."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = ("exporter", "analytics", "alerts")


def packages_on_disk() -> set[str]:
    found = set()
    for folder in FOLDERS:
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join(init.parent.relative_to(ROOT / folder).parts))
    return found


def test_every_package_on_disk_is_packed() -> None:
    assert set(SETUP["options"]["packages"].split()) == packages_on_disk()


def test_the_top_folders_are_path_roots_and_not_packages() -> None:
    assert not [folder for folder in (*FOLDERS, "tests") if (ROOT / folder / "__init__.py").exists()]


def test_every_data_file_is_packed() -> None:
    packed = set()
    for package, patterns in SETUP["options.package_data"].items():
        folder = ROOT / next(f for f in FOLDERS if (ROOT / f / package.split(".")[0]).exists())
        for pattern in patterns.replace(",", " ").split():
            packed |= set(folder.joinpath(*package.split(".")).glob(pattern))
    on_disk = {
        path
        for folder in FOLDERS
        for path in (ROOT / folder).glob("asahi_*/**/*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert on_disk - packed == set()


def test_no_key_stands_in_both_packaging_files() -> None:
    in_project = set(PROJECT["project"]) | set(PROJECT["tool"])
    in_setup = {key for section in SETUP.sections() for key in SETUP[section]} | set(SETUP.sections())
    assert in_project.isdisjoint(in_setup - {"options"})


def test_importing_the_exporter_loads_nothing_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules); import asahi_exporter;"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    third_party = set(loaded.stdout.split()) - set(sys.stdlib_module_names)
    allowed = {"asahi_exporter", "prometheus_client", "pydantic", "pydantic_core", "annotated_types"}
    allowed |= {"typing_extensions", "typing_inspection"}  # what pydantic itself imports
    assert {name for name in third_party if not name.startswith("_")} <= allowed


def test_every_dependency_is_pinned() -> None:
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(name for extra in extras for name in extra)]
    names = {item.split(">=")[0].split("[")[0].lower() for item in wanted} - {"asahi-observability"}
    assert names - pinned == set()

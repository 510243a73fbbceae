"""``asahi-obs rules`` says what is in its way before it reads a month of samples or writes a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from asahi_analytics.cli import main, rules
from asahi_analytics.composer.runs import Run
from asahi_exporter.conventions import FAMILIES

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()


def test_an_address_that_is_none_ends_in_one_line(tmp_path: Path, capsys) -> None:
    assert main(["rules", "backfill", str(tmp_path), "--prometheus-url", "nope"]) == 2
    assert "must be an address such as http://127.0.0.1:9090; got 'nope'" in capsys.readouterr().err


def test_every_family_is_looked_at_before_the_first_is_read(tmp_path: Path, monkeypatch, capsys) -> None:
    missing = list(FAMILIES.values())[-1]
    found = iter([*(Run(name, NOON, NOON, False) for name in list(FAMILIES)[:-1]), None])
    monkeypatch.setattr(rules.rounds, "run", lambda _asking, _client: next(found))
    monkeypatch.setattr(rules, "totals_before", lambda *_what: pytest.fail("samples were read"))
    assert main(["rules", "backfill", str(tmp_path / "out")]) == 2
    words = capsys.readouterr()
    assert f"does not evaluate the rules of {missing.name} yet" in words.err
    assert "wait 6 minutes" in words.err
    assert (words.out, list(tmp_path.iterdir())) == ("", [])


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e300", "soon"])
def test_a_length_of_time_that_is_none_ends_in_one_line(tmp_path: Path, capsys, seconds: str) -> None:
    with pytest.raises(SystemExit):
        main(["rules", "build", str(tmp_path / "out"), "--interval", seconds])
    assert f"--interval: must be a number of seconds; got '{seconds}'" in capsys.readouterr().err


@pytest.mark.parametrize("days", ["0", "nan", "inf", "3661"])
def test_days_that_cannot_be_looked_back_end_in_one_line(tmp_path: Path, capsys, days: str) -> None:
    assert main(["rules", "backfill", str(tmp_path), "--days", days]) == 2
    assert f"--days must be above 0 and at most 3660; got {days}" in capsys.readouterr().err

"""``asahi-obs rules`` says what is in its way before it reads a month of samples or writes a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from asahi_analytics.cli import main, rules
from asahi_analytics.composer.runs import Run
from asahi_analytics.errors import NotEnoughData
from asahi_analytics.history import HistorySeries
from asahi_analytics.tiles import BACKFILLED, state_metric
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


def young_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every family's rules have begun an hour ago, with one label set before."""
    begun = datetime.now(UTC).timestamp() - 3600

    def before(_client, family, grid, _rules):
        yield HistorySeries(
            state_metric(family), {"part": BACKFILLED}, grid, np.arange(grid.size, dtype=np.float64)
        )

    monkeypatch.setattr(rules.rounds, "run", lambda _asking, _client: Run("asahi", begun, begun, False))
    monkeypatch.setattr(rules, "totals_before", before)


def test_a_backfill_says_where_it_wrote_and_what_comes_next(tmp_path: Path, monkeypatch, capsys) -> None:
    young_rules(monkeypatch)
    assert main(["rules", "backfill", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert f"blocks to {tmp_path / 'out'}" in said
    assert "finds them within about a minute" in said


def test_a_second_backfill_into_the_same_folder_is_refused(tmp_path: Path, monkeypatch, capsys) -> None:
    young_rules(monkeypatch)
    line = ["rules", "backfill", str(tmp_path / "out"), "--family", "requests"]
    assert main(line) == 0
    blocks = sorted(tmp_path.glob("out/*"))
    assert main(line) == 2
    assert f"{tmp_path / 'out'} already holds backfilled totals of requests" in capsys.readouterr().err
    assert sorted(tmp_path.glob("out/*")) == blocks
    assert main([*line[:-1], "cost_dollars"]) == 0
    assert main([*line, "--again"]) == 0


def test_a_backfill_of_nothing_makes_no_folder(tmp_path: Path, monkeypatch, capsys) -> None:
    young_rules(monkeypatch)
    monkeypatch.setattr(rules, "snapshot_grid", lambda *_what: (_ for _ in ()).throw(NotEnoughData("none")))
    assert main(["rules", "backfill", str(tmp_path / "out")]) == 0
    assert "nothing is missing, nothing was written" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()

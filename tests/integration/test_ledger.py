"""Dollars equal the ledger through crashes, births, gaps and restarts of Prometheus itself; the short form."""

from __future__ import annotations

import pytest

from support.ledger_run import LABELS, Plan, ledger_run, worst

LIMIT = 1e-4


@pytest.mark.integration
def test_with_a_state_directory_every_label_equals_the_ledger(tmp_path):
    with ledger_run(tmp_path, Plan(stored=True)) as outcome:
        errors = {label: worst(outcome.composed(label), outcome.ledger(label)) for label in LABELS}
        guessed = outcome.asked(
            f"sum by (user) (increase(asahi_user_cost_dollars_total[{int(outcome.window.seconds)}s]))", "user"
        )
        assert max(errors.values()) < LIMIT, errors
        assert worst(guessed, outcome.ledger("user")) > 100 * LIMIT


@pytest.mark.integration
def test_without_one_every_label_equals_the_raw_samples(tmp_path):
    with ledger_run(tmp_path, Plan(stored=False, seed=2)) as outcome:
        errors = {label: worst(outcome.composed(label), outcome.scraped(label)) for label in LABELS}
        assert max(errors.values()) < LIMIT, errors

"""One answer of several sums: nothing is asked twice, and nobody looks at what its trust need not tell."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from asahi_analytics.composer import Ask, Composer, together
from asahi_analytics.replies import Matrix, Vector
from asahi_analytics.tiles import SCRAPES_STATE
from asahi_analytics.windows import Window

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SPAN = Window(NOON - timedelta(hours=3), NOON)
COST = Ask("cost_dollars", (), SPAN)


class Empty:
    """A backend that holds nothing and warns of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def query(self, promql, at):
        return self.query_all([promql], at)[0]

    def query_all(self, promql, at):
        self.asked += [f"{each} @ {at}" for each in promql]
        return [Vector((), ("nothing here",)) for _ in promql]

    def query_range(self, promql, start, _end, _step):
        self.asked.append(f"{promql} from {start}")
        return Matrix((), ("nothing here",))

    def query_raw(self, selector, at):
        return self.query_range(selector, at, at, None)


def test_what_one_sum_has_asked_another_of_the_same_answer_does_not_ask_again():
    backend = Empty()

    def twice(client):
        first = yield from composer.summing([COST], client)
        asked = len(backend.asked)
        second = yield from composer.summing([COST], client)
        return [*first, *second], asked

    composer = Composer(backend)
    sums, asked = composer.answer(twice)
    assert [each.trust.warnings[-1] for each in sums] == ["nothing here"] * 2
    again = [each for each in backend.asked[asked:] if each in backend.asked[:asked]]
    assert not [each for each in again if "state" in each]


def test_the_scrapes_of_a_window_are_looked_at_only_where_trust_is_asked_for():
    looked = {}
    for trusted in (True, False):
        backend = Empty()
        (sums,) = Composer(backend).totals([Ask("cost_dollars", (), SPAN, trusted=trusted)])
        looked[trusted] = any(SCRAPES_STATE in each for each in backend.asked)
        assert bool(sums.trust.gaps) is trusted
        assert ("nothing was scraped in the window" in sums.trust.warnings) is trusted
    assert looked == {True: True, False: False}


def test_a_sum_that_need_not_tell_takes_the_trust_of_another_of_its_window():
    plain = Ask("cost_dollars", (), SPAN, trusted=False)
    for asks in itertools.permutations([COST, plain]):
        sums = Composer(Empty()).totals(asks)
        assert all(each.trust.gaps for each in sums)


def test_what_certifies_a_second_sum_may_be_asked_with_the_first():
    window = Window(NOON - timedelta(hours=2, seconds=7), NOON - timedelta(seconds=7))
    later, sign = (
        Ask("user_requests", ("user",), window, {"user": ["ann"]}),
        'asahi:user_requests:base",part="since"',
    )

    def rounds(ahead):
        backend = Empty()

        def both(client):
            _, plans = yield from together([composer.summing([COST], client), composer.certifying(ahead)])
            first = len(backend.asked)
            yield from composer.summing([later], client, plans)
            return [
                [sign in each for each in part] for part in (backend.asked[:first], backend.asked[first:])
            ]

        composer = Composer(backend)
        return [any(part) for part in composer.answer(both)]

    assert rounds([later]) == [True, False]
    assert rounds([]) == [False, True]


def test_where_nothing_was_scraped_nobody_knows_the_share_without_a_price():
    (sums,) = Composer(Empty()).totals([COST])
    assert (sums.trust.scraped_ratio, sums.trust.unpriced_ratio) == (None, None)
    assert sums.trust.warnings == ["nothing was scraped in the window", "nothing here"]

"""A slow Prometheus behind the real wire: every answer ends within its time, however many are asked at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from asahi_analytics import deadline
from asahi_analytics.api import create_app
from asahi_analytics.api.endpoints import ENDPOINTS
from asahi_analytics.api.notifications import dispatcher
from asahi_analytics.api.service import build
from asahi_analytics.cli import main
from asahi_analytics.errors import AnswerTooLate
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.settings import PrometheusSettings, Settings
from support.slow_prometheus import slow_prometheus

SECONDS = 1.0
"""The time of an answer in these tests; a query takes ``SLOW`` of it, so that one is answered and the next is not."""
SLOW = 0.6
A_LITTLE = 5.0
"""What a machine that is busy with much else may add; without a deadline the slowest of these answers takes 12 s."""
PATHS = [*(endpoint.path for endpoint in ENDPOINTS), "/readyz"]


def settings(url: str) -> Settings:
    return Settings(prometheus=PrometheusSettings(url=url), answer_deadline_seconds=SECONDS)


def timed(call, *given):
    started = time.monotonic()
    found = call(*given)
    return time.monotonic() - started, found


def test_many_answers_at_once_all_end_in_time_and_say_what_was_slow() -> None:
    with slow_prometheus(SLOW) as url:
        service = build(settings(url))
        app = create_app(service=service)
        asked = PATHS * 3
        with ThreadPoolExecutor(len(asked)) as pool:
            answers = list(pool.map(lambda path: timed(app.test_client().get, path), asked))
    assert max(seconds for seconds, _ in answers) < SECONDS + A_LITTLE
    late = [response for _, response in answers if response.status_code == 504]
    assert len(late) > len(asked) / 2
    assert {response.status_code for _, response in answers} <= {200, 503, 504}
    detail = late[0].json["detail"]
    assert "not ready within 1 s (answer_deadline_seconds)" in detail
    assert any("the slowest of them in 0." in response.json["detail"] for response in late)


@pytest.mark.parametrize("pauses", [(SLOW,) * 50, (0.0, SLOW, 30.0)], ids=["bit by bit", "broken off"])
def test_an_answer_that_does_not_come_to_an_end_ends_in_time(pauses) -> None:
    def ask(url: str) -> None:
        with deadline.within(SECONDS), pytest.raises(AnswerTooLate):
            PrometheusClient(url).query("up", datetime.now(UTC))

    with slow_prometheus(*pauses) as url:
        seconds, _ = timed(ask, url)
    assert SECONDS <= seconds < SECONDS + A_LITTLE


def test_the_command_line_keeps_to_the_same_time(capsys, monkeypatch) -> None:
    monkeypatch.setenv("ASAHI_OBS_ANSWER_DEADLINE_SECONDS", str(SECONDS))
    with slow_prometheus(SLOW) as url:
        seconds, code = timed(main, ["report", "--prometheus-url", url])
    assert code == 2
    assert seconds < SECONDS + A_LITTLE
    assert capsys.readouterr().err.startswith("asahi-obs report: the answer was not ready within 1 s")


def test_the_loop_that_tells_alertmanager_is_not_held_up() -> None:
    with slow_prometheus(SLOW) as url:
        loop = dispatcher(build(settings(url)), "http://127.0.0.1:1")
        seconds, _ = timed(loop.step)
    assert seconds < SECONDS + A_LITTLE

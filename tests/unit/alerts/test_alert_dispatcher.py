from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asahi_alerts.alertmanager import Alert
from asahi_alerts.dispatcher import RESOLVED_FOR, TURN_SECONDS, Dispatcher
from asahi_alerts.errors import AlertmanagerError, AlertmanagerRefused, AlertmanagerUnreachable

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def alert(name: str = "A", ends_at: datetime | None = None, **changes: Any) -> Alert:
    labels = {"alertname": name, **changes.pop("labels", {})}
    text, starts_at, over_at = (
        changes.pop("text", "t"),
        changes.pop("starts_at", NOON),
        changes.pop("over_at", None),
    )
    return Alert(labels, {"description": text}, starts_at, ends_at, over_at)


@dataclass
class Stage:
    """An Alertmanager that keeps what it is sent, a clock and a source that do as they are told."""

    now: datetime = NOON
    found: list[Alert] = field(default_factory=list)
    source_error: Exception | None = None
    refusal: AlertmanagerError | None = None
    posts: list[list[dict[str, Any]]] = field(default_factory=list)
    pauses: list[tuple[int, float]] = field(default_factory=list)

    def source(self, now: datetime) -> Sequence[Alert]:
        assert now == self.now
        if self.source_error is not None:
            raise self.source_error
        return list(self.found)

    def post(self, payloads: Sequence[Mapping[str, Any]]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.posts.append([dict(payload) for payload in payloads])

    def dispatcher(self, **options: Any) -> Dispatcher:
        return Dispatcher(self.source, self, clock=lambda: self.now, pause=self.pause, **options)

    def pause(self, seconds: float) -> None:
        """Keep how many posts had gone when how long a pause was made."""
        self.pauses.append((len(self.posts), seconds))

    def pass_time(self, span: timedelta) -> None:
        self.now += span

    def last(self) -> dict[str, tuple[str, bool]]:
        """Name and description of each alert of the last post, and whether it still holds."""
        return {
            one["labels"]["alertname"]: (
                one["annotations"]["description"],
                datetime.fromisoformat(one["endsAt"]) > self.now,
            )
            for one in self.posts[-1]
        }


def test_a_new_alert_is_sent_at_once_and_holds_for_four_intervals() -> None:
    stage = Stage(found=[alert()])
    dispatcher = stage.dispatcher(resend_seconds=60)
    assert dispatcher.step() == 30.0
    assert stage.posts[0][0]["endsAt"] == (NOON + minutes(4)).isoformat()
    assert stage.posts[0][0]["startsAt"] == NOON.isoformat()


def test_nothing_found_is_nothing_sent() -> None:
    stage = Stage()
    stage.dispatcher().step()
    assert stage.posts == []


CAUSE, SYMPTOM, NOTE = (
    alert("A", labels={"severity": severity}) for severity in ("critical", "warning", "info")
)


def severities(posts: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[str]]:
    return [[one["labels"].get("severity", "none") for one in post] for post in posts]


def test_causes_go_in_a_post_of_their_own_before_what_they_may_inhibit() -> None:
    stage = Stage(found=[SYMPTOM, NOTE, CAUSE, alert("B")])
    stage.dispatcher().step()
    assert severities(stage.posts) == [["critical"], ["warning", "info", "none"]]
    assert stage.pauses == [(1, TURN_SECONDS)]


@pytest.mark.parametrize(("found", "severity"), [([CAUSE], "critical"), ([SYMPTOM], "warning")])
def test_where_all_are_of_one_kind_there_is_one_post(found: list[Alert], severity: str) -> None:
    stage = Stage(found=found)
    stage.dispatcher().step()
    assert severities(stage.posts) == [[severity]]
    assert stage.pauses == []


def test_the_end_of_a_cause_is_told_after_that_of_its_symptoms() -> None:
    stage = Stage(found=[SYMPTOM, CAUSE])
    dispatcher = stage.dispatcher(resend_seconds=60)
    dispatcher.step()
    stage.found = [alert("B", labels={"severity": "critical"})]
    stage.pass_time(minutes(3))
    dispatcher.step()
    names = [[one["labels"]["alertname"] for one in post] for post in stage.posts[2:]]
    assert (names, severities(stage.posts[2:])) == (
        [["B"], ["A"], ["A"]],
        [["critical"], ["warning"], ["critical"]],
    )
    assert all(one["endsAt"] <= stage.now.isoformat() for post in stage.posts[3:] for one in post)
    assert stage.pauses[1:] == [(3, TURN_SECONDS), (4, TURN_SECONDS)]


def test_a_symptom_is_not_told_while_its_cause_could_not_be() -> None:
    stage = Stage(found=[SYMPTOM, CAUSE], refusal=AlertmanagerUnreachable("away"))
    dispatcher = stage.dispatcher()
    assert dispatcher.step() == 1.0
    assert (dispatcher.counts.failed, dispatcher.counts.attempts_failed) == (1, 1)
    stage.refusal = None
    dispatcher.step()
    assert severities(stage.posts) == [["critical"], ["warning"]]


def test_an_alert_that_lasts_is_sent_again_each_interval_and_not_sooner() -> None:
    stage = Stage(found=[alert()])
    dispatcher = stage.dispatcher(resend_seconds=60)
    for _ in range(5):
        dispatcher.step()
        stage.pass_time(minutes(0.5))
    assert len(stage.posts) == 3
    assert stage.posts[-1][0]["endsAt"] == (NOON + minutes(6)).isoformat()


def test_an_alert_whose_numbers_changed_is_sent_at_once() -> None:
    stage = Stage(found=[alert(text="two")])
    dispatcher = stage.dispatcher()
    dispatcher.step()
    stage.pass_time(minutes(0.1))
    stage.found = [alert(text="three")]
    dispatcher.step()
    assert stage.last() == {"A": ("three", True)}


def test_equal_labels_are_one_alert_and_the_one_that_lasts_counts() -> None:
    over = alert(ends_at=NOON - minutes(1), text="over", starts_at=NOON - minutes(30))
    stage = Stage(found=[over, alert(text="lasts"), over])
    stage.dispatcher().step()
    assert len(stage.posts[0]) == 1
    assert stage.last() == {"A": ("lasts", True)}


def test_of_alerts_that_are_over_the_latest_counts() -> None:
    early = alert(ends_at=NOON - minutes(9), text="early", starts_at=NOON - minutes(30))
    late = alert(ends_at=NOON - minutes(2), text="late", starts_at=NOON - minutes(5))
    stage = Stage(found=[late, early])
    stage.dispatcher().step()
    assert stage.last() == {"A": ("late", False)}


def ran_until_delivered(stage: Stage, **options: Any) -> Dispatcher:
    dispatcher = stage.dispatcher(**options)
    dispatcher.step()
    stage.pass_time(minutes(3))
    return dispatcher


def test_an_alert_that_ended_is_sent_with_its_end() -> None:
    stage = Stage(found=[alert()])
    dispatcher = ran_until_delivered(stage)
    stage.found = [alert(ends_at=stage.now - minutes(0.5))]
    dispatcher.step()
    assert stage.posts[-1][0]["endsAt"] == (stage.now - minutes(0.5)).isoformat()
    assert dispatcher.counts.resolved == 1


def test_an_alert_that_the_source_no_longer_knows_ends_now() -> None:
    stage = Stage(found=[alert(), alert("B")])
    dispatcher = ran_until_delivered(stage)
    stage.found = [alert("B")]
    dispatcher.step()
    assert stage.last() == {"A": ("t", False), "B": ("t", True)}


def test_an_end_is_repeated_for_a_while_and_then_forgotten() -> None:
    stage = Stage(found=[alert()])
    dispatcher = ran_until_delivered(stage, resend_seconds=60)
    stage.found = []
    end = stage.now
    while stage.now - end < RESOLVED_FOR + minutes(5):
        dispatcher.step()
        stage.pass_time(minutes(1))
    assert 14 <= dispatcher.counts.resolved <= 16
    sent = len(stage.posts)
    dispatcher.step()
    assert len(stage.posts) == sent


def test_an_end_that_became_known_late_is_repeated_as_long() -> None:
    stage = Stage(found=[alert(starts_at=NOON - minutes(120))])
    dispatcher = ran_until_delivered(stage, resend_seconds=60)
    known = stage.now
    stage.found = [alert(starts_at=NOON - minutes(120), ends_at=known - minutes(60), over_at=known)]
    while stage.now - known < RESOLVED_FOR + minutes(5):
        dispatcher.step()
        stage.pass_time(minutes(1))
    assert 14 <= dispatcher.counts.resolved <= 16


def test_an_alert_that_comes_back_fires_again() -> None:
    stage = Stage(found=[alert()])
    dispatcher = ran_until_delivered(stage)
    stage.found = []
    dispatcher.step()
    stage.pass_time(minutes(1))
    stage.found = [alert(starts_at=stage.now)]
    dispatcher.step()
    assert stage.last() == {"A": ("t", True)}


def test_after_a_restart_what_ended_lately_is_resolved_and_what_ended_long_ago_is_not() -> None:
    stage = Stage(
        found=[
            alert("Lately", ends_at=NOON - minutes(14), starts_at=NOON - minutes(60)),
            alert("Long", ends_at=NOON - minutes(15), starts_at=NOON - minutes(60)),
            alert("Lasts", starts_at=NOON - minutes(60)),
            alert(
                "Known lately",
                ends_at=NOON - minutes(74),
                over_at=NOON - minutes(14),
                starts_at=NOON - minutes(90),
            ),
            alert(
                "Known long",
                ends_at=NOON - minutes(75),
                over_at=NOON - minutes(15),
                starts_at=NOON - minutes(90),
            ),
        ]
    )
    stage.dispatcher().step()
    assert stage.last() == {"Lately": ("t", False), "Lasts": ("t", True), "Known lately": ("t", False)}


def test_what_is_lost_on_the_way_is_sent_again_with_growing_pauses() -> None:
    stage = Stage(found=[alert()], refusal=AlertmanagerUnreachable("down"))
    dispatcher = stage.dispatcher(max_backoff_seconds=10)
    assert [dispatcher.step() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    stage.refusal = None
    dispatcher.step()
    assert stage.last() == {"A": ("t", True)}
    assert (dispatcher.counts.failed, dispatcher.counts.sent) == (6, 1)
    assert (dispatcher.counts.attempts_failed, dispatcher.counts.attempts_ok) == (6, 1)
    stage.refusal = AlertmanagerUnreachable("down again")
    stage.pass_time(minutes(5))
    assert dispatcher.step() == 1.0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_alertmanager_in_trouble_is_tried_again(status: int) -> None:
    stage = Stage(found=[alert()], refusal=AlertmanagerRefused("later", status))
    dispatcher = stage.dispatcher()
    dispatcher.step()
    assert (dispatcher.counts.failed, dispatcher.counts.dropped) == (1, 0)


def test_what_alertmanager_calls_bad_is_not_sent_over_and_over(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(found=[alert()], refusal=AlertmanagerRefused("bad label", 400))
    dispatcher = stage.dispatcher()
    with caplog.at_level(logging.ERROR):
        dispatcher.step()
        dispatcher.step()
    assert dispatcher.counts.dropped == 1
    assert caplog.messages == ["bad label"]


def test_an_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(found=[alert()], refusal=AlertmanagerUnreachable("down"))
    dispatcher = stage.dispatcher()
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            dispatcher.step()
        stage.refusal = None
        dispatcher.step()
    assert caplog.messages == ["down; trying again until it answers", "Alertmanager answers again"]


def test_an_incident_that_ended_while_alertmanager_was_away_is_shown_before_it_is_resolved() -> None:
    stage = Stage(found=[alert()], refusal=AlertmanagerUnreachable("down"))
    dispatcher = stage.dispatcher(resend_seconds=60)
    dispatcher.step()
    stage.pass_time(minutes(10))
    stage.found = [alert(ends_at=stage.now)]
    dispatcher.step()
    stage.pass_time(minutes(30))
    stage.found, stage.refusal = [], None
    dispatcher.step()
    assert stage.last() == {"A": ("t", True)}
    stage.pass_time(minutes(1))
    dispatcher.step()
    assert stage.last() == {"A": ("t", True)}
    stage.pass_time(minutes(1))
    dispatcher.step()
    assert stage.last() == {"A": ("t", False)}


def test_while_the_source_knows_nothing_what_lasted_lasts() -> None:
    stage = Stage(found=[alert()])
    dispatcher = stage.dispatcher(resend_seconds=60, keep_seconds=600)
    dispatcher.step()
    stage.source_error = OSError("Prometheus is away")
    for _ in range(10):
        stage.pass_time(minutes(1))
        dispatcher.step()
    assert stage.last() == {"A": ("t", True)}
    stage.pass_time(minutes(1))
    dispatcher.step()
    assert stage.last() == {"A": ("t", False)}
    assert dispatcher.counts.source_failed == 11


def test_a_source_that_fails_from_the_start_sends_nothing() -> None:
    stage = Stage(source_error=OSError("Prometheus is away"))
    dispatcher = stage.dispatcher()
    assert dispatcher.step() == 30.0
    assert stage.posts == []


def test_an_error_that_was_not_announced_is_not_hidden() -> None:
    stage = Stage(source_error=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        stage.dispatcher().step()


def test_of_too_many_alerts_the_gravest_and_newest_are_sent() -> None:
    stage = Stage(
        found=[
            alert("Info", labels={"severity": "info"}),
            alert("Old", labels={"severity": "warning"}, starts_at=NOON - minutes(9)),
            alert("New", labels={"severity": "warning"}),
            alert("Worst", labels={"severity": "critical"}, starts_at=NOON - minutes(99)),
            alert("Unknown"),
        ]
    )
    dispatcher = stage.dispatcher(max_alerts=2)
    dispatcher.step()
    assert [one["labels"]["alertname"] for post in stage.posts for one in post] == ["Worst", "New"]
    assert dispatcher.counts.dropped == 3


def test_memory_is_bounded_while_alertmanager_is_away() -> None:
    stage = Stage(refusal=AlertmanagerUnreachable("down"))
    dispatcher = stage.dispatcher(max_alerts=10)
    for number in range(50):
        stage.found = [alert(f"A{number}")]
        dispatcher.step()
        stage.pass_time(minutes(1))
    stage.refusal = None
    dispatcher.step()
    assert set(stage.last()) == {f"A{number}" for number in range(40, 50)}
    assert dispatcher.counts.dropped == 40


def test_counts_become_samples_of_the_service() -> None:
    stage = Stage(found=[alert()])
    dispatcher = stage.dispatcher()
    assert "asahi_notifier_last_success_timestamp_seconds" not in {
        name for name, _, _ in dispatcher.counts.samples()
    }
    dispatcher.step()
    samples = {(name, *labels.values()): value for name, labels, value in dispatcher.counts.samples()}
    assert samples == {
        ("asahi_notifier_alerts_total", "sent"): 1.0,
        ("asahi_notifier_alerts_total", "resolved"): 0.0,
        ("asahi_notifier_alerts_total", "failed"): 0.0,
        ("asahi_notifier_alerts_total", "dropped"): 0.0,
        ("asahi_notifier_attempts_total", "ok"): 1.0,
        ("asahi_notifier_attempts_total", "failed"): 0.0,
        ("asahi_notifier_attempts_total", "no_data"): 0.0,
        ("asahi_notifier_last_success_timestamp_seconds",): NOON.timestamp(),
    }

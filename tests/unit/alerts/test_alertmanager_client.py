from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone

import pytest
import requests
import responses

from asahi_alerts.alertmanager import BATCH, Alert, AlertmanagerClient
from asahi_alerts.errors import AlertmanagerRefused, AlertmanagerUnreachable

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL = "http://127.0.0.1:9093/api/v2/alerts"
ALERT = Alert({"alertname": "A", "model": "m", "tier": ""}, {"summary": "s"}, NOON, generator_url="http://s/")


def test_an_alert_is_written_as_alertmanager_reads_it() -> None:
    assert ALERT.payload(NOON + timedelta(minutes=4)) == {
        "labels": {"alertname": "A", "model": "m"},
        "annotations": {"summary": "s"},
        "startsAt": "2026-03-01T12:00:00+00:00",
        "endsAt": "2026-03-01T12:04:00+00:00",
        "generatorURL": "http://s/",
    }


def test_an_alert_never_ends_before_it_starts() -> None:
    assert ALERT.payload(NOON - timedelta(hours=1))["startsAt"] == "2026-03-01T11:00:00+00:00"


def test_labels_are_the_identity_whatever_their_order_and_empty_ones_do_not_count() -> None:
    same = Alert({"model": "m", "alertname": "A"}, {"summary": "other"}, NOON + timedelta(hours=1))
    assert same.identity == ALERT.identity
    assert Alert({"alertname": "A", "model": "n"}, {}, NOON).identity != ALERT.identity


@pytest.mark.parametrize("labels", [{}, {"alertname": ""}, {"model": "m"}])
def test_an_alert_without_a_name_is_refused(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="needs the label alertname"):
        Alert(labels, {}, NOON)


def test_times_must_be_aware() -> None:
    with pytest.raises(ValueError, match="starts_at must be an aware time"):
        Alert({"alertname": "A"}, {}, datetime(2026, 3, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="ends_at must be an aware time"):
        Alert({"alertname": "A"}, {}, NOON, datetime(2026, 3, 1))  # noqa: DTZ001


def test_an_alert_is_over_at_its_end_and_not_before() -> None:
    alert = Alert({"alertname": "A"}, {}, NOON, NOON + timedelta(minutes=1))
    assert not alert.ended(NOON + timedelta(seconds=59))
    assert alert.ended(NOON + timedelta(seconds=60))
    assert alert.ended(datetime(2026, 3, 1, 14, 1, tzinfo=timezone(timedelta(hours=2))))
    assert not ALERT.ended(NOON + timedelta(days=9))


@responses.activate
def test_alerts_are_posted_as_json() -> None:
    sent = responses.post(URL, status=200)
    AlertmanagerClient("http://127.0.0.1:9093/").post([ALERT.payload(NOON)])
    assert json.loads(sent.calls[0].request.body) == [ALERT.payload(NOON)]
    assert sent.calls[0].request.headers["Content-Type"] == "application/json"


@responses.activate
def test_many_alerts_go_in_several_posts() -> None:
    sent = responses.post(URL, status=200)
    AlertmanagerClient("http://127.0.0.1:9093").post([ALERT.payload(NOON)] * (2 * BATCH + 1))
    assert [len(json.loads(call.request.body)) for call in sent.calls] == [BATCH, BATCH, 1]


@responses.activate
def test_nothing_to_say_is_not_posted() -> None:
    AlertmanagerClient("http://127.0.0.1:9093").post([])
    assert len(responses.calls) == 0


@responses.activate
@pytest.mark.parametrize("error", [requests.ConnectionError("refused"), requests.Timeout("slow")])
def test_no_connection_is_told_with_the_address(error: Exception) -> None:
    responses.post(URL, body=error)
    with pytest.raises(AlertmanagerUnreachable, match=f"cannot reach Alertmanager at {URL}: {error}"):
        AlertmanagerClient("http://127.0.0.1:9093").post([ALERT.payload(NOON)])


@responses.activate
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_an_error_is_told_in_alertmanagers_words(status: int) -> None:
    responses.post(URL, status=status, body="bad\nstart time")
    with pytest.raises(AlertmanagerRefused, match=f"answered {status}: bad") as refused:
        AlertmanagerClient("http://127.0.0.1:9093").post([ALERT.payload(NOON)])
    assert refused.value.status == status


@responses.activate
def test_a_user_and_password_in_the_address_sign_in_and_stand_in_no_message() -> None:
    sent = responses.post(URL, status=200)
    client = AlertmanagerClient("http://ann:p%40ss@127.0.0.1:9093")
    client.post([ALERT.payload(NOON)])
    assert sent.calls[0].request.headers["Authorization"] == f"Basic {b64encode(b'ann:p@ss').decode()}"
    responses.replace(responses.POST, URL, body=requests.ConnectionError("refused"))
    with pytest.raises(AlertmanagerUnreachable) as failed:
        client.post([ALERT.payload(NOON)])
    assert "ss@" not in str(failed.value)
    assert client.url == URL

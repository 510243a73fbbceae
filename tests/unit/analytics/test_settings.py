"""Settings: the file, the environment, the arguments, what is refused and how, and that the docs list them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from asahi_analytics.errors import UserInputError
from asahi_analytics.settings import Settings, env_name, keys, load

DOCS = Path(__file__).parents[3] / "docs" / "configuration.md"


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "asahi.yml"
        path.write_text(text)
        return path

    return write


def test_without_anything_the_defaults_hold() -> None:
    assert load() == Settings()
    assert load().prometheus.url == "http://127.0.0.1:9090"
    assert load().baseline_model == "gpt-4"


def test_arguments_win_over_the_environment_and_it_over_the_file(file) -> None:
    path = file(
        "analytics:\n  timezone: Europe/Berlin\n  prometheus: {url: 'http://file', tenant: a}\n  server: {port: 1}\n"
    )
    environment = {"ASAHI_OBS_PROMETHEUS_URL": "http://env", "ASAHI_OBS_SERVER_PORT": "2", "HOME": "/"}
    settings = load(path, environment, {"server.port": "3", "server.host": None})
    assert settings.prometheus.url == "http://env"
    assert settings.prometheus.tenant == "a"
    assert settings.server.port == 3
    assert settings.server.host == "127.0.0.1"
    assert settings.zone.key == "Europe/Berlin"


def test_the_exporters_section_may_stand_in_the_same_file(file) -> None:
    assert load(file("metrics: {enabled: true}\nanalytics: {timezone: UTC}\n")) == Settings()


@pytest.mark.parametrize("text", ["", "# nothing\n", "analytics:\n"])
def test_an_empty_file_changes_nothing(file, text) -> None:
    assert load(file(text)) == Settings()


def test_mappings_come_from_the_environment_as_yaml() -> None:
    environment = {"ASAHI_OBS_PROMETHEUS_PARAMS": '{"partial_response": "false"}'}
    assert load(environment=environment).prometheus.params == {"partial_response": "false"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "analytics: {prometheus: {ulr: x}}",
            r"asahi.yml: prometheus.ulr is not a key here; did you mean url",
        ),
        ("analytics: {zzz: 1}", r"zzz is not a key here; there are prometheus, cache, server, timezone"),
        ("timezone: UTC", r"the section timezone; the service's settings stand under 'analytics:'"),
        ("analytics: [1]", "must hold keys and values"),
        ("- 1", "must hold keys and values, not list"),
        ("a: [", r"is not YAML: .*found '<stream end>' \(line 1, column 5\)$"),
        ("analytics: {timezone: Mars}", "timezone: there is no time zone 'Mars'; pass a name of the IANA"),
        ("analytics: {server: {port: 70000}}", "server.port must be a number of 65535 or less; got 70000"),
        ("analytics: {server: {workers: 0}}", "server.workers"),
        ("analytics: {cache: {recent_ttl_seconds: .nan}}", "cache.recent_ttl_seconds"),
        ("analytics: {prometheus: {url: 'localhost:9090'}}", "prometheus.url must be an address such as"),
        ("analytics: {prometheus: {url: 'http://'}}", "must be an address"),
        ("analytics: {prometheus: {url: 'http://127.0.0.1:99999'}}", "must be an address"),
        (
            "analytics: {prometheus: {url: 'http://ann:secret@host'}}",
            "prometheus.username and prometheus.password",
        ),
        ("analytics: {alertmanager_url: '127.0.0.1:9093'}", "alertmanager_url must be an address such as"),
        (
            "analytics: {alertmanager_url: ' http://127.0.0.1:9093'}",
            "alertmanager_url must be an address such as",
        ),
        ("analytics: {alertmanager_url: ''}", "alertmanager_url must be an address such as"),
        ("analytics: {prometheus: {username: a, bearer_token: b}}", "not several"),
        ("analytics: {prometheus: {key_file: a}}", "key_file needs cert_file"),
        ("analytics: {prometheus: 3}", "prometheus must be keys and values; got 3"),
    ],
)
def test_what_cannot_be_used_is_named(file, text, words) -> None:
    with pytest.raises(UserInputError, match=words):
        load(file(text))


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(UserInputError, match=r"nothing\.yml cannot be read: No such file"):
        load(tmp_path / "nothing.yml")
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserInputError, match="is not YAML"):
        load(tmp_path / "binary.yml")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ASAHI_OBS_PROMETHEUS_ULR": "x"}, "did you mean ASAHI_OBS_PROMETHEUS_URL"),
        ({"ASAHI_OBS_SERVER_PORT": "many"}, "^server.port must be a whole number; got 'many'"),
        ({"ASAHI_OBS_PROMETHEUS_PARAMS": "{"}, "must be a mapping"),
    ],
)
def test_what_the_environment_gets_wrong_is_named(environment, words) -> None:
    with pytest.raises(UserInputError, match=words):
        load(environment=environment)


def test_the_file_is_not_blamed_for_what_the_environment_or_an_option_says(file) -> None:
    path = file("analytics: {server: {port: 9000}}")
    for given in (
        {"environment": {"ASAHI_OBS_SERVER_PORT": "many"}},
        {"overrides": {"server.port": "many"}},
    ):
        with pytest.raises(UserInputError, match=r"^server\.port must be"):
            load(path, **given)


def test_an_override_cannot_go_through_a_value(file) -> None:
    with pytest.raises(UserInputError, match="prometheus must hold keys"):
        load(file("analytics: {prometheus: 3}"), overrides={"prometheus.url": "http://x"})


def test_secrets_do_not_show(file) -> None:
    settings = load(file("analytics: {prometheus: {username: a, password: hunter2}}"))
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


def test_variables_of_the_environment_are_distinct() -> None:
    names = [env_name(key) for key, _ in keys()]
    assert len(names) == len(set(names))


def test_every_setting_stands_in_the_docs_with_its_variable() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for key, field in keys():
        assert f"`{key}`" in text
        assert f"`{env_name(key)}`" in text
        assert field.description in text, key


def test_a_refused_address_does_not_show_its_password(file) -> None:
    for text in ("prometheus: {url: 'http://ann:secret@host'}", "alertmanager_url: 'htp://ann:secret@host'"):
        with pytest.raises(UserInputError) as refused:
            load(file(f"analytics: {{{text}}}"))
        assert "secret" not in str(refused.value)


def test_an_alertmanager_may_be_signed_in_to_by_its_address(file) -> None:
    settings = load(file("analytics: {alertmanager_url: 'https://ann:secret@host/prefix/'}"))
    assert settings.alertmanager_url == "https://ann:secret@host/prefix"

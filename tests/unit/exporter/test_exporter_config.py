from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from asahi_exporter import ConfigError, MetricsConfig, MissingDependencyError
from asahi_exporter.config import DEFAULT_LABEL_LIMITS


def test_the_defaults_are_those_of_the_contract() -> None:
    config = MetricsConfig()
    assert config.enabled is True
    assert config.prometheus_port == 9090
    assert config.collection_interval_seconds == 10
    assert config.retention_hours == 168
    assert config.export_format == "prometheus"
    assert config.state_dir is None


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("prometheus_port", -1),
        ("prometheus_port", 65_536),
        ("collection_interval_seconds", 0),
        ("retention_hours", 0),
        ("export_format", "xml"),
        ("label_limits", {"user": 0}),
        ("service", ""),
        ("max_label_length", 10),
        ("rolling_window_minutes", 0),
        ("state_dir", ""),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(key: str, wrong: object) -> None:
    with pytest.raises(ValueError, match=key):
        MetricsConfig(**{key: wrong})


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ValueError, match="unknown setting 'prometheus_prot'; did you mean 'prometheus_port'"):
        MetricsConfig(prometheus_prot=1)  # type: ignore[call-arg]


def test_an_unknown_key_like_no_other_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known keys: enabled"):
        MetricsConfig(zzzz=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("key", ["label_limits", "known_labels"])
def test_an_unknown_label_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="unknown label 'usr'; did you mean 'user'"):
        MetricsConfig(**{key: {"usr": 5 if key == "label_limits" else ["m"]}})


def test_label_limits_left_out_keep_their_default() -> None:
    limits = MetricsConfig(label_limits={"user": 5}).label_limits
    assert limits == {**DEFAULT_LABEL_LIMITS, "user": 5}


def test_yaml_is_read_under_its_key(tmp_path: Path) -> None:
    path = tmp_path / "asahi.yml"
    path.write_text("other: 1\nmetrics:\n  prometheus_port: 9200\n  export_format: both\n", encoding="utf-8")
    config = MetricsConfig.from_yaml(path)
    assert (config.prometheus_port, config.export_format) == (9200, "both")


def test_an_empty_section_means_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "asahi.yml"
    path.write_text("metrics:\n", encoding="utf-8")
    assert MetricsConfig.from_yaml(path) == MetricsConfig()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("metrics: [1, 2", "not valid YAML"),
        ("metrics: 5", "must hold settings, got int"),
        ("metric:\n  enabled: true", "no key 'metrics:'"),
        ("- 1", "no key 'metrics:'"),
        ("metrics:\n  retention_hours: soon", r"metrics\.retention_hours must be a number; got 'soon'"),
        ("metrics:\n  retention_hour: 5", "did you mean 'retention_hours'"),
        ("metrics: \x00", "not valid YAML"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "asahi.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=told) as caught:
        MetricsConfig.from_yaml(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        MetricsConfig.from_yaml(tmp_path / "nowhere.yml")
    (tmp_path / "bytes.yml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match="not UTF-8"):
        MetricsConfig.from_yaml(tmp_path / "bytes.yml")


def test_yaml_without_pyyaml_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_module = builtins.__import__

    def no_yaml(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return import_module(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_yaml)
    with pytest.raises(MissingDependencyError, match="pip install"):
        MetricsConfig.from_yaml(tmp_path / "asahi.yml")


def test_the_environment_is_read() -> None:
    environ = {
        "ASAHI_METRICS_ENABLED": "false",
        "ASAHI_METRICS_STATE_DIR": "/var/lib/asahi",
        "ASAHI_METRICS_LABEL_LIMITS": '{"user": 7}',
        "HOME": "/",
    }
    config = MetricsConfig.from_env(environ)
    assert config.enabled is False
    assert config.state_dir == Path("/var/lib/asahi")
    assert config.label_limits["user"] == 7


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("PROMETHEUS_PORT", "many", "ASAHI_METRICS_PROMETHEUS_PORT must be a whole number; got 'many'"),
        ("PORT", "1", "unknown setting 'port'"),
        ("LABEL_LIMITS", "{broken", "ASAHI_METRICS_LABEL_LIMITS"),
    ],
)
def test_a_wrong_variable_is_told_by_name(name: str, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        MetricsConfig.from_env({f"ASAHI_METRICS_{name}": text})


def test_the_multiprocess_variable_stands_in_for_a_state_directory() -> None:
    environ = {"PROMETHEUS_MULTIPROC_DIR": "/run/multi"}
    assert MetricsConfig().state_directory(environ) == Path("/run/multi")
    assert MetricsConfig(state_dir=Path("/own")).state_directory(environ) == Path("/own")
    assert MetricsConfig().state_directory({}) is None

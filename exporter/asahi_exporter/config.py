"""Settings of the exporter: from arguments, a YAML file or the environment."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from asahi_exporter import conventions as names
from asahi_exporter.errors import ConfigError, MissingDependencyError
from asahi_exporter.wording import complaints

ENV_PREFIX: Final = "ASAHI_METRICS_"
YAML_KEY: Final = "metrics"
MULTIPROC_ENV: Final = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's variable for gunicorn; used as the state directory when ``state_dir`` is not set."""

DEFAULT_LABEL_LIMITS: Final[Mapping[str, int]] = {
    names.MODEL: 100,
    names.TASK_TYPE: 50,
    names.USER: 1_000,
    names.PHASE: 50,
    names.ERROR_TYPE: 100,
    names.COMPONENT: 50,
    names.MODE: 20,
}

Limit = Annotated[int, Field(ge=1, le=1_000_000)]


def _suggestion(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}"


def _refuse_unknown(given: Mapping[str, Any], known: list[str], what: str) -> None:
    for key in given:
        if key not in known:
            raise ValueError(f"unknown {what} '{key}'; {_suggestion(str(key), known)}")


class MetricsConfig(BaseModel):
    """Settings of a :class:`~asahi_exporter.MetricsCollector`; wrong values and unknown keys raise a ``ValueError``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """False turns every call into a no-op."""
    prometheus_port: Annotated[int, Field(ge=0, le=65_535)] = 9090
    """Port of ``start_http_server``; 0 takes a free one."""
    collection_interval_seconds: Annotated[float, Field(gt=0, le=3_600)] = 10
    """Finest slot of the rolling window."""
    retention_hours: Annotated[float, Field(gt=0, le=24 * 366)] = 168
    """How far ``get_summary`` can look back."""
    export_format: Literal["prometheus", "json", "both"] = "prometheus"
    """``json`` and ``both`` serve the same families as JSON at ``/metrics.json`` (``json``: at ``/metrics`` too)."""
    state_dir: Path | None = None
    """Directory that makes the counters outlive the process; shared by the workers of one service."""
    service: Annotated[str, Field(min_length=1, max_length=100)] = "asahi"
    """Whose counters these are: a state directory of another service is refused."""
    rolling_window_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 15
    """Window of the rolling gauges (cache hit rate, quality score)."""
    label_limits: dict[str, Limit] = Field(default_factory=lambda: dict(DEFAULT_LABEL_LIMITS))
    """Most values of each label; what comes later is counted as ``other``. Labels left out keep their default."""
    max_label_length: Annotated[int, Field(ge=32, le=1_000)] = 200
    """Longest label value in characters; longer ones are cut and marked with a hash."""
    known_labels: dict[str, list[str]] = Field(default_factory=dict)
    """Label values whose series are created at start and so are scraped at 0 (see docs/exporter.md)."""
    created_samples: bool = False
    """Expose ``_created`` for every counter, as prometheus-client does; doubles the exposition."""

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            _refuse_unknown(given, list(cls.model_fields), "setting")
        return given

    @field_validator("label_limits")
    @classmethod
    def _limits_of_known_labels(cls, limits: dict[str, int]) -> dict[str, int]:
        _refuse_unknown(limits, list(DEFAULT_LABEL_LIMITS), "label")
        return {**DEFAULT_LABEL_LIMITS, **limits}

    @field_validator("known_labels")
    @classmethod
    def _known_labels_only(cls, values: dict[str, list[str]]) -> dict[str, list[str]]:
        _refuse_unknown(values, list(DEFAULT_LABEL_LIMITS), "label")
        return values

    def state_directory(self, environ: Mapping[str, str] | None = None) -> Path | None:
        """Return ``state_dir``, else the directory that ``PROMETHEUS_MULTIPROC_DIR`` names, else None."""
        named = (os.environ if environ is None else environ).get(MULTIPROC_ENV)
        return self.state_dir or (Path(named) if named else None)

    @field_validator("state_dir", mode="before")
    @classmethod
    def _named_directory(cls, given: Any) -> Any:
        if isinstance(given, str) and not given.strip():
            raise ValueError(
                "state_dir is empty; name a directory ('.' for the current one), "
                "or leave it out to keep the counters in memory"
            )
        return given

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> MetricsConfig:
        """Read the settings under the key ``metrics:`` of a YAML file (other keys belong to others).

        Raises:
            ConfigError: no such file, broken YAML, no ``metrics:``, or a wrong setting; names file and key.
        """
        document = _load_yaml(Path(path))
        if not isinstance(document, Mapping) or YAML_KEY not in document:
            raise ConfigError(f"{path}: no key '{YAML_KEY}:' at the top; put the settings under it")
        settings = document[YAML_KEY]
        if settings is None:
            settings = {}
        if not isinstance(settings, Mapping):
            raise ConfigError(f"{path}: '{YAML_KEY}:' must hold settings, got {type(settings).__name__}")
        return cls._build(settings, str(path), lambda key: f"{YAML_KEY}.{key}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> MetricsConfig:
        """Read ``ASAHI_METRICS_<SETTING>`` variables; mappings and lists are written as JSON.

        Raises:
            ConfigError: an unknown or wrong variable, by name.
        """
        environ = os.environ if environ is None else environ
        given = {
            key.removeprefix(ENV_PREFIX).lower(): _from_text(value)
            for key, value in environ.items()
            if key.startswith(ENV_PREFIX)
        }
        return cls._build(given, "environment", lambda key: f"{ENV_PREFIX}{key.upper()}")

    @classmethod
    def _build(cls, settings: Mapping[str, Any], source: str, named: Callable[[str], str]) -> MetricsConfig:
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise ConfigError(f"{source}: {complaints(error, cls, named)}") from error


def _from_text(text: str) -> Any:
    """Return a JSON object or list as such and any other text as it stands, for pydantic to read."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _load_yaml(path: Path) -> Any:
    try:
        import yaml  # noqa: PLC0415 - optional: only a YAML file needs it

        from asahi_exporter import yamltext  # noqa: PLC0415 - needs PyYAML
    except ImportError as error:
        raise MissingDependencyError(
            "reading YAML needs PyYAML: pip install 'asahi-observability[yaml]'"
        ) from error
    try:
        return yamltext.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error

"""Settings of the analytics service: a YAML file, then the environment (``ASAHI_OBS_*``), then arguments.

Keys, units and defaults stand in docs/configuration.md. A key is written with underscores in the
environment: ``ASAHI_OBS_PROMETHEUS_URL``. Unknown keys are refused by name. Nothing is read at import.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self, get_origin
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from asahi_analytics.errors import UserInputError
from asahi_analytics.windows import time_zone
from asahi_exporter import yamltext
from asahi_exporter.wording import complaints

ENV_PREFIX: Final = "ASAHI_OBS_"
SECTION: Final = "analytics"
"""Key of the file under which the settings stand."""
_SECTIONS: Final = {SECTION, "metrics"}
"""Sections that a file may have; ``metrics`` is the exporter's own."""
_SIGN_IN: Final = re.compile(r"//[^/]*@")


def http_address(url: str, example: str) -> str:
    """Return ``url`` without slashes at its end; raise ``ValueError``, which shows no password, where it is no base."""
    try:
        parts = urlsplit(url)
        usable = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        usable = False
    if not usable or url != url.strip():
        shown = _SIGN_IN.sub("//...@", url)
        raise ValueError(f"must be an address such as {example}; got {shown[:120]!r}")
    return url.rstrip("/")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PrometheusSettings(_Strict):
    """How to reach Prometheus, or whatever speaks its HTTP API (Thanos, Mimir, VictoriaMetrics)."""

    url: str = Field(
        "http://127.0.0.1:9090", description="Base address, with the path prefix if there is one."
    )
    username: str | None = Field(None, description="User of basic authentication.")
    password: SecretStr | None = Field(None, description="Password of basic authentication.")
    bearer_token: SecretStr | None = Field(None, description="Token sent as `Authorization: Bearer`.")
    bearer_token_file: Path | None = Field(
        None, description="File that holds the token; read for each connection."
    )
    tenant: str | None = Field(None, description="Tenant, sent as `X-Scope-OrgID` (Mimir, Cortex).")
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="More headers for every request. Answers are asked for unpacked; `Accept-Encoding: gzip` packs "
        "them, for a Prometheus far away.",
    )
    params: dict[str, str] = Field(
        default_factory=dict,
        description='More form fields for every query, such as `partial_response: "false"`.',
    )
    verify: bool = Field(True, description="Check the server's TLS certificate.")
    ca_file: Path | None = Field(
        None, description="Certificates of the authorities to trust instead of the system's."
    )
    cert_file: Path | None = Field(None, description="Client certificate for mutual TLS.")
    key_file: Path | None = Field(None, description="Private key of the client certificate.")
    method: Literal["POST", "GET"] = Field(
        "POST", description="HTTP method of queries; GET only where a proxy refuses POST."
    )
    connect_timeout_seconds: float = Field(3.0, gt=0, le=60, description="Longest wait for a connection.")
    read_timeout_seconds: float = Field(
        20.0, gt=0, le=600, description="Longest silence while an answer comes."
    )
    deadline_seconds: float = Field(
        30.0, gt=0, le=600, description="Longest time of one query, retries included."
    )
    retries: int = Field(
        2, ge=0, le=10, description="Further attempts after a lost connection, 502, 503 or 504."
    )
    backoff_seconds: float = Field(
        0.1, ge=0, le=10, description="Wait before the first retry; it doubles each time."
    )
    pool_size: int = Field(16, ge=1, le=256, description="Connections, and queries at once, per process.")
    max_answer_megabytes: int = Field(
        128, ge=1, le=4096, description="Longest answer that is read, in megabytes."
    )

    @field_validator("url")
    @classmethod
    def _http_address(cls, url: str) -> str:
        address = http_address(url, "http://127.0.0.1:9090")
        if "@" in urlsplit(address).netloc:  # it stands in every message about Prometheus
            raise ValueError(
                "must hold no user and password; give them as prometheus.username and prometheus.password"
            )
        return address

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> Self:
        ways = [self.username is not None, self.bearer_token is not None, self.bearer_token_file is not None]
        if sum(ways) > 1:
            raise ValueError("give one of username, bearer_token and bearer_token_file, not several")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")
        return self


class CacheSettings(_Strict):
    """What a process remembers of Prometheus's answers."""

    max_bytes: int = Field(
        64 * 2**20, ge=0, description="Bytes of answers kept per process; 0 keeps nothing."
    )
    closed_ttl_seconds: float = Field(
        300.0,
        ge=0,
        le=86_400,
        description="How long an answer about a window that is over is kept, in seconds.",
    )
    recent_ttl_seconds: float = Field(
        5.0, ge=0, le=300, description="How long an answer about a window that ends now is kept, in seconds."
    )


class ServerSettings(_Strict):
    """How ``asahi-obs serve`` listens."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    workers: int | None = Field(
        None, ge=1, le=64, description="Processes; without it one for each core, at most four."
    )
    threads: int = Field(8, ge=1, le=128, description="Requests that a process works on at once.")
    timeout_seconds: int = Field(
        60,
        ge=5,
        le=3600,
        description="A process silent for this long is replaced, in seconds; at least 10 more than an answer may take.",
    )
    graceful_timeout_seconds: int = Field(
        20,
        ge=0,
        le=600,
        description="How long running requests may finish when the service stops, in seconds.",
    )


class Settings(_Strict):
    """Everything the service can be told."""

    prometheus: PrometheusSettings = Field(default_factory=PrometheusSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)
    timezone: str = Field(
        "UTC", description="IANA time zone of calendar windows (`today`, `last-month`) and of budgets."
    )
    baseline_model: str = Field(
        "gpt-4",
        min_length=1,
        max_length=200,
        description="The model that the savings recorded with each request are measured against.",
    )
    price_file: Path | None = Field(
        None,
        description="YAML file of dated list prices, in the form of the bundled `prices.yml`; without it those.",
    )
    genai_prices_provider: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Provider at which the package genai-prices is asked for models that the price file lacks; "
        "without it the package is not asked.",
    )
    answer_deadline_seconds: float = Field(
        45.0,
        gt=0,
        le=3000,
        description="Longest time of one answer of the API or the command line: all its queries and waits together.",
    )
    thresholds_file: Path | None = Field(
        None,
        description="YAML file laid over the shipped thresholds of alerts and detector; see docs/alerts.md. Give "
        "`asahi-obs rules build --thresholds` the same.",
    )
    budgets_file: Path | None = Field(None, description="YAML file of budgets; see docs/budgets.md.")
    alertmanager_url: str | None = Field(
        None,
        description="Base address of the Alertmanager that anomalies and budget risks are sent to; "
        "`https://USER:PASSWORD@HOST` signs in.",
    )

    @field_validator("alertmanager_url")
    @classmethod
    def _http_address(cls, url: str | None) -> str | None:
        return None if url is None else http_address(url, "http://127.0.0.1:9093")

    @field_validator("timezone")
    @classmethod
    def _known_time_zone(cls, name: str) -> str:
        return time_zone(name).key

    @property
    def zone(self) -> ZoneInfo:
        """The time zone itself."""
        return time_zone(self.timezone)


def load(
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Return the settings of ``path``, overlaid by ``environment`` and then by ``overrides``.

    ``overrides`` has dotted keys (``prometheus.url``); its ``None`` values are left out. Raises
    ``UserInputError`` that names the key, what was got and what is allowed.
    """
    values = _from_file(path) if path is not None else {}
    given = dict(_from_environment(environment or {}))
    given |= {key: value for key, value in (overrides or {}).items() if value is not None}
    for key, value in given.items():
        _put(values, key.split("."), value)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        wrong = {".".join(map(str, problem["loc"])) for problem in error.errors()}
        where = f"the configuration {path}: " if path is not None and not wrong & given.keys() else ""
        raise UserInputError(where + complaints(error, Settings)) from error


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting as its dotted key and its field."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from keys(annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def env_name(key: str) -> str:
    """Return the environment variable of a dotted key."""
    return ENV_PREFIX + key.replace(".", "_").upper()


def _from_file(path: Path) -> dict[str, Any]:
    try:
        document = yamltext.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserInputError(f"the configuration {path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        words = " ".join(str(error).split())
        raise UserInputError(f"the configuration {path} is not YAML: {words[:300]}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise UserInputError(
            f"the configuration {path} must hold keys and values, not {type(document).__name__}"
        )
    unknown = sorted(str(key) for key in document.keys() - _SECTIONS)
    if unknown:
        raise UserInputError(
            f"{path} has the section {', '.join(unknown)}; the service's settings stand under '{SECTION}:'"
        )
    section = document.get(SECTION) or {}
    if not isinstance(section, dict):
        raise UserInputError(f"'{SECTION}:' in {path} must hold keys and values, not {section!r:.80}")
    return section


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    known = {env_name(key): (key, field) for key, field in keys()}
    for name in sorted(environment):
        if not name.startswith(ENV_PREFIX):
            continue
        if name not in known:
            raise UserInputError(f"{name} is not a setting{_suggestion(name, known)}")
        key, field = known[name]
        yield key, _decoded(name, environment[name], field)


def _decoded(name: str, text: str, field: FieldInfo) -> object:
    """The value of an environment variable: YAML for mappings, the text itself for everything else."""
    if get_origin(field.annotation) is not dict:
        return text
    try:
        return yamltext.load(text)
    except yaml.YAMLError as error:
        raise UserInputError(
            f"{name} must be a mapping such as {{name: value}}; got {text[:80]!r}"
        ) from error


def _put(values: dict[str, Any], path: list[str], value: object) -> None:
    for name in path[:-1]:
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            raise UserInputError(f"{name} must hold keys and values, not {inner!r:.80}")
        values = inner
    values[path[-1]] = value


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "; docs/configuration.md lists them all"

"""Settings of the analytics service: a YAML file, then the environment (``ASAHI_OBS_*``), then arguments.

Keys, units and defaults stand in docs/configuration.md. A nested key is written with two underscores in the
environment: ``ASAHI_OBS_PROMETHEUS__URL``. Unknown keys are refused by name. Nothing is read at import.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

ENV_PREFIX: Final = "ASAHI_OBS_"
SECTION: Final = "analytics"
"""Key of the file under which the settings stand; a file without it holds them at its top."""


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
    headers: dict[str, str] = Field(default_factory=dict, description="More headers for every request.")
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
        if not url.startswith(("http://", "https://")) or len(url.split("://", 1)[1]) == 0:
            raise ValueError(f"must be an address such as http://127.0.0.1:9090; got {url[:120]!r}")
        return url.rstrip("/")

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

"""What a service is told when it starts; the only place where a default is written."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from ullim import audio
from ullim.errors import UllimError

MIB = 1024**2
_TOKEN_LENGTH = 16


class StreamLimits(BaseModel):
    """What streams may cost.

    Attributes:
        max_sessions: At the same time, dropped ones that may still come back included.
        max_message_bytes: Of one message.
        max_duration_s: Sound in one session, in seconds.
        speed: Sound is taken in at most this many times faster than it lasts.
        burst_s: Sound that may come at once, in seconds.
        bytes_per_s: Of a WebM recording.
        burst_bytes: Of a WebM recording, at once.
        start_s: From the connection to its first message.
        idle_s: From one message to the next.
        resume_s: How long a session waits for its client to come back.
        max_events: Events that may wait for a slow client.
        send_s: How long a client may take to accept one event.
        max_replay: Final answers that are kept for a client that comes back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_sessions: int = Field(16, ge=1)
    max_message_bytes: int = Field(MIB, ge=1024, le=MIB)
    max_duration_s: float = Field(3600.0, gt=0.0)
    speed: float = Field(4.0, gt=0.0)
    burst_s: float = Field(20.0, gt=0.0)
    bytes_per_s: float = Field(65_536.0, gt=0.0)
    burst_bytes: float = Field(MIB, gt=0.0)
    start_s: float = Field(10.0, gt=0.0)
    idle_s: float = Field(30.0, gt=0.0)
    resume_s: float = Field(30.0, gt=0.0)
    max_events: int = Field(64, ge=1)
    send_s: float = Field(10.0, gt=0.0)
    max_replay: int = Field(1000, ge=1)


class Settings(BaseModel):
    """How a service is reached, what it serves, and what a request may cost.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 for any free one.
        token: What a client shows as ``Authorization: Bearer TOKEN``; needed unless ``host`` and
            every one of ``allowed_hosts`` is this machine's own.
        allowed_hosts: Names of the service, beside this machine's, that a request may carry in
            ``Host``. With a token any name is taken where this is empty.
        models: Names or folders of the bundles to serve, the default first; none means all that
            ``ullim models list`` knows.
        page: Folder of the static page.
        workers: Processes that decode and predict.
        queue: Requests that may wait while every worker has one; further ones are answered 429.
        max_request_bytes: Of a body, whatever its header says.
        max_file_bytes: Of one recording.
        max_files: Recordings in a request.
        max_fields: Form fields beside them.
        max_field_bytes: Of one field, and of the headers of one part.
        max_duration_s: Decoded length of one recording, in seconds.
        max_channels: Channels of one recording.
        upload_timeout_s: From a request's first byte to its last, in seconds.
        queue_timeout_s: How long a recording may wait for a worker before 429, in seconds.
        job_timeout_s: How long one recording may keep a worker before it is killed, in seconds.
        job_memory_bytes: What a recording may take beside the loaded models.
        shutdown_timeout_s: How long requests that were taken may still run after a stop.
        stream: What streams may cost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    token: SecretStr | None = None
    allowed_hosts: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    page: Path = Path(__file__).parent / "page"
    workers: int = Field(default_factory=lambda: min(4, os.cpu_count() or 1), ge=1, le=256)
    queue: int = Field(32, ge=0, le=10_000)
    max_request_bytes: int = Field(64 * MIB, ge=1024)
    max_file_bytes: int = Field(32 * MIB, ge=1024)
    max_files: int = Field(16, ge=1, le=1000)
    max_fields: int = Field(16, ge=1, le=1000)
    max_field_bytes: int = Field(32 * 1024, ge=256)
    max_duration_s: float = Field(600.0, gt=0.0)
    max_channels: int = Field(8, ge=1)
    upload_timeout_s: float = Field(60.0, gt=0.0)
    queue_timeout_s: float = Field(20.0, gt=0.0)
    job_timeout_s: float = Field(60.0, gt=0.0)
    job_memory_bytes: int = Field(1024 * MIB, ge=64 * MIB)
    shutdown_timeout_s: int = Field(30, ge=0)
    stream: StreamLimits = StreamLimits()

    @model_validator(mode="after")
    def _guarded(self) -> Settings:
        if self.token is not None and len(self.token.get_secret_value()) < _TOKEN_LENGTH:
            raise UllimError(
                f"the token has {len(self.token.get_secret_value())} characters and needs "
                f"{_TOKEN_LENGTH} or more; make one with: python -c "
                '"import secrets; print(secrets.token_urlsafe())"',
                code="weak_token",
            )
        if self.token is not None and not _can_be_sent(self.token.get_secret_value()):
            raise UllimError(
                "the token has a character that a header cannot carry, or a space at an end; take "
                "letters, digits, - and _ alone, as from: python -c "
                '"import secrets; print(secrets.token_urlsafe())"',
                code="bad_token",
            )
        # A name that others call it by means a proxy, and that brings them all to 127.0.0.1.
        outside = [name for name in (self.host, *self.allowed_hosts) if not is_loopback(name)]
        if self.token is None and outside:
            raise UllimError(
                f"others can reach the service by {outside[0]}, and there is no token: put one "
                "into a file and give --token-file, or into the variable ULLIM_TOKEN; or listen on "
                "127.0.0.1 and allow no other name",
                code="needs_token",
            )
        return self

    @property
    def audio_limits(self) -> audio.Limits:
        """What one recording may cost before it is refused."""
        return audio.Limits(
            max_bytes=self.max_file_bytes,
            max_duration_s=self.max_duration_s,
            max_channels=self.max_channels,
        )


def _can_be_sent(token: str) -> bool:
    return token.isascii() and token.isprintable() and token == token.strip()


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

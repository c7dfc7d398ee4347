"""All settings: the only module that reads the environment (and `.env`, and the `NAME_FILE` files)."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from config.secretfiles import SECRETS, SecretFiles, Unusable
from config.sentinel import SCHEME, parse_sentinel

REDIS_SCHEMES = ("redis://", "rediss://", SCHEME)

Port = Annotated[int, Field(ge=1, le=65535)]
Rate = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Seconds = Annotated[int, Field(ge=1, le=10 * 366 * 86400)]


def _web_address(address: str) -> str:
    if not address.startswith(("https://", "http://")):
        raise ValueError("must start with https:// or http://")
    try:
        parts = urlsplit(address)
        names_a_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # half of an IPv6 address, or a port that is no number
        names_a_host = False
    if not names_a_host:
        raise ValueError("must name a host and at most a port, as https://example.com:8443 does")
    return address.rstrip("/")


def _by_integration(written: str | None) -> list[tuple[str, str]]:
    parts = [part.rpartition("=") for part in written.split(",")] if written else []
    return [(name.strip(), channel.strip()) for name, _, channel in parts]


def _operations(written: str | None) -> str | None:
    for _, channel in _by_integration(written):
        if not re.fullmatch(r"#?[^\s#@<>,:=]{1,80}|[^\s@<>:]+@[^\s@<>:]+", channel):
            raise ValueError("must be #channel, an id or an email; per integration NAME=#channel")
    return written


def _key_part(name: str) -> str:
    if not re.fullmatch(r"[^\s{}\x00-\x1f]{1,200}", name):
        raise ValueError("must be 1 to 200 characters without spaces and braces")
    return name


def _with_slash(address: str) -> str:
    return f"{address}/"


def _without_tilde(path: Path | None) -> Path | None:
    return path and path.expanduser()


Name = Annotated[str, AfterValidator(_key_part)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


class SettingsError(ValueError):
    """Settings that cannot be used: one line per wrong one, never with a secret's value."""


class Settings(BaseSettings):
    """What may be configured. A field's name in capitals is its environment variable."""

    model_config = SettingsConfigDict(
        frozen=True,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    redis_url: SecretStr | None = Field(
        None,
        description="Redis or Valkey, version 6.2 or newer (`redis://`, `rediss://`, `sentinel://`). Without "
        "it, `ik-slack up` and `ik-slack demo` start an embedded server that keeps its data in `DATA_DIR`",
    )
    broker_url: SecretStr | None = Field(
        None, description="Celery's broker, when it should live elsewhere than `REDIS_URL`"
    )
    data_dir: Annotated[Path, AfterValidator(_without_tilde)] = Field(
        Path("./var"), description="Where the embedded server and Flower keep their files"
    )
    events_stream: Name = Field(
        "infrakitchen:events", description="The Redis stream InfraKitchen publishes its events to"
    )
    events_group: Name = Field(
        "ik-slack",
        description="Our consumer group of that stream, made at the stream's beginning: "
        "events published before the first start are told too",
    )
    key_prefix: Name = Field(
        "ik", description="Prefix of all our other Redis keys, so that two installations can share a server"
    )
    encryption_key: SecretStr | None = Field(
        None,
        description="Key ring for the Slack tokens: one or more keys from `ik-slack keys generate`, joined "
        "by commas; the first encrypts, all decrypt",
    )
    slack_api_url: Annotated[WebAddress, AfterValidator(_with_slash)] = Field(
        "https://slack.com/api/", description="Base address of Slack's Web API"
    )
    slack_bot_token: SecretStr | None = Field(
        None,
        description="If set and no integration exists, one named `default` is made from it at start",
    )
    infrakitchen_url: WebAddress | None = Field(
        None, description="Address of InfraKitchen, for the links back: `{url}/{entity_type}s/{entity_id}`"
    )
    api_token: SecretStr | None = Field(None, description="Bearer token of the HTTP API and the webhooks")
    admin_password: SecretStr | None = Field(
        None,
        description="Password of the web console. With neither this nor `API_TOKEN`, "
        "the web server serves this machine only",
    )
    alert_labels: Annotated[Path | None, AfterValidator(_without_tilde)] = Field(
        None,
        description="A YAML or JSON file that says which labels of a monitoring system's alerts are their "
        "severity, entity and project; without it those in `docs/monitoring.md`",
    )
    web_host: str = Field("127.0.0.1", min_length=1, description="Where the web console and the API listen")
    web_port: Port = Field(8765, description="Port of the web console and the API")
    console_url: WebAddress | None = Field(
        None, description="Address of the web console as people reach it, for the links to it in messages"
    )
    flower_port: Port = Field(5555, description="Port of Flower")
    flower_basic_auth: SecretStr | None = Field(
        None,
        description="Flower's `user:password`, several separated by commas; without it Flower serves this "
        "machine only",
    )
    operations_channel: Annotated[str | None, AfterValidator(_operations)] = Field(
        None,
        description="Where a warning is posted when an integration or a channel parks, or a lane comes near "
        "a limit: a destination as of `subscriptions add --to`; per integration as `NAME=#channel`, several "
        "separated by commas",
    )
    post_rate_per_channel: Rate = Field(1.0, description="Posts per second to one Slack conversation")
    post_burst_per_channel: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="Posts a quiet conversation may get at once"
    )
    post_rate_per_workspace: Rate = Field(300, description="Posts per minute to one workspace, all channels")
    update_rate_per_workspace: Rate = Field(
        50, description="Edits of cards (`chat.update`) per minute in one workspace"
    )
    worker_concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        64, description="Lanes one worker process drains at once"
    )
    delivery_max_age_s: Seconds = Field(
        86400, description="Seconds after which a delivery becomes a dead letter (`expired`)"
    )
    parked_max_age_s: Seconds = Field(604800, description="The same for deliveries that wait for a person")
    lane_max_length: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10000, description="More pending in one lane than this: the oldest become dead letters (`overflow`)"
    )
    directory_ttl_s: Seconds = Field(
        900, description="Age in seconds at which the channel directory is read again"
    )
    probe_interval_s: Seconds = Field(
        60,
        description="What is parked is probed at least this often (seconds), so that it resumes by itself "
        "once the cause is gone",
    )
    retention_s: Seconds = Field(
        604800,
        description="Seconds for which finished deliveries and dead letters can be inspected and replayed",
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`json`, `text`, or `auto`: JSON lines when not on a terminal"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="The least level that is logged"
    )

    @classmethod
    def load(cls, **given: object) -> Self:
        """From the environment, `.env` and the `NAME_FILE` files; `given` wins. Raises SettingsError."""
        try:
            return cls(**given)  # type: ignore[arg-type]  # checked there
        except ValidationError as error:
            lines = [_in_words(cls, fault) for fault in error.errors(include_url=False)]
        except UnicodeDecodeError:
            lines = [".env is not UTF-8 text; save it as such"]
        except OSError as error:
            lines = [f".env cannot be read ({error.strerror}); let this user read it"]
        raise SettingsError("\n".join(lines))

    @property
    def operations_channels(self) -> dict[str, str]:
        """Where warnings go, by the name of the integration; the empty name stands for all others."""
        return dict(_by_integration(self.operations_channel))

    @property
    def key_ring(self) -> str:
        """The keys tokens are sealed with, in plain; empty when there are none."""
        return self.encryption_key.get_secret_value() if self.encryption_key else ""

    @property
    def broker(self) -> SecretStr | None:
        """Where Celery's queues live."""
        return self.broker_url or self.redis_url

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # a directory of files is not offered
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given wins over the environment, and that over `.env`."""
        variables: dict[str, str | None] = {}
        for source in (dotenv_settings, env_settings):
            if isinstance(source, EnvSettingsSource | DotEnvSettingsSource):
                variables |= source.env_vars
        return init_settings, SecretFiles(settings_cls, variables), env_settings, dotenv_settings

    @field_validator(*SECRETS, mode="before")
    @classmethod
    def _usable(cls, value: object) -> object:
        if isinstance(value, Unusable):
            raise ValueError(value.reason)  # noqa: TRY004  # pydantic collects ValueErrors
        return value

    @field_validator("redis_url", "broker_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        url = value.get_secret_value() if value else ""
        if url and not url.startswith(REDIS_SCHEMES):
            raise ValueError(f"must start with {', '.join(REDIS_SCHEMES)}")
        if url.startswith(SCHEME):
            parse_sentinel(url)
        return value

    @field_validator("flower_basic_auth")
    @classmethod
    def _credentials(cls, value: SecretStr | None) -> SecretStr | None:
        pairs = value.get_secret_value().split(",") if value else []
        if not all(user and password for user, _, password in (pair.partition(":") for pair in pairs)):
            raise ValueError("must be user:password, several separated by commas")
        return value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        text = str(value).strip().lower()
        return text.upper() if text in {"debug", "info", "warning", "error", "critical"} else text


def _in_words(settings: type[Settings], fault: ErrorDetails) -> str:
    """One line: the variable, what is wrong, what to do."""
    field = str(fault["loc"][0])
    reason = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if field in SECRETS:
        named_by_file = isinstance(fault["input"], Unusable)
        return f"{field.upper()}{'_FILE' if named_by_file else ''}: {reason}"
    default = settings.model_fields[field].default
    found = str(fault["input"]).encode("unicode_escape").decode()[:60]
    return f"{field.upper()}: {found!r} {reason}; correct it, or unset it for the default ({default})"

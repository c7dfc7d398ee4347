"""The settings. No other module reads the environment, `.env` and the `NAME_FILE` files.

`NAME_FILE=/path` instead of `NAME=secret` reads a secret from a file, as container platforms mount them.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from config.addresses import SENTINEL_SCHEME, check_server_address, check_web_address, parse_sentinel

REDIS_SCHEMES = ("redis://", "rediss://", SENTINEL_SCHEME)
AMQP_SCHEMES = ("amqp://", "amqps://")
SECRET_FILE_LIMIT = 64 * 1024
MAX_SECRET = 1_000  # the password's field of the console takes as much


class Unusable(ValueError):
    """The value of a secret whose file is unusable, so that pydantic reports it with all other invalid settings."""


def _usable(value: object) -> object:
    if isinstance(value, Unusable):
        raise value
    return value


def _checked(check: Callable[[str], str]) -> AfterValidator:
    """Return the validator that replaces the text of a secret by what `check` returns."""

    def validate(secret: SecretStr | None) -> SecretStr | None:
        return SecretStr(check(secret.get_secret_value())) if secret else None

    return AfterValidator(validate)


def _redis_address(url: str) -> str:
    if url.startswith(SENTINEL_SCHEME):
        parse_sentinel(url)
        return url
    return check_server_address(url, REDIS_SCHEMES, "redis://[user:password@]host:port/database", r"[0-9]{0,5}")


def _amqp_address(url: str) -> str:
    return check_server_address(url, AMQP_SCHEMES, "amqp://user:password@host:port/virtual-host", r"[^/]*")


def _broker_address(url: str) -> str:
    """Check Celery's broker, or the RabbitMQ that InfraKitchen's own environment has under this name."""
    return _amqp_address(url) if url.startswith(AMQP_SCHEMES) else _redis_address(url)


def _with_slash(url: str) -> str:
    """Return an address without a trailing slash with one; `str.format` is no validator from Python 3.13 on."""
    return f"{url}/"


def _printable(secret: str) -> str:
    """Return a secret without the space around it, which forms and headers do not keep."""
    text = secret.strip()
    if not (text and text.isprintable() and len(text) <= MAX_SECRET):
        raise ValueError(f"must have 1 to {MAX_SECRET} printable characters")
    return text


def _header_text(secret: str) -> str:
    if not secret.isascii():
        raise ValueError("must have ASCII characters only, because it is sent in a header")
    return _printable(secret)


def _logins(logins: str) -> str:
    if not all(user and password for user, _, password in (pair.partition(":") for pair in logins.split(","))):
        raise ValueError("must be user:password, several separated by commas")
    return logins


def _parse_operations(text: str | None) -> list[tuple[str, str]]:
    parts = [part.rpartition("=") for part in text.split(",")] if text else []
    return [(name.strip(), channel.strip()) for name, _, channel in parts]


def _operations_channel(text: str | None) -> str | None:
    for _, channel in _parse_operations(text):
        if not re.fullmatch(r"#?[^\s#@<>,:=]{1,80}|[^\s@<>:]+@[^\s@<>:]+", channel):
            raise ValueError("must be #channel, an id or an email address; for one integration NAME=#channel")
    return text


def _redis_name(name: str) -> str:
    if not re.fullmatch(r"[^\s{}\x00-\x1f]{1,200}", name):
        raise ValueError("must be 1 to 200 characters without spaces and braces")
    return name


LogFormat = Annotated[Literal["auto", "json", "text"], BeforeValidator(lambda value: str(value).strip().lower())]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(lambda value: str(value).strip().upper())
]
Name = Annotated[str, AfterValidator(_redis_name)]
Port = Annotated[int, Field(ge=1, le=65535)]
Rate = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Seconds = Annotated[int, Field(ge=1, le=10 * 366 * 86400)]
Secret = Annotated[SecretStr | None, BeforeValidator(_usable)]
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
WebAddress = Annotated[str, AfterValidator(check_web_address)]


class SettingsError(ValueError):
    """Invalid settings. The text has one line for each, never with a secret's value."""


class Settings(BaseSettings):
    """The settings. A field's name in capitals is its environment variable; the text below it is for the documents."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore",
        hide_input_in_errors=True,
    )  # fmt: skip

    redis_url: Annotated[Secret, _checked(_redis_address)] = None
    """Address of Redis or Valkey, version 6.2 or newer (`redis://`, `rediss://`, `sentinel://`). Without it, `ik-slack
    up` and `ik-slack demo` start an embedded server that keeps its data in `DATA_DIR`."""
    broker_url: Annotated[Secret, _checked(_broker_address)] = None
    """Address of Celery's broker, if it is not the server of `REDIS_URL`. An AMQP address, as in InfraKitchen's own
    environment, is InfraKitchen's RabbitMQ: `AMQP_URL` takes it, and Celery uses `REDIS_URL`."""
    amqp_url: Annotated[Secret, _checked(_amqp_address)] = None
    """Address of InfraKitchen's RabbitMQ (`amqp://`, `amqps://`), which `ik-slack bridge` reads. `ik-slack up` runs the
    bridge when it is set."""
    data_dir: UserPath = Path("./var")
    """Directory of the files of the embedded server and Flower, and of the start-up key of the console."""
    events_stream: Name = "infrakitchen:events"
    """Redis stream to which InfraKitchen publishes its events."""
    events_group: Name = "ik-slack"
    """Consumer group of the worker in that stream. It begins at the first entry, so events published before the first
    start are sent too."""
    key_prefix: Name = "ik"
    """Prefix of all other Redis keys, so that two installations can share a server."""
    encryption_key: Secret = None
    """Keys that encrypt the Slack tokens: one or more from `ik-slack keys generate`, separated by commas; the first
    encrypts, all decrypt."""
    slack_api_url: Annotated[WebAddress, AfterValidator(_with_slash)] = "https://slack.com/api/"
    """Base address of Slack's Web API."""
    slack_bot_token: Secret = None
    """Bot token. At start, if no integration exists, an integration named `default` is added with it."""
    infrakitchen_url: WebAddress | None = None
    """Address of InfraKitchen, for links in messages: `{url}/{entity_type}s/{entity_id}`."""
    api_token: Annotated[Secret, _checked(_header_text)] = None
    """Bearer token of the HTTP API and the webhooks."""
    admin_password: Annotated[Secret, _checked(_printable)] = None
    """Password of the web console. Without it, `API_TOKEN` and named tokens, the web process listens on this machine
    only, and the console opens with the link that `ik-slack up` and `web` print."""
    alert_labels: UserPath | None = None
    """YAML or JSON file that maps the labels of a monitoring system's alerts to severity, entity and project. Its
    default is in `docs/monitoring.md`."""
    web_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address on which the web console and the API listen."""
    web_port: Port = 8765
    """Port of the web console and the API."""
    console_url: WebAddress | None = None
    """Public address of the web console, for links in messages."""
    flower_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address on which Flower listens; another than this machine's own needs `FLOWER_BASIC_AUTH`."""
    flower_port: Port = 5555
    """Port of Flower."""
    flower_basic_auth: Annotated[Secret, _checked(_logins)] = None
    """Flower's `user:password`, several separated by commas."""
    operations_channel: Annotated[str | None, AfterValidator(_operations_channel)] = None
    """Destination of warnings about parked integrations and lanes, and about lanes near a limit: `#channel`, an id or
    an email address. For one integration `NAME=#channel`; several separated by commas."""
    post_rate_per_channel: Rate = 1.0
    """Maximum posts per second to one Slack conversation."""
    post_burst_per_channel: Annotated[int, Field(ge=1, le=100)] = 1
    """Burst size: posts that an idle conversation may receive without a pause."""
    post_rate_per_workspace: Rate = 300
    """Maximum posts per minute to one workspace."""
    update_rate_per_workspace: Rate = 50
    """Maximum edits of cards (`chat.update`) per minute in one workspace."""
    worker_concurrency: Annotated[int, Field(ge=1, le=1000)] = 64
    """Lanes that one worker process drains concurrently."""
    delivery_max_age_s: Seconds = 86400
    """Maximum age of a pending delivery in seconds; after it, a dead letter (`expired`)."""
    parked_max_age_s: Seconds = 604800
    """Maximum age of a delivery in a parked lane, in seconds."""
    lane_max_length: Annotated[int, Field(ge=1, le=1_000_000)] = 10000
    """Maximum pending deliveries in one lane; beyond it the oldest are dead letters (`overflow`)."""
    directory_ttl_s: Seconds = 900
    """Age in seconds at which the directory of channels is refreshed."""
    probe_interval_s: Seconds = 60
    """Seconds between checks of a parked lane or integration, which resumes automatically when the cause is fixed."""
    retention_s: Seconds = 604800
    """Seconds for which finished deliveries and dead letters are kept for inspection and replay."""
    log_format: LogFormat = "auto"
    """Log format: `json`, `text`, or `auto`, which is text on a terminal and JSON otherwise."""
    log_level: LogLevel = "INFO"
    """Lowest level that is logged."""

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Load the settings from the environment, `.env` and the `NAME_FILE` files. Raises SettingsError."""
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # pydantic checks the types
        except ValidationError as error:
            lines = [_describe(cls, details) for details in error.errors(include_url=False)]
        except UnicodeDecodeError:
            lines = [".env is not UTF-8 text; save it as UTF-8"]
        except OSError as error:
            lines = [f".env cannot be read ({error.strerror}); make it readable for this user"]
        raise SettingsError("\n".join(lines))

    @property
    def operations_channels(self) -> dict[str, str]:
        """The operations channel of each integration by its name; the empty name is the default."""
        return dict(_parse_operations(self.operations_channel))

    @property
    def key_ring(self) -> str:
        """The keys that encrypt tokens, in plain text; empty without a key."""
        return self.encryption_key.get_secret_value() if self.encryption_key else ""

    @property
    def broker(self) -> SecretStr | None:
        """The address of Celery's broker."""
        return self.redis_url if self._has_amqp_broker else self.broker_url or self.redis_url

    @property
    def rabbitmq(self) -> str:
        """The address of InfraKitchen's RabbitMQ, in plain text; empty without one."""
        address = self.amqp_url or (self.broker_url if self._has_amqp_broker else None)
        return address.get_secret_value() if address else ""

    @property
    def _has_amqp_broker(self) -> bool:
        return self.broker_url is not None and self.broker_url.get_secret_value().startswith(AMQP_SCHEMES)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # a directory of secrets is not supported
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Prefer arguments to secret files, those to the environment, and that to `.env`."""
        files = SecretFiles(settings_cls)
        assert isinstance(env_settings, EnvSettingsSource)  # noqa: S101  # as pydantic-settings builds them
        assert isinstance(dotenv_settings, EnvSettingsSource)  # noqa: S101
        # One source reads both: each examines the type of every setting, which takes as long as all the rest.
        files.env_vars = env_settings.env_vars = {**dotenv_settings.env_vars, **env_settings.env_vars}
        return init_settings, files, env_settings


class SecretFiles(EnvSettingsSource):
    """The content of the files that the `NAME_FILE` variables name, without surrounding white space."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Return the secret, or `Unusable`; None when no file is named."""
        path = self.env_vars.get(f"{field_name}_file")
        return (self._read(path, field_name) if path and _is_secret(field) else None), field_name, False

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: object, value_is_complex: bool) -> object:  # noqa: ARG002
        """Return the secret as it is: no secret is JSON."""
        return value

    def _read(self, path: str, name: str) -> str | Unusable:
        if self.env_vars.get(name):
            return Unusable(f"{name.upper()} is set too; keep one of the two")
        try:
            with Path(path).expanduser().open("rb") as file:
                content = file.read(SECRET_FILE_LIMIT + 1)
            secret = content.decode().strip()
        except OSError as error:
            return Unusable(f"the file cannot be read ({error.strerror}); name a file that this user can read")
        except ValueError:
            return Unusable("the file is not text; name the file that holds the secret")
        if len(content) > SECRET_FILE_LIMIT:
            return Unusable(f"the file is over {SECRET_FILE_LIMIT // 1024} KiB; name the file that holds the secret")
        return secret or Unusable("the file is empty; write the secret to it")


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in get_args(field.annotation)


def _describe(settings: type[Settings], error: ErrorDetails) -> str:
    """Describe an invalid setting in one line: its variable, the reason, the fix."""
    name = str(error["loc"][0])
    field = settings.model_fields[name]
    cause = error.get("ctx", {}).get("error")  # a ValueError of a validator above
    reason = str(cause) if cause else error["msg"].removeprefix("Input ")
    if _is_secret(field):
        is_file = isinstance(error["input"], Unusable)
        return f"{name.upper()}{'_FILE' if is_file else ''}: {reason}"
    value = str(error["input"]).encode("unicode_escape").decode()[:60]
    if name.endswith("_url") and re.search(r"[@:]", value.partition("://")[2] or value):
        return f"{name.upper()}: {reason}"  # the value may contain a login
    return f"{name.upper()}: {value!r} {reason}; correct it, or unset it for the default ({field.default})"

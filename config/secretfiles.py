"""Secrets from files: `NAME_FILE=/path` instead of `NAME=secret`, as container platforms mount them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

SECRETS = (
    "redis_url",
    "broker_url",
    "encryption_key",
    "slack_bot_token",
    "api_token",
    "admin_password",
    "flower_basic_auth",
)
MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands where a secret should be, so that what is wrong is said together with everything else."""

    reason: str


class SecretFiles(PydanticBaseSettingsSource):
    """What the `NAME_FILE` variables point to, stripped of surrounding white space.

    `variables` maps lower-case names to values: the environment over `.env`.
    """

    def __init__(self, settings: type[BaseSettings], variables: Mapping[str, str | None]) -> None:
        super().__init__(settings)
        self._variables = variables

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:  # noqa: ARG002
        """The secret, or why there is none; None when no file is named."""
        return self._read(field_name), field_name, False

    def __call__(self) -> dict[str, object]:
        """All secrets that come from files."""
        found = {name: self._read(name) for name in SECRETS}
        return {name: value for name, value in found.items() if value is not None}

    def _read(self, name: str) -> str | Unusable | None:
        path = self._variables.get(f"{name}_file")
        if not path:
            return None
        if self._variables.get(name):
            return Unusable(f"{name.upper()} is set too; keep one of the two")
        try:
            with Path(path).expanduser().open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                return Unusable(
                    f"the file is over {MAX_BYTES // 1024} KiB; name the file that holds the secret"
                )
            secret = content.decode().strip()
        except OSError as error:
            return Unusable(f"the file cannot be read ({error.strerror}); name one that this user can read")
        except ValueError:
            return Unusable("the file is not text; name the file that holds the secret")
        return secret or Unusable("the file is empty; put the secret into it")

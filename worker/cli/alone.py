"""A demo's settings: every one is given, none comes from this machine, and it touches nothing but its own."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from config.settings import Settings
from worker.sandbox.machine import write_private
from worker.store.vault import generate_key

INFRAKITCHEN = "https://infrakitchen.example.com"
PROBE_S = 2
NAMES = tuple(sorted(name.upper() for name in Settings.model_fields))


def alone(
    folder: Path, redis_url: str, api_url: str, flower_port: int, web_port: int, longest: int
) -> Settings:
    """Settings with a key of their own, which lies in `folder`; `longest` is how much a lane may hold."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    key = generate_key()
    write_private(folder / "key", f"{key}\n")
    ours = {
        "redis_url": redis_url,
        "broker_url": redis_url,
        "data_dir": folder,
        "encryption_key": key,
        "slack_api_url": api_url,
        "infrakitchen_url": INFRAKITCHEN,
        "flower_port": flower_port,
        "web_port": web_port,
        "console_url": f"http://127.0.0.1:{web_port}",
        "probe_interval_s": PROBE_S,
        "lane_max_length": max(longest, defaults["lane_max_length"]),
    }
    return Settings.load(**{**defaults, **ours})


def environment_of(settings: Settings, folder: Path) -> dict[str, str]:
    """This machine's environment, with these settings and no others."""
    ours = {*NAMES, *(f"{name}_FILE" for name in NAMES)}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in ours}
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    return kept | {
        "REDIS_URL": redis_url,
        "BROKER_URL": redis_url,
        "DATA_DIR": str(folder),
        "EVENTS_STREAM": settings.events_stream,
        "EVENTS_GROUP": settings.events_group,
        "KEY_PREFIX": settings.key_prefix,
        "ENCRYPTION_KEY_FILE": str(folder / "key"),
        "SLACK_API_URL": settings.slack_api_url,
        "INFRAKITCHEN_URL": INFRAKITCHEN,
        "FLOWER_PORT": str(settings.flower_port),
        "WEB_PORT": str(settings.web_port),
        "CONSOLE_URL": settings.console_url or "",
        "PROBE_INTERVAL_S": str(settings.probe_interval_s),
        "LANE_MAX_LENGTH": str(settings.lane_max_length),
    }


def write_environment(folder: Path, environment: Mapping[str, str]) -> None:
    """A file for `. FILE` in another terminal, so that our commands there speak of the demo."""
    files = [f"{name}_FILE" for name in NAMES]
    lines = [f"unset {' '.join((*NAMES, *files))}"]
    lines += [
        f"export {name}={shlex.quote(environment[name])}" for name in (*NAMES, *files) if name in environment
    ]
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    write_private(folder / "env", "\n".join(lines) + "\n")

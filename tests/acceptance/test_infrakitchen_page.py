"""`docs/infrakitchen.md`, walked line by line: its commands, taken from the page, on a real RabbitMQ."""

import asyncio
import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from support.bridge import bridge_reads
from support.infrakitchen import RESOURCE_ID, change, resource, task
from support.installation import Installation, Program, program, until
from support.rabbitmq import PROGRAMS, RabbitServer, needs_rabbitmq, publish, run_rabbitmq

from config.settings import Settings
from worker.bootstrap.procfile_supervisor import procfile
from worker.local_machine import free_port
from worker.store.token_cipher import generate_key

pytestmark = [needs_rabbitmq, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "infrakitchen.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CHANNELS = sorted({*re.findall(r"--(?:to|otherwise) '#([\w-]+)'", PAGE), "team-shop"})
INSTALL, UP, ADD = "pip install", "ik-slack up\n", "ik-slack integrations add acme\n"
FROM_PAGE = ("REDIS_URL", "BROKER_URL", "AMQP_URL", "ENCRYPTION_KEY", "INFRAKITCHEN_URL", "DATA_DIR")
#: As InfraKitchen's own file is written: spaces around `=`, quotes, comments, and settings of its own.
INFRAKITCHEN_ENV = """\
BROKER_URL = "{broker}"

# The address that people open.
INFRAKITCHEN_URL = "https://infrakitchen.example.com"
LOG_LEVEL = "INFO"
JWT_KEY = "CHANGE_ME"
SESSION_EXPIRATION = "7200" # 2 hours
ENCRYPTION_KEY = "{key}\""""


@pytest.fixture
def rabbitmq(tmp_path: Path) -> Iterator[RabbitServer]:
    with run_rabbitmq(tmp_path / "rabbitmq") as server:
        yield server


@dataclass
class Reader:
    """A reader who runs each block of the page in a terminal, with the values of this machine."""

    installation: Installation
    values: dict[str, str]
    environment: dict[str, str]
    folder: Path

    def fill_in(self, block: str) -> str:
        for placeholder, value in self.values.items():
            block = block.replace(placeholder, value)
        return block

    async def run(self, block: str) -> str:
        """Run a block, and return its output; the next one begins in the directory where this one ends."""
        ended_in = self.installation.directory / "ended-in"
        process = await asyncio.create_subprocess_exec(
            "/bin/bash", "-euc", f"{self.fill_in(block)}\npwd > {shlex.quote(str(ended_in))}",
            env=self.environment, cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0, (block, out.decode())
        self.folder = Path(ended_in.read_text().strip())
        return out.decode()

    async def start(self, block: str) -> Program:
        """Start a block that runs until it is stopped."""
        line = f"cd {shlex.quote(str(self.folder))} && exec {self.fill_in(block).strip()}"
        return self.installation.start("up", ("/bin/bash", "-c", line), **self.environment)


def make_reader(installation: Installation, server: RabbitServer) -> Reader:
    """Return a reader with InfraKitchen's files on this machine; only what the page sets is in no setting."""
    folder = installation.directory
    server_folder = folder / "infrakitchen" / "server"
    server_folder.mkdir(parents=True)
    (server_folder / ".env").write_text(INFRAKITCHEN_ENV.format(broker=server.url, key=generate_key()))
    (server_folder / ".env").chmod(0o600)
    tools = folder / "tools"
    tools.mkdir()
    exports = "".join(
        f"export {name}={shlex.quote(value)}\n"
        for name, value in server.environment.items()
        if name == "HOME" or name.startswith(("RABBITMQ_", "ERL_"))
    )
    (tools / "rabbitmqctl").write_text(f'#!/bin/sh\n{exports}exec {PROGRAMS}/rabbitmqctl "$@"\n')
    (tools / "rabbitmqctl").chmod(0o755)
    environment = {
        **installation.environment, **dict.fromkeys(FROM_PAGE, ""),
        "PATH": f"{tools}:{Path(program('ik-slack')).parent}:{os.defpath}",
        "WEB_PORT": str(free_port()), "FLOWER_PORT": str(free_port()),
    }  # fmt: skip
    values = {
        "PASSWORD": "secret",
        "rabbitmq:5672": f"127.0.0.1:{server.port}",
        "/srv/infrakitchen": str(folder / "infrakitchen"),
        "redis://redis:6379/0": installation.environment["REDIS_URL"],
    }
    return Reader(installation, values, environment, folder)


@pytest.mark.thorough
async def test_the_page_leads_from_a_running_infrakitchen_to_the_first_message(
    fast: Installation, rabbitmq: RabbitServer
):
    reader = make_reader(fast, rabbitmq)
    for name in CHANNELS:
        fast.workspace.add_channel(name)
    (fast.directory / "token").write_text(fast.workspace.token)
    up: Program | None = None
    output = dict[str, str]()
    assert [placeholder for placeholder in reader.values if not any(placeholder in block for block in BLOCKS)] == []
    for block in BLOCKS:
        if INSTALL in block:
            continue  # the environment of the tests is that installation
        if block == UP:
            up = await reader.start(block)
            await bridge_reads(rabbitmq)
            assert await _is_alive(reader)
            continue
        # A person types the token.
        typed = f"{ADD.strip()} --token-stdin < {fast.directory / 'token'}" if block == ADD else block
        output[block] = await reader.run(typed)
    assert up
    assert (reader.folder / ".env").is_symlink()
    assert "RabbitMQ" in output["ik-slack doctor\n"]
    await _life_of_a_resource(fast, rabbitmq)
    assert await up.stop() == 0
    (delete,) = set(re.findall(r"`(rabbitmqctl delete_queue [\w-]+)`", PAGE))
    await reader.run(delete)


async def _is_alive(reader: Reader) -> bool:
    process = await asyncio.create_subprocess_exec(
        program("ik-slack"), "alive", "bridge", env=reader.environment, cwd=reader.folder,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await process.wait() == 0


async def _life_of_a_resource(fast: Installation, rabbitmq: RabbitServer) -> None:
    """A person asks for a resource, another approves it, and both of its lives reach the channels that want them."""

    async def shows(channel: str, text: str) -> None:
        await until(lambda: text in json.dumps(fast.messages(channel)), f"{channel} shows {text}", most_s=60)

    await publish(rabbitmq.url, [resource("provision", "approval_pending", "create")])
    for channel in ("infrastructure", "approvals", "team-payments"):
        await shows(channel, "waits for approval")
    approved = [resource("provision", "ready", "approve"), change("APPROVE", "provision", "ready")]
    done = [resource("provision", "in_progress"), task("succeeded"), resource("provisioned", "done")]
    await publish(rabbitmq.url, [*approved, *done])
    await shows("infrastructure", "is provisioned")
    (card,) = fast.messages("infrastructure")
    assert f"https://infrakitchen.example.com/resources/{RESOURCE_ID}" in json.dumps(card)
    assert fast.messages("destroys") == []
    assert fast.messages("no-team"), "the resource has no label team"
    labelled = resource("provision", "approval_pending", "create", id="shop", name="shop-db", labels=["team:shop"])
    await publish(rabbitmq.url, [labelled])
    await shows("team-shop", "shop-db")
    assert "shop-db" not in json.dumps(fast.messages("no-team"))
    await publish(rabbitmq.url, [resource("destroy", "approval_pending", "destroy")])
    await shows("destroys", "waits for approval")


def test_the_container_of_the_page_has_known_settings_and_processes(tmp_path: Path):
    (container,) = map(yaml.safe_load, re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    names = {variable["name"] for variable in container["env"]} | set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", PAGE))
    foreign = {"IN_APP", "END_OF_LINES"}
    assert names - foreign - {"PASSWORD"} <= {
        f"{field}{end}".upper() for field in Settings.model_fields for end in ("", "_file")
    }
    *_, processes = container["command"]
    assert set(processes.split(",")) < {program.name for program in procfile(tmp_path)}

"""`ik-slack web`: without credentials only this machine is served."""

import socket

import pytest
from support.cli import Shell

from config.settings import Settings
from worker.cli.up import can_start, require_credentials
from worker.domain.errors import UserError

OTHERS = ["0.0.0.0", "::", "10.0.0.1", "example.com", "127.0.0.1.example.com", "1.2.3.4"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST", "localhost."])
def test_this_machine_is_served_without_credentials(host: str) -> None:
    require_credentials(Settings.load(web_host=host))


@pytest.mark.parametrize("host", OTHERS)
def test_other_machines_are_not_served_without_credentials(host: str) -> None:
    with pytest.raises(UserError, match="neither API_TOKEN nor ADMIN_PASSWORD is set"):
        require_credentials(Settings.load(web_host=host))


@pytest.mark.parametrize("name", ["api_token", "admin_password"])
def test_other_machines_are_served_with_credentials(name: str) -> None:
    require_credentials(Settings.load(web_host="0.0.0.0", **{name: "secret"}))


def test_the_error_without_credentials_is_one_line_that_names_both_settings(shell: Shell) -> None:
    shell.env.setenv("WEB_HOST", "0.0.0.0")
    ended = shell("web")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert "API_TOKEN" in ended.err
    assert "ADMIN_PASSWORD" in ended.err


def test_a_port_in_use_is_one_line(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shell.env.setenv("WEB_PORT", str(port))
        ended = shell("web")
    assert ended == (1, "", f"Error: Port {port} of 127.0.0.1 is in use: set WEB_PORT to another.\n")


def test_up_checks_the_port_of_the_web_process_first() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings.load(web_port=taken.getsockname()[1])
        with pytest.raises(UserError, match="set WEB_PORT to another"):
            can_start("web", settings, is_requested=False)
        assert can_start("ingest", settings, is_requested=False)


def test_up_checks_the_credentials_of_the_web_process_first() -> None:
    with pytest.raises(UserError, match="neither API_TOKEN"):
        can_start("web", Settings.load(web_host="0.0.0.0"), is_requested=False)

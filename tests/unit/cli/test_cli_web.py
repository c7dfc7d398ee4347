"""`ik-slack web`: for this machine only, unless somebody has to log in."""

import socket

import pytest
from cli_shell import Shell

from config.settings import Settings
from worker.cli.before import guard_web, web_has_its_port
from worker.cli.procfile import Program
from worker.domain.errors import Problem

WEB = [Program("web", "ik-slack web")]
OTHERS = ["0.0.0.0", "::", "10.0.0.1", "example.com", "127.0.0.1.example.com", "1.2.3.4"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
def test_this_machine_is_served_without_credentials(host: str) -> None:
    guard_web(Settings.load(web_host=host))


@pytest.mark.parametrize("host", OTHERS)
def test_others_are_not_served_without_credentials(host: str) -> None:
    with pytest.raises(Problem, match="neither API_TOKEN nor ADMIN_PASSWORD is set"):
        guard_web(Settings.load(web_host=host))


@pytest.mark.parametrize("name", ["api_token", "admin_password"])
def test_others_are_served_once_somebody_has_to_log_in(name: str) -> None:
    guard_web(Settings.load(web_host="0.0.0.0", **{name: "secret"}))


def test_it_refuses_to_start_with_one_line_that_names_both_settings(shell: Shell) -> None:
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


def test_up_says_before_it_starts_that_the_port_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings.load(web_port=taken.getsockname()[1])
        with pytest.raises(Problem, match="set WEB_PORT to another"):
            web_has_its_port(WEB, settings)
        web_has_its_port([Program("ingest", "ik-slack ingest")], settings)


def test_up_says_before_it_starts_that_others_would_be_let_in() -> None:
    with pytest.raises(Problem, match="neither API_TOKEN"):
        web_has_its_port(WEB, Settings.load(web_host="0.0.0.0"))

"""`ik-slack sandbox`: the printed addresses work, and a port in use is one line."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from worker.cli import main
from worker.demo.scenario import MEMBER_CHANNELS, NOT_INVITED, add_sample_workspace
from worker.sandbox.slack.server import SlackSandbox


def test_acme_has_channels_of_every_kind() -> None:
    channels = add_sample_workspace(SlackSandbox()).channels.values()
    assert {one.name for one in channels if one.member and not one.private} == set(MEMBER_CHANNELS)
    assert {one.name for one in channels if not one.member} == {NOT_INVITED}
    assert {one.name for one in channels if one.private} == {"incident-room"}


def test_a_taken_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as end:
            main(["sandbox", "--port", str(port)])
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (1, "")
    assert err == f"Error: Port {port} cannot be used: set --port to another, or to 0 for any free port.\n"


@pytest.mark.slow
def test_the_printed_addresses_work_until_sigint() -> None:
    program = str(Path(sys.executable).parent / "ik-slack")
    running = subprocess.Popen(
        [program, "sandbox", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said = ""
    try:
        assert running.stdout
        while "curl" not in said:
            said += (line := running.stdout.readline())
            assert line, "it ended"
        token = said.partition("Bot token")[2].split()[0]
        api_url = said.partition("SLACK_API_URL=")[2].split()[0]
        call = urllib.request.Request(f"{api_url}auth.test", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(call, data=b"", timeout=10) as answer:
            assert json.load(answer)["team"] == "Acme"
        page_url = said.partition("Messages")[2].split()[0]
        with urllib.request.urlopen(page_url, timeout=10) as page:
            assert "deployments" in page.read().decode()
    finally:
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert (running.returncode, out, err) == (0, "Stopped.\n", "")

"""A preview as a picture: what is in it, how large it is, and what is said where no browser is."""

import json
import shutil
import socket
import struct
import sys
from pathlib import Path

import pytest
from cli_shell import Shell

from worker.cli import camera
from worker.cli.camera import BROWSERS, SHARPNESS, WIDTH, photograph
from worker.domain.errors import Problem

needs_browser = pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no Chromium is on PATH")
EVENT = {
    "specversion": "1.0", "id": "1", "source": "/me", "type": "io.infrakitchen.alert.firing",
    "data": {"name": "DiskFull", "severity": "critical", "summary": "<script>alert(1)</script>"},
}  # fmt: skip
PAGE = '<!doctype html><html data-height="{}"><body style="margin:0"><script></script></body></html>'


def size(png: Path) -> tuple[int, int]:
    """Width and height, as a PNG file says them in its first chunk."""
    data = png.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def page(height: int) -> str:
    return PAGE.format(height)


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """A browser that is none: a program of that name, alone on PATH."""
    path = folder / BROWSERS[0]
    path.write_text(f"#!{sys.executable}\nimport sys, time\n{does}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@needs_browser
def test_a_picture_is_as_large_as_what_is_on_it(tmp_path: Path) -> None:
    photograph(page(123), tmp_path / "a.png", sharpness=1)
    assert size(tmp_path / "a.png") == (WIDTH, 123)


@needs_browser
def test_a_preview_is_drawn_into_the_file(shell: Shell, tmp_path: Path) -> None:
    sizes = []
    for lines in (1, 9):
        out = tmp_path / f"{lines}.png"
        event = EVENT | {"data": {**EVENT["data"], "description": "It fills up.\n" * lines}}
        ended = shell("preview", "-", "--png", str(out), stdin=json.dumps(event))
        assert (ended.code, ended.err) == (0, f"Drawn in {out}.\n")
        sizes.append(size(out))
    (width, short), (_, tall) = sizes
    assert width == WIDTH * SHARPNESS
    assert 100 < short < tall < 3_000


@needs_browser
def test_a_picture_reaches_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        found = page(50).replace("<script>", f'<img src="http://127.0.0.1:{port}/"><script>')
        photograph(found, tmp_path / "a.png")
        with pytest.raises(BlockingIOError):
            server.accept()


@needs_browser
def test_with_json_there_is_a_picture_too(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    found = shell("preview", "-", "--png", str(out), "--json", stdin=json.dumps(EVENT)).json
    assert found["text"] == "🔴 DiskFull: &lt;script&gt;alert(1)&lt;/script&gt;"
    assert size(out)[0] == WIDTH * SHARPNESS


def test_the_browser_is_told_none_of_our_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "import os; print(sorted(os.environ)); sys.exit(1)")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    with pytest.raises(Problem) as caught:
        photograph(page(5), tmp_path / "a.png")
    assert "HOME" in str(caught.value)
    assert "SLACK_BOT_TOKEN" not in str(caught.value)


def test_without_a_browser_it_says_what_to_install_and_what_to_do_instead(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = shell("preview", "-", "--png", str(tmp_path / "a.png"), stdin=json.dumps(EVENT))
    assert (ended.code, ended.out) == (1, "")
    assert "apt install chromium" in ended.err
    assert "ik-slack sandbox" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("sys.exit('no display')", "did not draw the picture: no display"),
        ("pass", "did not draw the picture: it said nothing"),
        ("print('<html data-height=\"5\">')", "wrote no picture"),
        ("time.sleep(60)", "did not answer within"),
    ],
)
def test_a_browser_that_fails_is_named_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, reason: str
) -> None:
    program(tmp_path, monkeypatch, does)
    monkeypatch.setattr(camera, "LONGEST_S", 0.5 if "sleep" in does else 60.0)
    with pytest.raises(Problem, match=reason):
        photograph(page(5), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    does = """
for word in sys.argv:
    if word.startswith("--screenshot="):
        open(word.partition("=")[2], "w").close()
print('<html data-height="5">')
"""
    program(tmp_path, monkeypatch, does)
    with pytest.raises(Problem, match=r"nowhere/a\.png cannot be written"):
        photograph(page(5), tmp_path / "nowhere" / "a.png")
    photograph(page(5), tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()

"""A preview as a picture: its content, its size, and the errors without a browser."""

import json
import shutil
import socket
import struct
import sys
import zlib
from pathlib import Path

import pytest
from support.cli import Shell

from worker.domain.errors import UserError
from worker.message_preview import screenshot
from worker.message_preview.screenshot import BROWSERS, HEIGHT_MAX, PNG_SIGNATURE, SCALE, WIDTH, take_screenshot

needs_browser = pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no Chromium is on PATH")
pytestmark = pytest.mark.slow  # starts a browser

EVENT = {
    "specversion": "1.0", "id": "1", "source": "/me", "type": "io.infrakitchen.alert.firing",
    "data": {"name": "DiskFull", "severity": "critical", "summary": "<script>alert(1)</script>"},
}  # fmt: skip
PAGE = '<!doctype html><html data-height="{}"><body style="margin:0"><script></script></body></html>'


def size(png: Path) -> tuple[int, int]:
    """Return the width and height from the first chunk of a PNG file."""
    data = png.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def picture(width: int, height: int) -> bytes:
    """Return a black PNG file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes((1 + 3 * width) * height))
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def last_rows(png: Path, number: int) -> bytes:
    """Return the last rows of a picture as their filtered bytes."""
    data = png.read_bytes()
    width = size(png)[0]
    start, content = len(PNG_SIGNATURE), b""
    while start < len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        content += data[start + 8 : start + 8 + length] if kind == b"IDAT" else b""
        start += 12 + length
    return zlib.decompress(content)[-number * (1 + width * (4 if data[25] == 6 else 3)) :]


def page(height: int) -> str:
    return PAGE.format(height)


def install_fake_browser(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """Put a program with the name of a browser alone on PATH."""
    path = folder / BROWSERS[0]
    path.write_text(f"#!{sys.executable}\nimport sys, time\n{does}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@needs_browser
@pytest.mark.thorough
def test_a_picture_is_as_large_as_its_page(tmp_path: Path) -> None:
    take_screenshot(page(123), tmp_path / "a.png", scale=1)
    assert size(tmp_path / "a.png") == (WIDTH, 123)


@needs_browser
@pytest.mark.thorough
@pytest.mark.parametrize("height", [90, 300, 2_000, 20_000])
def test_a_picture_shows_its_page_to_the_last_row(tmp_path: Path, height: int) -> None:
    """A window as high as the page shows less of it: in such a picture, the last rows are white."""
    background = "repeating-linear-gradient(30deg, #000, #0ff 37px)"
    block = f'<div style="height: {height}px; background: {background}"></div>'
    take_screenshot(page(height).replace("<script>", f"{block}<script>"), tmp_path / "a.png")
    assert size(tmp_path / "a.png")[1] == min(height * SCALE, HEIGHT_MAX)
    assert len(set(last_rows(tmp_path / "a.png", 2))) > 5, "white rows have fewer values"


@needs_browser
def test_a_preview_is_drawn_into_the_file(shell: Shell, tmp_path: Path) -> None:
    sizes = []
    for lines in (1, 60):
        out = tmp_path / f"{lines}.png"
        event = EVENT | {"data": {**EVENT["data"], "description": "It fills up.\n" * lines}}
        ended = shell("preview", "-", "--png", str(out), stdin=json.dumps(event))
        assert (ended.code, ended.err) == (0, f"Drawn in {out}.\n")
        sizes.append(size(out))
    (width, short), (_, tall) = sizes
    assert width == WIDTH * SCALE
    assert 100 < short < 800 * SCALE < tall, "a page may be higher than the first window"


@needs_browser
def test_the_browser_reaches_no_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        found = page(50).replace("<script>", f'<img src="http://127.0.0.1:{port}/"><script>')
        take_screenshot(found, tmp_path / "a.png")
        with pytest.raises(BlockingIOError):
            server.accept()


@needs_browser
def test_with_json_there_is_a_picture_too(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    found = shell("preview", "-", "--png", str(out), "--json", stdin=json.dumps(EVENT)).json
    assert found["text"] == "🔴 DiskFull: &lt;script&gt;alert(1)&lt;/script&gt;"
    assert size(out)[0] == WIDTH * SCALE


def test_the_browser_gets_no_secret_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake_browser(tmp_path, monkeypatch, "import os; print(sorted(os.environ)); sys.exit(1)")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    with pytest.raises(UserError) as caught:
        take_screenshot(page(5), tmp_path / "a.png")
    assert "HOME" in str(caught.value)
    assert "SLACK_BOT_TOKEN" not in str(caught.value)


def test_without_a_browser_the_error_names_what_to_install(
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
        ("pass", "did not draw the picture: no output"),
        ("print('<html data-height=\"5\">')", "wrote no picture"),
        ("time.sleep(60)", "did not answer within"),
    ],
)
def test_a_browser_that_fails_is_named_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, reason: str
) -> None:
    install_fake_browser(tmp_path, monkeypatch, does)
    monkeypatch.setattr(screenshot, "TIMEOUT_S", 0.5 if "sleep" in does else 60.0)
    with pytest.raises(UserError, match=reason):
        take_screenshot(page(5), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    does = f"""
for word in sys.argv:
    if word.startswith("--screenshot="):
        open(word.partition("=")[2], "wb").write({picture(WIDTH, 9)!r})
print('<html data-height="5">')
"""
    install_fake_browser(tmp_path, monkeypatch, does)
    with pytest.raises(UserError, match=r"nowhere/a\.png cannot be written"):
        take_screenshot(page(5), tmp_path / "nowhere" / "a.png")
    take_screenshot(page(5), tmp_path / "a.png", scale=1)
    assert (tmp_path / "a.png").read_bytes() == picture(WIDTH, 5)

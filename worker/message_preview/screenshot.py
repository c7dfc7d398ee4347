"""Screenshot of a page of HTML as a PNG file, taken by the Chromium or Chrome that is installed here."""

import os
import re
import shutil
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

from worker.domain.errors import UserError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH = 760
HEIGHT_MAX = 30_000  # Chromium draws nothing on a picture with more rows
FRAME_HEIGHT = 300  # more than the part of a window that shows no page, which is left white
SCALE = 2.0  # pixels of the file for each CSS pixel
TIMEOUT_S = 60.0
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def take_screenshot(html: str, out: Path, scale: float = SCALE) -> None:
    """Draw a page into a PNG file as high as the page, which writes its height into its root's `data-height`.

    The browser has a profile of its own and reaches no network. Raises UserError.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise UserError(
            "A picture needs Chromium, and none is on PATH: apt install chromium (or Google Chrome). "
            "Without it, `ik-slack preview` shows messages in the terminal, `ik-slack sandbox` on a page."
        )
    with tempfile.TemporaryDirectory(prefix="ik-slack-picture-") as name:
        folder = Path(name)
        page, picture = folder / "page.html", folder / "picture.png"
        page.write_text(html, "utf-8")
        output = _run(browser, folder, "--dump-dom", scale, 800, page)
        found = re.search(r'<html[^>]* data-height="(\d+)"', output)
        if found is None:
            raise UserError(f"{browser} did not draw the picture: {_last_line(output)}.")
        height = max(int(found[1]), 1)
        scale = min(scale, HEIGHT_MAX / height)
        output = _run(browser, folder, f"--screenshot={picture}", scale, height + FRAME_HEIGHT, page)
        png = picture.read_bytes() if picture.exists() else b""
        if not png.startswith(PNG_SIGNATURE):
            raise UserError(f"{browser} wrote no picture: {_last_line(output)}.")
        try:
            out.write_bytes(crop_png(png, round(height * scale)))
        except OSError as error:
            raise UserError(f"{out} cannot be written: {error.strerror}.") from None


def crop_png(png: bytes, height: int) -> bytes:
    """Return the upper part of a picture of 8-bit RGB or RGBA, whose rows do not depend on those below them.

    Source: https://www.w3.org/TR/png-3/#4Concepts.EncodingFiltering
    """
    chunks, start = {b"IDAT": b""}, len(PNG_SIGNATURE)
    while start < len(png):
        length, kind = struct.unpack_from(">I4s", png, start)
        chunks[kind] = chunks.get(kind, b"") + png[start + 8 : start + 8 + length]
        start += 12 + length
    header = chunks[b"IHDR"]
    width, rows, _, colour = struct.unpack_from(">IIBB", header)
    height = min(height, rows)
    row_length = 1 + width * (4 if colour == 6 else 3)
    upper = zlib.compress(zlib.decompress(chunks[b"IDAT"])[: height * row_length])
    cropped = {b"IHDR": struct.pack(">II", width, height) + header[8:], b"IDAT": upper, b"IEND": b""}
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in cropped.items()
    )


def _run(browser: str, folder: Path, action: str, scale: float, height: int, page: Path) -> str:
    """Run the browser and return its output, in which a failure is explained."""
    options = [
        "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
        "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={WIDTH},{height}",
        f"--force-device-scale-factor={scale}",
    ]  # fmt: skip
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium refuses to start as root with its sandbox
    try:
        ended = subprocess.run(  # noqa: S603 - a browser from PATH; no argument comes from an event
            [browser, *options, action, page.as_uri()],
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env={"HOME": str(folder), "PATH": os.defpath, "LANG": "C.UTF-8"},  # no token or password
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{browser} did not answer within {TIMEOUT_S:.0f} s.") from None
    except OSError as error:
        raise UserError(f"{browser} cannot be started: {error.strerror}.") from None
    return (ended.stdout or ended.stderr).decode(errors="replace")


def _last_line(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"

"""A page of HTML as a PNG file, taken by a browser that is installed here."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from worker.domain.errors import Problem

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH = 760
TALLEST = 15_000  # more a browser draws as nothing at twice the size
SHARPNESS = 2.0  # pixels of the file for each of the page's
LONGEST_S = 60.0


def browser() -> str:
    """The browser found on PATH; Problem when there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise Problem(
            "A picture needs Chromium, and none is on PATH: apt install chromium (or Google Chrome). "
            "Without it, `ik-slack sandbox` shows messages as a page, and `ik-slack preview` in the terminal."
        )
    return found


def photograph(html: str, out: Path, sharpness: float = SHARPNESS) -> None:
    """Draw a page that writes its height into its root's `data-height`, no larger than it is.

    The browser has a profile of its own for this time and reaches no network. Raises Problem.
    """
    program = browser()
    with tempfile.TemporaryDirectory(prefix="ik-slack-picture-") as name:
        folder = Path(name)
        page, picture = folder / "page.html", folder / "picture.png"
        page.write_text(html, "utf-8")
        drawn = _run(program, folder, "--dump-dom", f"--window-size={WIDTH},800", page.as_uri())
        height = re.search(r'<html[^>]* data-height="(\d+)"', drawn)
        if height is None:
            raise Problem(f"{program} did not draw the picture: {_reason(drawn)}.")
        size = f"--window-size={WIDTH},{min(int(height[1]), TALLEST)}"
        scale = f"--force-device-scale-factor={sharpness}"
        said = _run(program, folder, f"--screenshot={picture}", size, scale, page.as_uri())
        if not picture.exists():
            raise Problem(f"{program} wrote no picture: {_reason(said)}.")
        try:
            shutil.copyfile(picture, out)
        except OSError as error:
            raise Problem(f"{out} cannot be written: {error.strerror}.") from None


def _run(program: str, folder: Path, *words: str) -> str:
    """What it says; its own trouble is found in there."""
    options = [
        "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
        "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}",
    ]  # fmt: skip
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # it refuses to start as root with one
    try:
        ended = subprocess.run(  # noqa: S603 - a browser from PATH, no word is an event's
            [program, *options, *words],
            capture_output=True,
            timeout=LONGEST_S,
            check=False,
            env={"HOME": str(folder), "PATH": os.defpath, "LANG": "C.UTF-8"},  # no secret of ours
        )
    except subprocess.TimeoutExpired:
        raise Problem(f"{program} did not answer within {LONGEST_S:.0f} s.") from None
    except OSError as error:
        raise Problem(f"{program} cannot be started: {error.strerror}.") from None
    return (ended.stdout or ended.stderr).decode(errors="replace")


def _reason(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"

"""Whatever is sent to the API of a running installation, it answers with what its document says, never a 5xx.

`make fuzz` runs it for longer.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from support.events import numbered_alert
from support.installation import Installation, until
from test_api import Api

from worker.local_machine import free_port

IN_CI_S = "20"
SECONDS = os.environ.get("FUZZ_S", IN_CI_S)
SEED = ("--seed=1",) if SECONDS == IN_CI_S else ()
TOKEN = "a-token-of-the-tests-that-nobody-guesses"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
"""Left out are those that guess what ought to be accepted, since not every text is a destination, and the one
that tries tokens: after ten wrong ones the answer is 429. `test_web_access.py` asks every path without one.
"""


@pytest.mark.thorough
@pytest.mark.slow
async def test_every_request_gets_a_documented_response(fast: Installation) -> None:
    fast.workspace.add_channel("ops")
    await fast.connect(rules=[{"id": "sub-1", "destination": "#ops", "kind": "alert"}])
    port = free_port()
    web = fast.start("web", ("ik-slack", "web"), WEB_PORT=str(port), API_TOKEN=TOKEN)
    api = Api(port, TOKEN)
    await until(api.lives, "the web process lives")
    await fast.running(fast.ingest(), fast.worker())
    await fast.publish(numbered_alert(1), b"{")
    await fast.settled(1)

    run = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "st"), "run", f"http://127.0.0.1:{port}/api/openapi.json",
        f"--header=Authorization: Bearer {TOKEN}", f"--checks={','.join(CHECKS)}", f"--max-time={SECONDS}",
        "--continue-on-failure", "--no-color", "--request-timeout=40", "--warnings=off", *SEED,
        cwd=fast.directory, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await run.communicate()
    print(said.decode())
    assert run.returncode == 0
    assert "Traceback" not in web.log
    assert TOKEN not in web.log
    assert (await api("GET", "/api/v1/ledger"))[1]["unaccounted"] == 0

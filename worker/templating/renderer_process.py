"""Template renderer: the child process that runs templates, and ends when one takes too much time or memory.

Python cannot interrupt a thread, so a template that loops for ever would block the process it runs in for good.
"""

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from worker.domain.errors import TemplateError

CPU_MAX_S = 0.25  #: Processor time of one rendering: a busy machine does not make a template fail.
ANSWER_TIMEOUT_S = 3.0  #: For a child that does not answer at all.
START_TIMEOUT_S = 15.0
MESSAGE_MAX_BYTES = 16 << 20
ENDED_BY_OTHERS = (-signal.SIGKILL, -signal.SIGTERM)  #: By an administrator, or the system when it has no memory left.

JsonObject = dict[str, object]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Rendered:
    """Output of a template: Slack markup, or blocks where it wrote JSON."""

    markup: str = ""
    blocks: tuple[JsonObject, ...] = ()


class TemplateRenderer:
    """Runs templates in one child process, started when it is needed and ended when a template exceeds a limit.

    The child has no environment, and no open file but its socket. It ends when that is closed, so it never outlives
    this process. Threads take turns. A child that another program ended, or that did not answer, is replaced once.
    """

    def __init__(self, cpu_max_s: float = CPU_MAX_S) -> None:
        self._cpu_max_s = cpu_max_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def check(self, source: str) -> None:
        """Raise TemplateError if a template cannot be compiled."""
        self._ask(source, None)

    def render(self, source: str, variables: Mapping[str, object]) -> Rendered:
        """Render a template. Raises TemplateError, with `exceeds_limit` when it takes too much time or memory."""
        answer = self._ask(source, variables)
        return Rendered(answer["markup"], tuple(answer["blocks"]))

    def close(self) -> None:
        """End the child process; a later rendering starts another one."""
        with self._lock:
            self._end()

    def _ask(self, source: str, variables: Mapping[str, object] | None) -> dict[str, Any]:
        with self._lock:
            answer = self._exchange([source, variables], is_last_try=False)
        if "reason" in answer:
            raise TemplateError(answer["reason"], answer["line"])
        return answer

    def _exchange(self, request: object, *, is_last_try: bool) -> dict[str, Any]:
        try:
            child = self._connect()
            send(child, request)
            answer: dict[str, Any] = receive(child)
        except (OSError, EOFError) as error:
            code, is_late = self._end(), isinstance(error, TimeoutError)
            if (is_late or code in ENDED_BY_OTHERS) and not is_last_try:
                return self._exchange(request, is_last_try=True)
            limit = "time" if is_late or code == -signal.SIGPROF else "memory"
            raise TemplateError(f"it takes too much {limit}", exceeds_limit=True) from None
        except BaseException:
            self._end()  # or the next rendering would read the answer to this one
            raise
        return answer

    def _connect(self) -> socket.socket:
        """Return the socket of the child, which is started if there is none."""
        if self._process and self._process.poll() is not None:
            self._end()
        if self._socket is None:
            self._socket, theirs = socket.socketpair()
            self._socket.settimeout(START_TIMEOUT_S)
            try:
                with theirs:
                    self._process = subprocess.Popen(  # noqa: S603  # our own module
                        [sys.executable, "-P", "-s", "-m", "worker.templating.engine", str(self._cpu_max_s)],
                        stdin=theirs.fileno(),
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        env={"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},  # noqa: PTH109
                        start_new_session=True,  # the Ctrl-C of a terminal is for this process alone
                    )
                receive(self._socket)
            except (OSError, EOFError):
                raise TemplateError("the process that renders templates did not start") from None
            self._socket.settimeout(ANSWER_TIMEOUT_S)
        return self._socket

    def _end(self) -> int:
        """End the child if there is one and return its exit code."""
        child, connection, self._process, self._socket = self._process, self._socket, None, None
        if connection:
            connection.close()
        if child:
            child.kill()
        return child.wait() if child else 0


def send(connection: socket.socket, value: object) -> None:
    """Send a value as one line of JSON."""
    connection.sendall(json.dumps(value).encode() + b"\n")


def receive(connection: socket.socket) -> Any:
    """Receive a value. Raises EOFError when the other end is closed, or the line is too long."""
    with connection.makefile("rb") as stream:
        line = stream.readline(MESSAGE_MAX_BYTES)
    if not line.endswith(b"\n"):
        raise EOFError
    return json.loads(line)


async def run_in_template_thread(function: Callable[..., Result], *arguments: object) -> Result:
    """Run what renders templates in the one thread for that: those that wait for it occupy no thread of others."""
    return await asyncio.get_running_loop().run_in_executor(_template_thread(), function, *arguments)


@cache
def _template_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="templates")


@cache
def shared_renderer() -> TemplateRenderer:
    """Return the renderer of this process; its child ends with the process."""
    renderer = TemplateRenderer()
    atexit.register(renderer.close)
    return renderer

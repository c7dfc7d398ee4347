"""The child process that renders templates: a hostile template is ended, and the next one finds it usable."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.examples import THOROUGH
from support.hostile_templates import HOSTILE, LONG_MARKUP, LOOP

from worker.domain.errors import DETAIL_MAX, TemplateError
from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.message_plan import Line, MessageContent
from worker.rendering.message_builder import MessageBuilder
from worker.slack.blocks import arguments, rejection_reason
from worker.templating import renderer_process
from worker.templating.engine import OUTPUT_MAX
from worker.templating.renderer_process import TemplateRenderer
from worker.templating.variables import variables_of

pytestmark = pytest.mark.slow
TRIED = HOSTILE if THOROUGH else HOSTILE[::4]

EVENT = Event("1", "/ik", "x", Kind.ALERT, "1700000000000-0", Entity("", ""), Severity.ERROR, "disk full")


def variables() -> dict[str, object]:
    return variables_of(EVENT, "https://ik/x", "https://ik")


@pytest.fixture(scope="module")
def shared() -> Iterator[TemplateRenderer]:
    """Return a shared renderer with short time limits for hostile templates."""
    renderer = TemplateRenderer(cpu_max_s=0.05)
    yield renderer
    renderer.close()


@pytest.fixture
def renderer() -> Iterator[TemplateRenderer]:
    renderer = TemplateRenderer()
    yield renderer
    renderer.close()


def pid_of(renderer: TemplateRenderer) -> int:
    """Return the id of the child, which a rendering starts where there is none."""
    assert renderer.render("{{ title }}", variables()).markup == "disk full"
    process = renderer._process
    assert process
    return process.pid


def command(process: Path) -> bytes:
    try:
        return process.joinpath("cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("template", TRIED, ids=range(len(TRIED)))
def test_a_hostile_template_ends_soon_and_the_next_template_is_rendered(
    shared: TemplateRenderer, template: str
) -> None:
    """The system limits the child's time; the limit here finds only work that grows with the square of the text.

    The longest text takes 0.04 s of this process's processor time, ten times that under coverage.
    """
    assert shared.render("{{ title }}", variables()).markup == "disk full"
    builder = MessageBuilder(rejection_reason, shared)
    started = time.process_time()
    try:
        message = builder.build_from_template(template, MessageContent((Line(EVENT, "d1"),)))
    except TemplateError as error:
        assert len(error.reason) <= DETAIL_MAX  # noqa: PT017  # both ends are right
    else:
        assert rejection_reason(message) == ""
        assert json.dumps(arguments(message), ensure_ascii=False, allow_nan=False).encode()
    assert time.process_time() - started < 5
    assert shared.render("{{ title }}", variables()).markup == "disk full"


@pytest.mark.parametrize(
    ("template", "limit"),
    [
        (HOSTILE[0], "time"),
        (LOOP * 3 + "{% endfor %}" * 3, "time"),
        ("{{ ('x' * 600000000)|length }}", "memory"),
    ],
)
def test_the_limit_that_was_exceeded_ends_the_child_and_is_named(
    shared: TemplateRenderer, template: str, limit: str
) -> None:
    shared.check("")
    child = shared._process
    with pytest.raises(TemplateError) as caught:
        shared.render(template, variables())
    assert (caught.value.reason, caught.value.line) == (f"it takes too much {limit}", 0)
    assert caught.value.exceeds_limit
    assert child
    assert (child.returncode == -signal.SIGPROF) is (limit == "time")


def test_an_error_of_the_template_comes_with_its_line(shared: TemplateRenderer) -> None:
    with pytest.raises(TemplateError) as caught:
        shared.render("\n{{ 1 / 0 }}", variables())
    assert (caught.value.reason, caught.value.line) == ("division by zero", 2)
    with pytest.raises(TemplateError, match="there is no variable 'titel'"):
        shared.check("{{ titel }}")
    shared.check("{{ title }}")


def test_blocks_come_back_as_they_were_written(shared: TemplateRenderer) -> None:
    rendered = shared.render('{"type": "header", "text": "{{ title }}"}', variables())
    assert rendered.blocks == ({"type": "header", "text": "disk full"},)


def test_the_largest_variables_are_sent_and_received(shared: TemplateRenderer) -> None:
    large = variables() | {"text": "x" * 2_000_000}
    assert shared.render("{{ text|length }}", large).markup == "2000000"


def test_a_child_that_was_killed_is_replaced(renderer: TemplateRenderer) -> None:
    first = pid_of(renderer)
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert pid_of(renderer) != first


def test_a_child_that_does_not_answer_is_replaced_once(renderer: TemplateRenderer) -> None:
    stopped = pid_of(renderer)
    os.kill(stopped, signal.SIGSTOP)
    assert renderer._socket
    renderer._socket.settimeout(0.05)
    assert renderer.render("{{ title }}", variables()).markup == "disk full"
    assert pid_of(renderer) != stopped


def test_a_template_whose_children_never_answer_takes_too_much_time(
    renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer_process, "ANSWER_TIMEOUT_S", 1e-6)
    with pytest.raises(TemplateError, match="too much time") as caught:
        renderer.render("{{ title }}", variables())
    assert caught.value.exceeds_limit


def test_the_limit_of_time_holds_in_a_process_that_ignores_and_blocks_its_signal() -> None:
    code = """
import signal
signal.signal(signal.SIGPROF, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])
from worker.domain.errors import DETAIL_MAX, TemplateError
from worker.templating.renderer_process import TemplateRenderer
renderer = TemplateRenderer()
renderer.check("")
child = renderer._process
try:
    renderer.check("{{ 9 ** (9 ** 9) }}")
    renderer.render("{{ 9 ** (9 ** 9) }}", VARIABLES)
except TemplateError as error:
    print(error, child.returncode)
""".replace("VARIABLES", repr(variables()))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"it takes too much time {-signal.SIGPROF}\n", done.stderr


def test_a_long_error_is_cut(shared: TemplateRenderer) -> None:
    with pytest.raises(TemplateError) as caught:
        shared.render("{{ {}['x' * 999999] }}", variables())
    assert len(caught.value.reason) <= DETAIL_MAX


def test_a_long_markup_is_cut_before_it_leaves_the_child(renderer: TemplateRenderer) -> None:
    assert len(renderer.render(LONG_MARKUP, variables()).markup) <= OUTPUT_MAX


def test_a_child_that_does_not_start_is_an_error_of_the_template(
    renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(TemplateError, match="did not start"):
        renderer.render("{{ title }}", variables())
    monkeypatch.setattr(sys, "executable", "/no/such/file")
    with pytest.raises(TemplateError, match="did not start"):
        renderer.render("{{ title }}", variables())
    monkeypatch.undo()
    assert pid_of(renderer)


def test_the_child_has_no_environment_and_no_other_open_files(
    renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENCRYPTION_KEY", "very-secret")
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        process = Path("/proc") / str(pid_of(renderer))
    assert process.joinpath("environ").read_bytes().split(b"=")[0] == b"PYTHONPATH"
    assert process.joinpath("environ").read_bytes().count(b"\0") == 1
    assert sorted(path.name for path in process.joinpath("fd").iterdir()) == ["0", "1", "2"]
    assert os.getpgid(int(process.name)) != os.getpgid(0)


def test_threads_share_the_child_process_one_at_a_time(renderer: TemplateRenderer) -> None:
    answers: dict[int, str] = {}

    def render(number: int) -> None:
        answers[number] = renderer.render(f"{{{{ title }}}} {number}", variables()).markup

    threads = [threading.Thread(target=render, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"disk full {number}" for number in range(20)}


def test_closing_ends_the_child_and_a_later_rendering_starts_another(renderer: TemplateRenderer) -> None:
    first = pid_of(renderer)
    renderer.close()
    renderer.close()
    assert not Path(f"/proc/{first}").exists()
    assert pid_of(renderer) != first


@pytest.mark.parametrize("ending", ["pass", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
def test_the_child_ends_with_its_parent(ending: str) -> None:
    code = f"""
from worker.templating.renderer_process import shared_renderer
shared_renderer().check("x")
print(shared_renderer()._process.pid, flush=True)
{ending}
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    child = Path(f"/proc/{int(done.stdout)}")
    deadline = time.monotonic() + 10
    while child.exists() and b"templating" in command(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)

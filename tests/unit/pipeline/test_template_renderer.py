"""The child process that renders templates: a hostile template is ended, and the next one finds it usable."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.domain.errors import TemplateError
from worker.domain.event import Entity, Event, Kind, Severity
from worker.templating.renderer_process import ANSWER_TIMEOUT_S, START_TIMEOUT_S, TemplateRenderer
from worker.templating.variables import variables_of

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


NESTED = "{% set a = ['x'] * 4000 %}{% set b = [a] * 4000 %}{% set c = [b] * 4000 %}"
LOOP = "{% for i in range(99999) %}"
DOUBLED_TEXT = "{% set a = 'xxxxxxxx' %}" + "{% set a = a ~ a %}" * 60
DEEP_JSON = '[{"type": "section", "text": ' + "[" * 600 + "]" * 600 + "}]"
HOSTILE = [
    # Nested values: small to hold, large to walk through.
    "{{ [[[['x'] * 4000] * 4000] * 4000] * 4000 }}",
    NESTED + "{{ c }}",
    NESTED + "{{ c|join }}",
    NESTED + "{{ c|map('bold')|list }}",
    NESTED + "{{ c|map('list')|list }}",
    NESTED + "{{ c|map('join')|join }}",
    NESTED + "{{ c|select('eq', c)|list }}",
    NESTED + "{{ c == [b] * 3999 + [a] }}",
    NESTED + "{{ (c|map('join')|list)|unique|list }}",
    NESTED + "{{ c|sort }}",
    NESTED + "{{ c|max }}",
    NESTED + "{{ c|upper }}",
    NESTED + "{{ c|length ~ c }}",
    NESTED + "{{ {'a': c}|dictsort }}{{ {'a': c} }}",
    "{% set t = 0 %}" + "{% set a = ((), ()) %}" + "{% set a = (a, a) %}" * 60 + "{{ {a: 1} }}",
    "{% set a = (1, 1) %}" + "{% set a = (a, a) %}" * 60 + "{{ [a, a]|unique|list }}",
    "{% set a = [1, 1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a|replace('1', '2') }}",
    "{% set a = [1, 1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a == a|list }}{{ a|string }}",
    # Loops.
    LOOP * 3 + "{% endfor %}" * 3,
    LOOP * 8 + "{% set x = i|upper %}" + "{% endfor %}" * 8,
    LOOP + "{{ range(99999)|map('code_block')|join|length }}{% endfor %}",
    "{% for i in range(99999)|map('bold')|map('quote')|map('link')|list * 9 %}{% endfor %}",
    LOOP + LOOP + "{% if i|sort %}{% endif %}{% endfor %}{% endfor %}",
    "{% for i in 'x' * 9999999 %}{% if i|upper == 'y' %}{% endif %}{% endfor %}",
    # Memory.
    "{{ 'x' * 10000000000 }}",
    "{{ 10000000000 * 'x' }}",
    "{{ ('x' * 99999999)|list }}",
    "{{ [1] * 10**10 }}",
    "{{ ((1,) * 10**8)|list }}",
    DOUBLED_TEXT + "{{ a }}",
    DOUBLED_TEXT.replace("~", "+"),
    "{% set a = [1, 2] %}" + "{% set a = a + a %}" * 60,
    "{{ ('x' * 999999)|replace('', 'x' * 999999) }}",
    "{{ range(99999)|join('x' * 99999) }}",
    "{{ '%1000000000000d' % 1 }}",
    "{{ '{:>1000000000000}'.format(1) }}",
    "{{ title.center(1000000000000) }}",
    "{{ title.ljust(10**11).split(' ') }}",
    # Numbers.
    "{{ 9 ** (9 ** 9) }}",
    "{{ (10 ** 4000) ** 4000 }}",
    "{% set a = 99999999 %}" + "{% set a = a * a %}" * 40,
    "{{ 10 ** 5000 }}",
    "{{ 2 ** 0.5 ** -9999 }}{{ 1e308 * 10 - 1e308 * 10 }}{{ 1 // 0 }}",
    # Regular expressions and cleaning of long texts.
    "{{ ('`' * 999999)|code_block }}" * 9,
    "{{ ('<' * 9999999)|bold|quote|quote }}" * 9,
    "<" * 20000 + "{{ title }}" + ">" * 20000,
    "{{ ('a' * 50 + ' ' * 9999999)|title|trim|capitalize|quote }}" * 9,
    "<https://" * 4000 + "{{ title }}|" * 2000,
    # JSON.
    DEEP_JSON,
    DEEP_JSON.replace("[]", '["{{ title }}"]'),
    '[{"a": ' * 600 + "1" + "}]" * 600,
    "[" * 20000,
    '{"blocks": ' * 9000,
    '[{"type": ' + "9" * 9999 + "}]",
    '[{"type": "section", "x": "{% for i in range(9999) %}xxxxxxxxxx{% endfor %}"}]',
    # Parsing.
    "{{ " + "(" * 8000 + "1" + ")" * 8000 + " }}",
    "{{ " + "not " * 4000 + "1 }}",
    "{{ " + "[" * 500 + "]" * 500 + " }}",
    "{{ 1" + " + 1" * 4000 + " }}",
    "{% if x %}" * 1500,
    "{{ title" + "|bold" * 3000 + " }}",
    "{{ title" + "[0]" * 5000 + " }}",
]


@pytest.mark.parametrize("template", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_template_ends_soon_and_the_next_template_is_rendered(
    shared: TemplateRenderer, template: str
) -> None:
    assert shared.render("{{ title }}", variables()).markup == "disk full"
    started = time.monotonic()
    with contextlib.suppress(TemplateError):
        assert len(str(shared.render(template, variables()))) < 1_000_000
    assert time.monotonic() - started < ANSWER_TIMEOUT_S + START_TIMEOUT_S
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


def test_a_child_that_does_not_answer_is_ended(renderer: TemplateRenderer) -> None:
    stopped = pid_of(renderer)
    os.kill(stopped, signal.SIGSTOP)
    assert renderer._socket
    renderer._socket.settimeout(0.05)
    with pytest.raises(TemplateError, match="too much time"):
        renderer.render("{{ title }}", variables())
    assert pid_of(renderer) != stopped


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

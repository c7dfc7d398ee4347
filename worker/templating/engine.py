"""Template engine: Jinja2's sandbox with our variables and filters, in the child process of `renderer_process.py`.

A template writes a mark for each value. The values replace the marks when the output is complete, each escaped for
its place: so the text of an event can neither end a JSON string nor begin a tag.
"""

import contextlib
import json
import re
import resource
import signal
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from functools import cache, lru_cache
from traceback import walk_tb
from types import TracebackType
from typing import Any, NoReturn

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes, pass_context
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.visitor import NodeTransformer

from worker.domain.errors import TemplateError
from worker.domain.mrkdwn import line, link, normalize_url
from worker.templating import filters
from worker.templating.filters import CLOSE, OPEN, EventFields, Labels, Time, TimeSpan, as_markup, join, shown_as
from worker.templating.renderer_process import JsonObject, Rendered, receive, send
from worker.templating.variables import FIELDS, NAMES

OUTPUT_MAX = 40_000
MEMORY_MAX_MB = 256
JSON_DEPTH_MAX = 20

_MARK = re.compile(f"{OPEN}([0-9]+){CLOSE}")
_TAG = re.compile(r"<([^<>]*)>")
_BLOCKS = re.compile(r"\s*(?:\[\s*\{|\{\s*\"|\[\s*\]\s*\Z)")
_URL_FIELDS = frozenset(("url", "image_url"))
_VALUES = " values"  # no variable of a template has a space in its name
_TYPES = {
    "labels": Labels, "annotations": Labels, "values": Labels,
    "at": Time, "started_at": Time, "ended_at": Time, "duration": TimeSpan,
}  # fmt: skip

#: Parts of Jinja2 that a template cannot have: they load other templates, or make marks the value of an expression.
_NOT_OFFERED: Mapping[type[nodes.Node], str] = {
    nodes.Include: "{% include %}", nodes.Import: "{% import %}", nodes.FromImport: "{% from %}",
    nodes.Extends: "{% extends %}", nodes.Block: "{% block %}", nodes.Macro: "{% macro %}",
    nodes.CallBlock: "{% call %}", nodes.FilterBlock: "{% filter %}", nodes.AssignBlock: "{% set %} with an end",
    nodes.ScopedEvalContextModifier: "{% autoescape %}",
}  # fmt: skip


class Values:
    """Values of one rendering, by their marks."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.size = 0  #: Characters of all values together.

    def markup(self, output: str) -> str:
        """Replace the marks in Slack markup: values are escaped, and part of no tag but a link."""
        return self._escaped(_TAG.sub(self._tag, output))

    def blocks(self, output: str) -> tuple[JsonObject, ...]:
        """Parse the blocks in an output of JSON and replace the marks in them. Raises TemplateError."""
        try:
            parsed = json.loads(output, parse_constant=_reject)
            json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()  # no lone surrogate, no infinite number
        except json.JSONDecodeError as error:
            place = f"line {error.lineno} column {error.colno}"
            raise TemplateError(f"the JSON it writes is wrong at its {place}: {error.msg}") from None
        except (ValueError, RecursionError):
            raise TemplateError("the JSON it writes has a number, character or depth that cannot be sent") from None
        if isinstance(parsed, dict):
            parsed = parsed.get("blocks") if "blocks" in parsed else [parsed]
        if not isinstance(parsed, list) or not parsed or not all(isinstance(block, dict) for block in parsed):
            raise TemplateError("the JSON it writes is not a block or a list of blocks")
        return tuple(self._fill("", block, JSON_DEPTH_MAX) for block in parsed)

    def _fill(self, name: str, value: Any, depth: int) -> Any:
        """Replace the marks in a value of JSON, which is the field `name` of an object or in its list."""
        match value:
            case str() if name == "text":
                return self.markup(value)
            case str():
                text = self._plain(value)
                return normalize_url(text) or text.strip() if name in _URL_FIELDS else text
            case list() | dict() if depth < 0:
                raise TemplateError("the JSON it writes is nested too deeply")
            case list():
                return [self._fill(name, item, depth - 1) for item in value]
            case dict():
                filled = {self._plain(key): self._fill(key, item, depth - 1) for key, item in value.items()}
                if filled.get("type") == "mrkdwn":
                    filled["verbatim"] = True  # else Slack would find mentions in the plain text of an event
                return filled
            case _:
                return value

    def _plain(self, output: str) -> str:
        return _MARK.sub(lambda mark: self.texts[int(mark[1])], output)

    def _escaped(self, output: str) -> str:
        return _MARK.sub(lambda mark: as_markup(self.texts[int(mark[1])]), output)

    def _tag(self, tag: re.Match[str]) -> str:
        """Return a tag as the author wrote it; a tag with values stays a tag only if it is a link.

        With `<!{{ x }}>` or `<{{ x }}>`, an event could mention anyone.
        """
        if not _MARK.search(tag[1]):
            return tag[0]
        address, _, label = tag[1].partition("|")
        if not address.startswith((OPEN, "https://", "http://")):
            return f"&lt;{self._escaped(tag[1])}&gt;"
        url = self._plain(address).replace("&amp;", "&")
        text = _TAG.sub(lambda inner: inner[1].rpartition("|")[2], self._escaped(label))
        return link(url, " ".join(text.split()) or line(url, filters.LABEL_MAX))


@lru_cache(maxsize=64)
def compile_template(source: str) -> Template:
    """Compile a template. Raises TemplateError with the line that is wrong."""
    if OPEN in source or CLOSE in source:
        raise TemplateError("it contains a character of the private use area (U+E000 or U+E001)")
    environment = _environment()
    try:
        tree = _ConcatAsJoin().visit(environment.parse(source))
        _check(tree)
        return environment.from_string(tree)
    except TemplateSyntaxError as error:
        raise TemplateError((error.message or "it cannot be read").rstrip("."), error.lineno) from None
    except (ArithmeticError, RecursionError, SyntaxError, ValueError) as error:
        raise TemplateError(f"it cannot be read: {_first_line(error)}") from None


def render(source: str, variables: Mapping[str, object]) -> Rendered:
    """Render a template with the JSON values of `variables_of`. Raises TemplateError."""
    template = compile_template(source)
    values = Values()
    parts: list[str] = []
    room = OUTPUT_MAX
    try:
        for part in template.generate({**namespace_of(variables), _VALUES: values}):
            parts.append(part)
            room -= len(part)
            if room < values.size:
                break
    except TemplateError as error:
        raise TemplateError(error.reason, _last_line(error.__traceback__)) from None
    except MemoryError:
        raise  # the process ends, so that the next template finds a new one
    except Exception as error:  # noqa: BLE001  # whatever the author's expressions raise
        raise TemplateError(_first_line(error), _last_line(error.__traceback__)) from None
    output = "".join(parts).strip()
    if not _BLOCKS.match(output):  # judged by the author's own text, since a mark is not a bracket
        return Rendered(markup=values.markup(output)[:OUTPUT_MAX])  # the message is cut between tags, far before
    if room < values.size:
        raise TemplateError(f"it writes more than {OUTPUT_MAX:,} characters")
    return Rendered(blocks=values.blocks(output))


def namespace_of(variables: Mapping[str, object]) -> dict[str, object]:
    """Return the variables as the template sees them: with types for times and labels, and with `event`."""
    namespace = dict(variables)
    for name, type_ in _TYPES.items():
        if namespace[name] is not None:
            namespace[name] = type_(namespace[name])
    return {**namespace, "event": EventFields({name: namespace[name] for name in FIELDS})}


class _Sandbox(ImmutableSandboxedEnvironment):
    """Environment in which `+` keeps markup, as `~` does, and `format` is not offered.

    Jinja2's `format` of markup would give markup, with the values of an event in it as they are.
    """

    intercepted_binops = frozenset("+")

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        """Return whether a template may read an attribute."""
        return attr not in ("format", "format_map") and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: object) -> None:
        """Offer no wrapper of `format`, which newer versions of Jinja2 would call unasked."""

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """Concatenate texts; leave other operands to Jinja2."""
        if isinstance(left, str) and isinstance(right, str):
            return join((left, right))
        return super().call_binop(context, operator, left, right)


class _ConcatAsJoin(NodeTransformer):
    """Turns `~` into the filter `join`, which keeps markup."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802  # Jinja2 finds it by this name
        self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes, lineno=node.lineno), "join", [], [], None, None, lineno=node.lineno)


@cache
def _environment() -> _Sandbox:
    # Without `optimized`, as Jinja2 would else call filters while it compiles.
    environment = _Sandbox(
        undefined=StrictUndefined, finalize=_mark, optimized=False, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals = {"range": safe_range}
    environment.filters = dict(filters.FILTERS)
    return environment


@pass_context
def _mark(context: Context, value: object) -> str:
    """Return what the template writes for a value: a mark, or a number as it is, for use in JSON."""
    if isinstance(value, int | float) and not isinstance(value, Time | TimeSpan):
        return json.dumps(value)
    values: Values = context[_VALUES]
    values.texts.append(shown_as(value))
    values.size += len(values.texts[-1])
    return f"{OPEN}{len(values.texts) - 1}{CLOSE}"


def _check(tree: nodes.Template) -> None:
    """Raise TemplateError for a part that is not offered, an unknown variable or an unknown field of an event."""
    for node in tree.find_all(nodes.Node):
        name = _NOT_OFFERED.get(type(node), "")
        if isinstance(node, nodes.For) and node.recursive:
            name = "{% for … recursive %}"
        if name:
            raise TemplateError(f"{name} is not offered in a template", node.lineno)
    unknown = find_undeclared_variables(tree) - NAMES - {"range"}
    for variable in tree.find_all(nodes.Name):
        if variable.name in unknown:
            suggestion = _suggestion(variable.name, NAMES)
            raise TemplateError(f"there is no variable {variable.name!r}{suggestion}", variable.lineno)
    for part in tree.find_all(nodes.Getattr):
        is_of_event = isinstance(part.node, nodes.Name) and part.node.name == "event"
        if is_of_event and part.attr not in FIELDS:
            raise TemplateError(f"an event has no {part.attr!r}{_suggestion(part.attr, FIELDS)}", part.lineno)


def _suggestion(name: str, known: Iterable[str]) -> str:
    similar = get_close_matches(name, list(known), 1)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def _last_line(trace: TracebackType | None) -> int:
    """Return the last line of the template in a traceback: Jinja2 puts its line numbers there."""
    lines = [number for frame, number in walk_tb(trace) if frame.f_code.co_filename == "<template>"]
    return lines[-1] if lines else 0


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".") or type(error).__name__


def _reject(constant: str) -> NoReturn:
    raise ValueError(constant)


def main() -> None:
    """Answer requests on the socket that is standard input, until it is closed."""
    connection, cpu_max_s = socket.socket(fileno=0), float(sys.argv[1])
    with contextlib.suppress(OSError, ValueError):  # macOS has no limit of memory
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_MB << 20, MEMORY_MAX_MB << 20))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # a parent may ignore or block it, which its child inherits
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGPROF,))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    send(connection, "ready")
    with contextlib.suppress(EOFError, OSError):
        while True:
            source, variables = receive(connection)
            # The signal ends the process, also inside of C code. RLIMIT_CPU counts all renderings together.
            signal.setitimer(signal.ITIMER_PROF, cpu_max_s)
            send(connection, _answer(source, variables))
            signal.setitimer(signal.ITIMER_PROF, 0)


def _answer(source: str, variables: Mapping[str, object] | None) -> JsonObject:
    try:
        if variables is None:
            compile_template(source)
            return {}
        return asdict(render(source, variables))
    except TemplateError as error:
        return {"reason": error.reason, "line": error.line}


if __name__ == "__main__":
    main()

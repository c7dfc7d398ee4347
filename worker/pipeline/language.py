"""The language of templates: Jinja2's sandbox, with only what cannot get out of hand.

A thread that renders cannot be interrupted, so nothing is offered that would have to be: every round of a
loop, every filter, call and value counts a step and looks at the clock, what grows a text or a list is
measured before it is made, and no part of the language can repeat or grow anything behind that. So it runs
where it is needed, on the event loop, for no longer than TIME_MOST_S.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import TracebackType
from typing import cast

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from worker.domain.template import TemplateFault
from worker.pipeline.filling import CLOSE, OPEN, WRITTEN_MOST, Values, joined
from worker.pipeline.filters import FILTERS, SIZE_MOST, sized
from worker.pipeline.grammar import judge, judge_names

STEPS_MOST = 10_000
TIME_MOST_S = 0.1  # of processor time: a busy machine is no fault of the template
RANGE_MOST = 1_000
ELEMENTS_MOST = 4_000
NUMBER_MOST = 10**15
STEP, EACH, CHAINED = " step", " each", " chained"  # no filter a person could write has a space in its name
BUDGET = " budget"  # neither has a variable

Clock = Callable[[], float]

ATTRIBUTES: Mapping[type, frozenset[str]] = {
    dict: frozenset(("get", "items", "keys", "values")),
    LoopContext: frozenset((
        "cycle", "depth", "first", "index", "index0", "last", "length", "nextitem", "previtem", "revindex",
        "revindex0",
    )),
    str: frozenset((
        "capitalize", "endswith", "isdigit", "lower", "lstrip", "removeprefix", "removesuffix", "rstrip",
        "split", "splitlines", "startswith", "strip", "title", "upper",
    )),
}  # fmt: skip


@dataclass(slots=True)
class Budget:
    """What one rendering may still do."""

    values: Values
    clock: Clock
    until_s: float
    steps: int = STEPS_MOST

    def step(self) -> None:
        """One more; TemplateFault when it is one too many."""
        self.steps -= 1
        if self.steps < 0:
            raise TemplateFault(f"it takes more than {STEPS_MOST:,} steps")
        if self.clock() > self.until_s:
            raise TemplateFault(f"it takes longer than {TIME_MOST_S:g} s")


@lru_cache(maxsize=256)
def compiled(source: str) -> Template:
    """A template ready to run; TemplateFault says what is wrong in which line."""
    if OPEN in source or CLOSE in source:
        raise TemplateFault("it holds a character of the private use area (U+E000 or U+E001)")
    environment = _sandbox()
    try:
        tree = environment.parse(source)
        judge(tree)
        stepping = _Stepping().visit(tree)
        judge_names(stepping)  # not before: to look at names Jinja works out what is constant, in place
        return environment.from_string(stepping)
    except TemplateSyntaxError as error:
        raise TemplateFault((error.message or "it cannot be read").rstrip("."), error.lineno) from None
    except (ArithmeticError, MemoryError, RecursionError, SyntaxError, ValueError) as error:
        raise TemplateFault(f"it cannot be read: {_first_line(error)}") from None


def run(
    template: Template, variables: Mapping[str, object], values: Values, clock: Clock = time.thread_time
) -> str:
    """What it writes, a mark for each value, no more than a little over WRITTEN_MOST; or TemplateFault."""
    budget = Budget(values, clock, clock() + TIME_MOST_S)
    written: list[str] = []
    room = WRITTEN_MOST
    try:
        for part in template.generate({**variables, BUDGET: budget}):
            written.append(part)
            room -= len(part)
            if room < values.size:
                break
    except TemplateFault as fault:
        raise TemplateFault(fault.reason, _line(fault.__traceback__)) from None
    except Exception as error:  # noqa: BLE001  # whatever the author's expressions come to
        raise TemplateFault(_first_line(error), _line(error.__traceback__)) from None
    return "".join(written)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Counts what it is asked to do."""

    intercepted_binops = frozenset(("+", "*", "%"))

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:  # noqa: ARG002
        """A few, by name."""
        return any(isinstance(obj, kind) and attr in names for kind, names in ATTRIBUTES.items())

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """What could grow is measured first."""
        if operator == "%" and isinstance(left, str):
            raise TemplateFault("a text has no %: use ~ and filters")
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return _step(context, joined([left, right]))
        if operator == "*":
            _judge_product(left, right)
        return _step(context, super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: object) -> None:
        """Formatting is not offered, it could make any width: so nothing is wrapped, and it is not safe."""

    def call(self, context: Context, called: object, *args: object, **named: object) -> object:
        """A step too."""
        budget_of(context).step()
        return super().call(context, called, *args, **named)


class _Stepping(NodeTransformer):
    """Puts a step before each filter and into each round of a loop."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        self.generic_visit(node)
        node.iter = _filtered(cast("nodes.Expr", node.iter), EACH)
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Filter:  # noqa: N802
        self.generic_visit(node)
        if node.node is not None:  # pragma: no branch  (without one it is a block, which is not offered)
            node.node = _filtered(node.node, STEP)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), CHAINED)


def budget_of(context: Context) -> Budget:
    """Of the rendering that is under way."""
    found: Budget = context[BUDGET]
    return found


@cache
def _sandbox() -> _Sandbox:
    environment = _Sandbox(
        undefined=StrictUndefined, finalize=_written, optimized=False, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals = {"range": _range}
    environment.filters = {**FILTERS, STEP: _step, EACH: _each, CHAINED: _chained}
    return environment


@pass_context
def _written(context: Context, value: object) -> str:
    budget = budget_of(context)
    budget.step()
    return budget.values.mark(value)


@pass_context
def _step(context: Context, value: object) -> object:
    budget_of(context).step()
    if isinstance(value, list | tuple | dict) and len(value) > ELEMENTS_MOST:
        raise TemplateFault(f"it makes a list of more than {ELEMENTS_MOST:,} elements")
    if isinstance(value, str):
        sized(len(value))
    return value


@pass_context
def _each(context: Context, values: Iterable[object]) -> Iterator[object]:
    budget = budget_of(context)
    for value in values:
        budget.step()
        yield value


@pass_context
def _chained(context: Context, parts: list[object]) -> object:
    """`~`, of texts none of which is too long."""
    return _step(context, joined([_step(context, part) for part in parts]))


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if found[RANGE_MOST:]:
        raise TemplateFault(f"a range has {RANGE_MOST:,} numbers at most")
    return found


def _judge_product(left: object, right: object) -> None:
    if isinstance(left, int) and isinstance(right, int):
        if max(abs(left), abs(right)) > NUMBER_MOST:
            raise TemplateFault("it makes a number that is too large")
        return
    for one, times in ((left, right), (right, left)):
        most = ELEMENTS_MOST if isinstance(one, list | tuple) else SIZE_MOST
        if isinstance(one, str | list | tuple) and isinstance(times, int) and len(one) * times > most:
            raise TemplateFault("it makes a text or a list that is too long")


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _line(trace: TracebackType | None) -> int:
    """The last line of the template in a traceback: Jinja writes its lines into it."""
    found = 0
    while trace:
        if trace.tb_frame.f_code.co_filename == "<template>":
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


def _first_line(error: Exception) -> str:
    said = str(error).strip().split("\n")[0].rstrip(".")
    return said or type(error).__name__

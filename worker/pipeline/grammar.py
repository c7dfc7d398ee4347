"""What the language of templates has: the parts that are offered, and the names that are known."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import chain

from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

from worker.domain.template import TemplateFault
from worker.pipeline.variables import FIELDS, NAMES

OFFERED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.For,
    nodes.Assign, nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand,
    nodes.Not, nodes.And, nodes.Or, nodes.CondExpr, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div,
    nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos, nodes.Concat, nodes.List, nodes.Tuple, nodes.Dict,
    nodes.Pair, nodes.Slice, nodes.Keyword, nodes.Call,
)  # fmt: skip
WORDS: Mapping[type[nodes.Node], str] = {
    nodes.AssignBlock: "{% set %} with an end", nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}", nodes.FromImport: "{% from %}", nodes.NSRef: "namespace",
    nodes.Pow: "**", nodes.For: "{% for … recursive %}",
}  # fmt: skip
"""What is not offered, where its tag is not the name of its kind."""


def judge(tree: nodes.Template) -> None:
    """TemplateFault for a part that is not offered."""
    for node in chain((tree,), tree.find_all(nodes.Node)):
        if not isinstance(node, OFFERED) or (isinstance(node, nodes.For) and node.recursive):
            said = WORDS.get(type(node)) or f"{{% {type(node).__name__.lower()} %}}"
            raise TemplateFault(f"{said} is not offered in a template", node.lineno)


def judge_names(tree: nodes.Template) -> None:
    """TemplateFault for a variable nobody knows."""
    unknown = find_undeclared_variables(tree) - NAMES - {"range"}
    for name in tree.find_all(nodes.Name):
        if name.name in unknown:
            raise TemplateFault(f"there is no variable {name.name!r}{_near(name.name, NAMES)}", name.lineno)
    for part in tree.find_all(nodes.Getattr):
        is_of_event = isinstance(part.node, nodes.Name) and part.node.name == "event"
        if is_of_event and part.attr not in FIELDS:
            raise TemplateFault(f"an event has no {part.attr!r}{_near(part.attr, FIELDS)}", part.lineno)


def _near(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(name, list(known), 1)
    return f"; {found[0]!r} is there" if found else ""

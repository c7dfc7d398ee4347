"""A file of subscriptions is read, and compared with those that are stored."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.asking.moments import moment_ms
from worker.asking.rules import Rule, read_rule
from worker.domain.errors import Problem


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes the stored rules those of a file; `left` are stored and not in the file."""

    added: tuple[Rule, ...]
    changed: tuple[tuple[Rule, Rule], ...]
    left: tuple[Rule, ...]
    unchanged: int


def read_rules(text: str) -> list[Rule]:
    """The rules of a file; Problem names the first that is wrong."""
    found = _parsed(text)
    if not isinstance(found, list):
        reason = (
            "is empty: write [] for no subscription" if found is None else "holds no list of subscriptions"
        )
        raise Problem(
            f"Nothing was changed: the file {reason}. See `ik-slack subscriptions export` for the form."
        )
    rules: list[Rule] = []
    for place, written in enumerate(found, 1):
        try:
            rule = read_rule(written)
        except ValueError as error:
            raise Problem(f"Nothing was changed: subscription {place} of the file: {error}.") from None
        if twin := next((i for i, one in enumerate(rules, 1) if _twins(one, rule)), None):
            raise Problem(f"Nothing was changed: subscription {place} of the file is number {twin} again.")
        rules.append(rule)
    return rules


def plan(wanted: Sequence[Rule], stored: Sequence[Rule]) -> Plan:
    """Which stored rule a wanted one is: by its id, else one that says the same, else one about the same."""
    left = {rule.id: rule for rule in stored}
    found = [left.pop(rule.id, None) for rule in wanted]
    alike: tuple[Callable[[Rule, Rule], bool], ...] = (
        lambda one, other: not one.differences(other.beside(one)),
        lambda one, other: one.told == other.told,
    )
    for is_alike in alike:
        for place, rule in enumerate(wanted):
            match = next((one for one in left.values() if is_alike(one, rule)), None)
            if found[place] is None and match:
                found[place] = left.pop(match.id)
    pairs = [(old, new.beside(old) if old else new) for old, new in zip(found, wanted, strict=True)]
    added = tuple(_with_id(new, new.id or f"sub-{secrets.token_hex(4)}") for old, new in pairs if old is None)
    changed = tuple((old, _with_id(new, old.id)) for old, new in pairs if old and old.differences(new))
    return Plan(added, changed, tuple(left.values()), len(pairs) - len(added) - len(changed))


def without_past(rule: Rule, now_ms: int) -> Rule:
    """A mute that is over by now says nothing."""
    if not rule.muted_until or moment_ms(rule.muted_until) > now_ms:
        return rule
    return Rule(**rule.model_dump(exclude={"muted_until"}, exclude_unset=True))


def _parsed(text: str) -> object:
    """JSON or YAML; Problem names the line."""
    import yaml

    try:
        if text.lstrip().startswith(("[", "{")):  # YAML would not take the tabs that JSON may have
            try:
                return json.loads(text)
            except json.JSONDecodeError:
                pass
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise Problem(f"Nothing was changed: the file is no YAML: {where}{error.problem}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Problem(f"Nothing was changed: the file is no YAML: {str(error).splitlines()[0]}.") from None


def _twins(one: Rule, other: Rule) -> bool:
    return one.id == other.id and (bool(one.id) or not one.differences(other))


def _with_id(rule: Rule, id_: str) -> Rule:
    return rule.model_copy(update={"id": id_})

"""Which integration a question is about, and all integrations and subscriptions as people know them."""

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.asking.rules import Rule, rule_of
from worker.domain.errors import Problem, WrongUse
from worker.domain.integration import Integration

if TYPE_CHECKING:
    from worker.bootstrap import Services


async def chosen_integration(made: "Services", name: str | None) -> Integration:
    """The one named, or the only one there is. WrongUse when there are several to choose from."""
    if name is not None:
        return await made.integrations.find(name)
    everyone = await made.integrations.all()
    if not everyone:
        raise Problem("There is no integration yet: add one with `ik-slack integrations add NAME`.")
    if len(everyone) > 1:
        names = ", ".join(integration.name for integration in everyone)
        raise WrongUse(f"There are several integrations, say which: {names}.")
    return everyone[0]


async def every_integration(made: "Services") -> list[Integration]:
    """All of them by name; a token that this ENCRYPTION_KEY does not open is a reason too."""
    connections = await made.integrations.connections()
    return [
        replace(one, reason="its token cannot be opened", hint=connections[one.id].unreadable)
        if one.id in connections and connections[one.id].token is None
        else one
        for one in await made.integrations.all()
    ]


async def one_integration(made: "Services", name: str) -> Integration:
    """One of these, by its name or id; Missing when there is none."""
    wanted = (await made.integrations.find(name)).id
    return next(one for one in await every_integration(made) if one.id == wanted)


async def every_rule(made: "Services") -> list[Rule]:
    """All subscriptions as people write them, oldest first."""
    names = {one.id: one.name for one in await made.integrations.all()}
    now_ms = await made.server.now_ms()
    return [
        rule_of(one, names.get(one.integration_id, one.integration_id), now_ms)
        for one in await made.subscriptions.all()
    ]


def with_integration(rule: Rule, integration: Integration) -> Rule:
    """A rule that names its integration."""
    return rule.model_copy(update={"integration": integration.name})

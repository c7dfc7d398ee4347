"""Integrations: the list with their health, and the page of one: test, rotate, switch off and on, remove."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Response

from worker.asking.choosing import every_integration, every_rule
from worker.asking.connecting import disabled, enabled, removed, tested
from worker.asking.rules import Rule
from worker.asking.wording import count
from worker.bootstrap import Services
from worker.domain.errors import NotYet, Refusal
from worker.domain.integration import Health, Integration
from worker.pipeline.connect import Check
from worker.web.pages.visit import Visit, Visiting
from worker.web.pages.words import checks_here

SHOWN = 12
REFRESH_S = 2.0


@dataclass(frozen=True, slots=True)
class Rotation:
    """What the form for another token has to say: what is wrong, or what must be answered first."""

    wrong: str = ""
    checks: Sequence[Check] = ()
    missing: Sequence[str] = ()
    stranger: str = ""
    is_kept: bool = False


def integrations(made: Services) -> APIRouter:
    """`/integrations`, and of one `/integrations/{id}` with what can be done with it."""
    router = APIRouter(prefix="/integrations")

    @router.get("")
    async def listed(visit: Visiting) -> Response:
        found, subscribed = await every_integration(made), await made.subscriptions.all()
        used = [one.integration_id for one in subscribed]
        rows = [(one, used.count(one.id)) for one in found]
        return visit.page("integrations.html", rows=rows, now_ms=await made.server.now_ms())

    @router.get("/{id_}")
    async def shown(visit: Visiting, id_: str) -> Response:
        return await page(made, visit, await one_of(made, id_))

    @router.post("/{id_}/test")
    async def test(visit: Visiting, id_: str) -> Response:
        integration, checks = await tested(made, await made.integrations.find(id_), None)
        return await page(made, visit, await one_of(made, integration.id), checks)

    @router.get("/{id_}/test")
    @router.get("/{id_}/rotate")
    async def back(visit: Visiting, id_: str) -> Response:  # its answer was loaded again, or logged in to
        return visit.go(f"/integrations/{(await made.integrations.find(id_)).id}")

    _switching(router, made)
    _refreshing(router, made)
    _removing(router, made)
    return router


def _switching(router: APIRouter, made: Services) -> None:
    """Off and on."""

    @router.post("/{id_}/disable")
    async def disable(visit: Visiting, id_: str) -> Response:
        integration, _ = await disabled(made, id_)
        visit.audit("integration disabled", integration.name)
        text = f"Disabled {integration.name}: what is for it waits."
        return visit.go(f"/integrations/{integration.id}", text)

    @router.post("/{id_}/enable")
    async def enable(visit: Visiting, id_: str) -> Response:
        integration, lanes = await enabled(made, id_)
        visit.audit("integration enabled", integration.name)
        go_on = f" {count(lanes, 'lane')} with something to say go on." if lanes else ""
        return visit.go(f"/integrations/{integration.id}", f"Enabled {integration.name}.{go_on}")


def _refreshing(router: APIRouter, made: Services) -> None:
    """Reading its channels, of which the first moments are waited for."""

    @router.post("/{id_}/refresh")
    async def refresh(visit: Visiting, id_: str) -> Response:
        integration = await made.integrations.find(id_)
        token, to = await made.integrations.token(integration.id), f"/integrations/{integration.id}#channels"
        try:
            later = await made.reader.begin(integration, token, unless_younger_s=0, budget_s=REFRESH_S)
        except Refusal as error:
            return visit.go(to, f"The channels were not read: {error.reason}", "failed")
        visit.audit("channels refreshed", integration.name)
        if isinstance(later, NotYet):
            text = f"Not all is read yet: {later.reason}. Load this page again in a moment."
            return visit.go(to, text, "warning")
        return visit.go(to, "The channels were read anew.")


def _removing(router: APIRouter, made: Services) -> None:
    """What asks first."""

    @router.get("/{id_}/remove")
    async def ask(visit: Visiting, id_: str) -> Response:
        integration = await made.integrations.find(id_)
        rules = await rules_of(made, integration)
        return visit.page("integration_remove.html", integration=integration, rules=rules)

    @router.post("/{id_}/remove")
    async def remove(visit: Visiting, id_: str) -> Response:
        integration, lost = await removed(
            made, id_, with_subscriptions=visit.form.checked("with_subscriptions")
        )
        visit.audit("integration removed", integration.name)
        discarded = f" {count(lost, 'delivery', 'deliveries')} that waited: discarded." if lost else ""
        return visit.go("/integrations", f"Removed {integration.name}, and forgot its token.{discarded}")


async def one_of(made: Services, id_: str) -> Integration:
    """One with its health; Missing when there is none."""
    found = (await made.integrations.find(id_)).id
    return next(one for one in await every_integration(made) if one.id == found)


async def rules_of(made: Services, integration: Integration) -> list[Rule]:
    """Its subscriptions, as people write them."""
    return [one for one in await every_rule(made) if one.integration == integration.name]


async def page(
    made: Services,
    visit: Visit,
    integration: Integration,
    checks: Sequence[Check] = (),
    rotation: Rotation = Rotation(),  # it is frozen
) -> Response:
    """The page of one."""
    channels = await made.directory.find(integration.id, "", most=SHOWN)
    return visit.page(
        "integration.html",
        200 if rotation == Rotation() else 422,
        integration=integration,
        rules=await rules_of(made, integration),
        known=await made.directory.known(integration.id),
        channels=channels,
        checks=checks_here(checks),
        rotation=rotation,
        is_disabled=integration.state is Health.DISABLED,
        now_ms=await made.server.now_ms(),
    )

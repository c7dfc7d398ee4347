"""Channel: where an integration is to post first, and a test message there.

Of a workspace with thousands of channels only some are shown, and a part of a name finds any. Where the bot
is comes first; for any other channel there is the line that invites it.
"""

import asyncio
import contextlib

from fastapi import APIRouter, Response

from worker.asking.choosing import every_rule
from worker.asking.rules import LEVELS, SORTS, read_rule
from worker.asking.subscribing import added
from worker.asking.trying import check_posting
from worker.bootstrap import Services
from worker.domain.integration import Integration
from worker.store.vault import WrongKey
from worker.web.pages.integrations import one_of
from worker.web.pages.visit import Visit, Visiting

SHOWN = 24
LOOK_S = 1.5
NOTHING_CHOSEN = "Choose a channel, or write where to."


def channel(made: Services) -> APIRouter:
    """`/integrations/{id}/channel` and `/integrations/{id}/test-message`"""
    router = APIRouter(prefix="/integrations/{id_}")

    @router.get("/channel")
    async def ask(visit: Visiting, id_: str, q: str = "") -> Response:
        return await _page(made, visit, await one_of(made, id_), q)

    @router.post("/channel")
    async def choose(visit: Visiting, id_: str) -> Response:
        integration, form = await one_of(made, id_), visit.form
        destination, lowest = form.text("other") or form.text("destination"), form.text("min_severity")
        if not destination:
            return await _page(made, visit, integration, form.text("q"), wrong=NOTHING_CHOSEN)
        try:
            rule = read_rule(
                {"destination": destination, "kind": form.several("kind"), "min_severity": lowest or None}
            )
        except ValueError as error:
            return await _page(made, visit, integration, form.text("q"), wrong=f"Not done: {error}.")
        rule, is_new, said = await added(made, rule, integration.name)
        visit.audit("subscription added", f"{rule.id} to {rule.destination}")
        begins = f"{rule.destination} is told" if is_new else f"{rule.destination} was told already"
        text = " ".join((f"{begins}: {rule.filters}.", *said))
        return visit.go(f"/integrations/{integration.id}", text, "warning" if said else "done")

    @router.post("/test-message")
    async def send(visit: Visiting, id_: str) -> Response:
        integration, to = await one_of(made, id_), visit.form.text("destination")
        check = await check_posting(made, integration, to)
        visit.audit("test message sent", f"{integration.name} to {to}")
        text = f"A test message is in {to} now." if check.passed else f"{to}: {check.detail}. {check.mend}"
        return visit.go(f"/integrations/{integration.id}", text, "done" if check.passed else "failed")

    return router


async def _page(
    made: Services, visit: Visit, integration: Integration, wanted: str, wrong: str = ""
) -> Response:
    await _look(made, integration)
    wanted = wanted.strip().lstrip("#").lower()
    return visit.page(
        "channel.html",
        422 if wrong else 200,
        integration=integration,
        wanted=wanted,
        wrong=wrong,
        found=await made.directory.find(integration.id, wanted, most=SHOWN),
        told={one.destination for one in await every_rule(made) if one.integration == integration.name},
        known=await made.directory.known(integration.id),
        sorts=SORTS,
        levels=LEVELS,
    )


async def _look(made: Services, integration: Integration) -> None:
    """See that the channels are known, as far as that takes moments; what fails shows at the channel."""
    with contextlib.suppress(WrongKey):
        token, life_s = await made.integrations.token(integration.id), made.settings.directory_ttl_s
        await asyncio.gather(
            made.reader.note_joined(integration, token, budget_s=LOOK_S),
            made.reader.begin(integration, token, unless_younger_s=life_s, budget_s=LOOK_S),
            return_exceptions=True,
        )

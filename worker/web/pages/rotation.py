"""Rotation: another token for an integration, with the same checks as the first."""

from fastapi import APIRouter, Response

from worker.asking.connecting import rotated_to
from worker.bootstrap import Services
from worker.domain.errors import Problem
from worker.pipeline.connect import test_token
from worker.store.tried import Tried
from worker.web.pages.integrations import Rotation, one_of, page
from worker.web.pages.setup import NOTHING_PASTED
from worker.web.pages.visit import Visiting
from worker.web.pages.words import checks_here, here

UNUSABLE = "This token cannot be used."


def rotation(made: Services) -> APIRouter:
    """`/integrations/{id}/rotate`"""
    router, tried = APIRouter(), Tried(made.server, made.vault)

    @router.post("/integrations/{id_}/rotate")
    async def rotate(visit: Visiting, id_: str) -> Response:
        made.vault.require()
        integration = await one_of(made, id_)
        aside = visit.secret_name(f"rotation of {integration.id}")
        token = visit.form.secret("token") or await tried.token(aside)
        if token is None:
            return await page(made, visit, integration, rotation=Rotation(NOTHING_PASTED))
        checks, identity = await test_token(made.gateway, token, integration.name)
        checks = checks_here(checks)
        if identity is None:
            return await page(made, visit, integration, rotation=Rotation(UNUSABLE, checks))
        is_stranger = integration.team_id not in ("", identity.team_id)
        lacks = identity.missing_scopes
        if (lacks and not visit.form.checked("anyway")) or (is_stranger and not visit.form.checked("move")):
            await tried.keep(aside, token)
            asked = Rotation("", checks, lacks, identity.team if is_stranger else "", is_kept=True)
            return await page(made, visit, integration, rotation=asked)
        try:
            rotated, said = await rotated_to(made, integration.id, token, force=visit.form.checked("move"))
        except Problem as error:  # of another mind than a moment ago
            return await page(made, visit, integration, rotation=Rotation(here(str(error)), checks))
        await tried.forget(aside)
        visit.audit("token rotated", rotated.name)
        text = " ".join((f"{rotated.name} posts with the new token from now on.", *said))
        return visit.go(f"/integrations/{rotated.id}", text, "warning" if said else "done")

    return router

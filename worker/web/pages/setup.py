"""Setup: a Slack app that a person has just made becomes an integration, in one form.

A token is tested before it is saved, and no page ever shows it: one that Slack knows is kept aside, sealed,
so that what was tested can be saved without pasting it again.
"""

from dataclasses import dataclass, field

from fastapi import APIRouter, Response

from worker.bootstrap import Services
from worker.domain.errors import Problem
from worker.domain.integration import Secret
from worker.pipeline.connect import Check, add_integration, test_token
from worker.slack.scopes import GRANTS, manifest
from worker.store.tried import Tried
from worker.store.vault import WrongKey
from worker.web.pages.form import Form
from worker.web.pages.visit import Visit, Visiting
from worker.web.pages.words import checks_here, here

PATH = "/integrations/slack/setup"
LONGEST_NAME, LONGEST_TEXT = 80, 300
NOTHING_PASTED = "Paste the token first."
ODD_NAME = f"A name has 1 to {LONGEST_NAME} printable characters."


@dataclass(slots=True)
class Filled:
    """The form as it is shown: what was written, never the token, and what is to be said of it."""

    name: str = ""
    description: str = ""
    labels: str = ""
    is_kept: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    missing: tuple[str, ...] = ()
    failed: str = ""

    @classmethod
    def of(cls, form: Form) -> "Filled":
        """What was written into it."""
        written = [form.text(name, LONGEST_TEXT) for name in ("name", "description", "labels")]
        return cls(written[0], written[1], written[2])


def setup(made: Services) -> APIRouter:
    """`/integrations/slack/setup`"""
    router, tried = APIRouter(), Tried(made.server, made.vault)

    @router.get(PATH)
    async def ask(visit: Visiting) -> Response:
        await tried.forget(visit.secret_name("setup"))
        return _page(made, visit, Filled())

    @router.post(PATH)
    async def answer(visit: Visiting) -> Response:
        filled, aside = Filled.of(visit.form), visit.secret_name("setup")
        if _no_key(made):
            return _page(made, visit, filled, 409)
        token = visit.form.secret("token") or await tried.token(aside)
        is_saving = visit.form.text("do") == "save"
        await _judge(made, filled, token, is_saving=is_saving)
        if token is None or filled.errors.get("name"):
            return _page(made, visit, filled, 422)
        filled.checks, identity = await test_token(made.gateway, token, filled.name or "this one")
        filled.checks = checks_here(filled.checks)
        if identity is None:
            await tried.forget(aside)
            return _page(made, visit, filled, 422)
        filled.missing = identity.missing_scopes
        if is_saving and (not filled.missing or visit.form.checked("anyway")):
            return await _save(made, visit, filled, token, tried)
        await tried.keep(aside, token)
        filled.is_kept = True
        return _page(made, visit, filled, 422 if is_saving else 200)

    return router


async def _judge(made: Services, filled: Filled, token: Secret | None, *, is_saving: bool) -> None:
    """What can be said before Slack is asked. To test, no name is needed."""
    if token is None:
        filled.errors["token"] = NOTHING_PASTED
    if not is_saving and not filled.name:
        return
    if not 1 <= len(filled.name) <= LONGEST_NAME or not filled.name.isprintable():
        filled.errors["name"] = ODD_NAME
    elif any(one.name == filled.name for one in await made.integrations.all()):
        filled.errors["name"] = (
            "There is one of that name: choose another, or rotate its token on its own page."
        )


async def _save(made: Services, visit: Visit, filled: Filled, token: Secret, tried: Tried) -> Response:
    labels = tuple(filter(None, (label.strip() for label in filled.labels.split(","))))
    try:
        saved = await add_integration(
            made.integrations, made.gateway, filled.name, token, description=filled.description, labels=labels
        )
    except Problem as error:  # of another mind than a moment ago
        filled.failed = here(str(error))
        return _page(made, visit, filled, 422)
    await tried.forget(visit.secret_name("setup"))
    visit.audit("integration added", saved.name)
    text = f"Saved: {saved.name} posts as @{saved.bot_name} in {saved.team}. Now choose where to."
    return visit.go(f"/integrations/{saved.id}/channel", text)


def _page(made: Services, visit: Visit, filled: Filled, status: int = 200) -> Response:
    return visit.page(
        "setup.html", status, filled=filled, grants=GRANTS, manifest=manifest(), no_key=_no_key(made)
    )


def _no_key(made: Services) -> str:
    """Why nothing can be sealed, with the step; empty when it can."""
    try:
        made.vault.require()
    except WrongKey as error:
        return str(error)
    return ""

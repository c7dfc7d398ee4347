"""Subscribing: the form of a subscription, new or changed, and what it would have told of real events.

Its preview is an answer of the same form, so that it needs no JavaScript; nothing is saved by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter, Response

from worker.asking.rules import LEVELS, SORTS, STYLES, Faulty, Rule, read_rule
from worker.asking.sampling import Sampled, sampled
from worker.asking.subscribing import added, placed, replaced
from worker.bootstrap import Services
from worker.domain.errors import Problem
from worker.domain.integration import Integration
from worker.domain.template import MOST_BYTES
from worker.web.pages.deliveries import as_in_slack
from worker.web.pages.form import Form
from worker.web.pages.visit import Visit, Visiting

LONGEST_LIST = 20_000
OFFERED, SMALL_PAGES = 300, 5
LISTS = ("name", "project", "status", "label", "entity_type", "entity_id")
TEXTS = ("mention", "mention_from", "style", "quiet_hours", "time_zone", "quiet_below")
TICKS = ("broadcast", "only_changes", "inhibit_resources")
MORE = ("label", "entity_type", "entity_id")
LATER = ("quiet_hours", "time_zone")


@dataclass(slots=True)
class Filled:
    """The form as it is shown: what was written, and what is to be said of it.

    `written` holds it as `read_rule` takes it; several values of one field are lines of it in the form.
    """

    written: dict[str, object]
    errors: dict[str, str] = field(default_factory=dict)
    sampled: Sampled | None = None
    failed: str = ""

    @classmethod
    def of(cls, form: Form) -> "Filled":
        """What a person wrote."""
        written: dict[str, object] = {"destination": form.text("destination"), "kind": form.several("kind")}
        written |= {name: _lines(form.text(name, LONGEST_LIST)) for name in LISTS}
        written |= {name: form.text(name) for name in TEXTS}
        written |= {name: form.checked(name) for name in TICKS}
        written |= {
            "template": form.text("template", MOST_BYTES + 1),
            "integration": form.text("integration"),
        }
        return cls({**written, "min_severity": form.text("min_severity") or None})

    @classmethod
    def by(cls, rule: Rule) -> "Filled":
        """A rule that there is."""
        return cls(rule.model_dump())

    def __getitem__(self, name: str) -> object:
        return self.written.get(name, "")

    def lines(self, name: str) -> str:
        """Several values, a line each."""
        found = self.written.get(name, ())
        return "\n".join(map(str, found)) if isinstance(found, tuple | list) else str(found)

    @property
    def rule(self) -> Rule:
        """Faulty says what is wrong."""
        kept = {name: value for name, value in self.written.items() if name != "integration" or value}
        return read_rule(kept)

    def is_any(self, names: Sequence[str]) -> bool:
        """Whether one of these was filled in, or is wrong: then it is not to be folded away."""
        return any(self.written.get(name) or name in self.errors for name in names)


def subscribing(made: Services) -> APIRouter:
    """`/subscriptions/add` and `/subscriptions/{id}/edit`"""
    router = APIRouter(prefix="/subscriptions")
    _adding(router, made)
    _editing(router, made)
    return router


def _adding(router: APIRouter, made: Services) -> None:
    """A new one."""

    @router.get("/add")
    async def ask(visit: Visiting) -> Response:
        usual = {"style": STYLES[0], "mention_from": LEVELS[-1], "quiet_below": LEVELS[-1]}
        to = visit.request.query_params.get("to", "")
        return await _page(made, visit, Filled({**usual, "destination": to}))

    @router.post("/add")
    async def answer(visit: Visiting) -> Response:
        filled = Filled.of(visit.form)
        rule = await _judged(made, visit, filled)
        if rule is None or visit.form.text("do") != "save":
            return await _page(made, visit, filled)
        found, is_new, said = await added(made, rule, rule.integration or None)
        if is_new:
            visit.audit("subscription added", f"{found.id} to {found.destination}")
        begins = "is told" if is_new else "was told already"
        text = " ".join((f"{found.destination} {begins}: {found.filters}.", *said))
        return visit.go(f"/subscriptions/{found.id}", text, "warning" if said else "done")


def _editing(router: APIRouter, made: Services) -> None:
    """One that there is; its mute stays, and whether it is paused."""

    @router.get("/{id_}/edit")
    async def ask(visit: Visiting, id_: str) -> Response:
        rule = (await placed(made, id_)).rule
        return await _page(made, visit, Filled.by(rule), rule)

    @router.post("/{id_}/edit")
    async def change(visit: Visiting, id_: str) -> Response:
        before, filled = (await placed(made, id_)).rule, Filled.of(visit.form)
        filled.written["paused"] = before.paused
        rule = await _judged(made, visit, filled)
        if rule is None or visit.form.text("do") != "save":
            return await _page(made, visit, filled, before)
        rule, said = await replaced(made, id_, rule)
        visit.audit("subscription changed", f"{id_} to {rule.destination}")
        text = " ".join((f"Saved: {rule.destination} is told {rule.filters}.", *said))
        return visit.go(f"/subscriptions/{id_}", text, "warning" if said else "done")


async def _judged(made: Services, visit: Visit, filled: Filled) -> Rule | None:
    """The rule that was written, with its preview where that was asked for; None when something is wrong."""
    try:
        rule = filled.rule
    except Faulty as error:
        filled.errors = error.faults
        return None
    names = [one.name for one in await made.integrations.all()]
    if len(names) > 1 and rule.integration not in names:
        filled.errors["integration"] = "choose one"
        return None
    if visit.form.text("do") != "save":
        try:
            filled.sampled = await sampled(made, rule, rule.integration or None)
        except Problem as error:  # such as that there is no integration yet
            filled.failed = str(error)
            return None
    return rule


async def _page(made: Services, visit: Visit, filled: Filled, rule: Rule | None = None) -> Response:
    integrations = await made.integrations.all()
    return visit.page(
        "subscribing.html",
        422 if filled.errors or filled.failed else 200,
        filled=filled,
        rule=rule,
        message=as_in_slack(filled.sampled.sent) if filled.sampled else None,
        integrations=[one.name for one in integrations],
        offered=await _offered(made, integrations),
        sorts=SORTS,
        levels=LEVELS,
        has_more=filled.is_any(MORE),
        has_ways=filled.is_any(("mention", "template", *TICKS)) or filled["style"] == "plain",
        has_quiet=filled.is_any(LATER),
        now_ms=await made.server.now_ms(),
    )


async def _offered(made: Services, integrations: Sequence[Integration]) -> list[str]:
    """Destinations to choose from: where somebody is told already, and channels of small workspaces."""
    found = {one.destination for one in await made.subscriptions.all()}
    for one in integrations:
        if (await made.directory.known(one.id)).pages <= SMALL_PAGES:
            channels = await made.directory.all(one.id)
            found |= {f"#{each.name}" for each in channels if each.is_member and not each.is_archived}
    return sorted(found)[:OFFERED]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (one.strip() for one in text.split("\n"))))

"""Dead letters: the list by reason, one unreadable entry, and the confirmation of replays and discards."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from fastapi import Response

from worker.bootstrap.context import AppContext
from worker.domain.errors import UsageError
from worker.domain.event import Event
from worker.domain.hints import NO_HINT, dead_letter_hint, hint_beside_buttons
from worker.services import dead_letters as service
from worker.services.deliveries import find_events
from worker.services.formatting import pluralize, printable_bytes
from worker.store.dead_letters import DeadLetter
from worker.web.auth import audited_router
from worker.web.console.request import ConsoleRequest, ConsoleRequestDep
from worker.web.console.templating import page_cursor, paging

LIST = "/dead-letters"
ROWS = 50
MAX_FIELD = 20_000
MAX_LISTED, MAX_REASONS = 10, 3
APPLY_S = 40.0  # less than the middleware's limit for an answer
router = audited_router(LIST)
#: The console asks to confirm these. The last part of a path names its action.
ACTIONS = {"replay": service.replay_one, "discard": service.discard_one}


@router.get("")
async def list_dead_letters(request: ConsoleRequestDep) -> Response:
    """Show a page of the list, newest first."""
    app, reason = request.app, request.query("reason")
    page = await app.dead_letters.page(reason, page_cursor(request.http), ROWS)
    reasons = await app.dead_letters.count_by_reason()
    return request.render(
        "dead_letters.html",
        rows=await _with_events(app, page.rows),
        reason=reason,
        reasons=sorted(reasons.items(), key=lambda item: (-item[1], item[0])),
        hint=hint_beside_buttons(reason) if reason in reasons else NO_HINT,
        paging=paging(request.http, {"reason": reason}, page.next),
        now_ms=await app.redis.now_ms(),
    )


@router.get("/replay")
@router.get("/discard")
async def confirm(request: ConsoleRequestDep) -> Response:
    """Ask to confirm a replay or a discard."""
    app, action, query = request.app, _action_of(request), request.http.query_params
    selection = _selection(tuple(filter(None, query.getlist("id"))), query)
    if selection is None:
        return request.redirect(LIST, f"Tick the dead letters to {action} first.", "warning")
    ids = list(dict.fromkeys(selection.ids))
    if ids:
        letters = [letter for letter in await asyncio.gather(*map(app.dead_letters.find, ids)) if letter]
        total = len(letters)
    else:
        letters = list((await app.dead_letters.page(selection.reason or "", None, MAX_LISTED)).rows)
        reasons = await app.dead_letters.count_by_reason()
        total = reasons.get(selection.reason, 0) if selection.reason else sum(reasons.values())
    if not total:
        return request.redirect(LIST, f"There is no dead letter left to {action}.", "warning")
    return request.render(
        "dead_letters_confirm.html",
        action=action,
        selection=selection,
        ids=[letter.id for letter in letters] if ids else [],
        total=total,
        rows=await _with_events(app, letters[:MAX_LISTED]),
        gone=len(ids) - len(letters) if ids else 0,
    )


@router.post("/replay")
@router.post("/discard")
async def apply(request: ConsoleRequestDep) -> Response:
    """Replay or discard dead letters."""
    app, action, form = request.app, _action_of(request), request.form
    selection = _selection(form.values("id"), {name: form.text(name) for name in ("reason", "all")})
    if selection is None:
        raise UsageError(f"No dead letter was chosen to {action}.")
    which = ", ".join(selection.ids) or (f"reason {selection.reason}" if selection.reason else "all")
    request.audit(f"dead letters {action}ed", which)
    try:
        async with asyncio.timeout(APPLY_S):
            result = await service.apply_to_each(app, selection, ACTIONS[action], f"console, {request.caller}")
    except TimeoutError:
        left = pluralize(sum((await app.dead_letters.count_by_reason()).values()), "dead letter")
        text = f"Not all were {action}ed within {APPLY_S:g} s: {left} left. {action.capitalize()} them again."
        return request.redirect(LIST, text, "warning")
    outcomes = Counter(item.outcome for item in result.results)
    done, failed = outcomes[service.BulkOutcome.DONE], outcomes[service.BulkOutcome.FAILED]
    gone = len(result.results) - done - failed
    texts = [f"{pluralize(done, 'dead letter')} {action}ed."]
    if gone:
        texts.append(f"{gone:,} had already been replayed or discarded.")
    texts += [item.text for item in result.results if item.outcome is service.BulkOutcome.FAILED][:MAX_REASONS]
    if failed > MAX_REASONS:
        texts.append(f"{failed - MAX_REASONS:,} more were not {action}ed.")
    tone = "failed" if failed and not done else "warning" if failed or gone else "done"
    is_delivery = len(selection.ids) == 1 and "-" not in selection.ids[0] and done
    to = f"/deliveries/{selection.ids[0]}" if is_delivery else LIST
    return request.redirect(to, " ".join(texts), tone, warnings=result.warnings)


@router.get("/{id_}")
async def show_dead_letter(request: ConsoleRequestDep, id_: str) -> Response:
    """Show an unreadable entry, or lead to the delivery of another dead letter."""
    letter = (await service.get_dead_letter(request.app, id_)).letter
    if letter.delivery:
        return request.redirect(f"/deliveries/{letter.id}")
    fields = [
        (printable_bytes(name, 200), printable_bytes(value, MAX_FIELD), len(value))
        for name, value in (letter.raw or {}).items()
    ]
    hint, now_ms = dead_letter_hint(letter.reason, letter.id), await request.app.redis.now_ms()
    return request.render("dead_letter.html", letter=letter, fields=fields, hint=hint, now_ms=now_ms)


def _action_of(request: ConsoleRequest) -> str:
    return str(request.http.scope["path"]).rpartition("/")[2]


def _selection(ids: tuple[str, ...], fields: Mapping[str, str]) -> service.DeadLetterSelection | None:
    """Return the chosen dead letters, if any; raises UsageError when they are chosen in several ways."""
    selection = service.DeadLetterSelection(ids=ids, reason=fields.get("reason") or None, all=bool(fields.get("all")))
    if not (selection.ids or selection.reason or selection.all):
        return None
    selection.require()
    return selection


async def _with_events(app: AppContext, letters: Sequence[DeadLetter]) -> list[tuple[DeadLetter, Event | None]]:
    events = await find_events(app, (letter.delivery.event_ref for letter in letters if letter.delivery))
    return [(letter, events[letter.delivery.event_ref] if letter.delivery else None) for letter in letters]

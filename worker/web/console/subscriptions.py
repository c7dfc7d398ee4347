"""Subscriptions: the list, one with its lane (pause, mute, test, remove), and the form for a new or existing one.

The form's preview is an answer of the same form, so that it works without JavaScript; it saves nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from fastapi import Response

from worker.bootstrap.context import AppContext
from worker.domain.errors import TEMPLATE_MAX_BYTES, NotFound, UserError
from worker.domain.integration import Integration
from worker.domain.mrkdwn import duration
from worker.domain.subscription import LaneSet, Subscription
from worker.services import subscriptions as service
from worker.services.destinations import send_test_message
from worker.services.formatting import parse_span_ms
from worker.services.preview import RecentPreview, preview_recent
from worker.services.subscription_schema import KINDS, LEVELS, STYLES, InvalidSpec, SubscriptionSpec, parse_spec
from worker.web.auth import audited_router
from worker.web.console.deliveries import render_slack_message
from worker.web.console.request import ConsoleRequest, ConsoleRequestDep, Form
from worker.web.console.templating import page_cursor, paging

LIST = "/subscriptions"
ROWS, MAX_PARKED = 100, 1_000
MUTE_SPANS = ("30m", "1h", "2h", "8h", "1d", "3d", "7d")
MAX_LINES_LENGTH = 20_000
MAX_SUGGESTED, SMALL_DIRECTORY_PAGES = 300, 5
LIST_FIELDS = ("name", "project", "status", "action", "label", "entity_type", "entity_id")
TEXT_FIELDS = (
    "destination", "otherwise", "integration", "mention", "mention_from", "style", "quiet_hours", "time_zone",
    "quiet_below",
)  # fmt: skip
MESSAGE_TICKS = ("broadcast", "only_changes", "inhibit_resources")
TICK_FIELDS = ("with_children", *MESSAGE_TICKS)
#: Fields in parts of the form that are folded while these are empty.
MORE_FILTERS = ("label", "entity_type", "entity_id")
QUIET_FIELDS = ("quiet_hours", "time_zone")
MESSAGE_FIELDS = ("mention", "template", *MESSAGE_TICKS)
DEFAULTS = {"style": STYLES[0], "mention_from": LEVELS[-1], "quiet_below": LEVELS[-1]}
#: The audited change and the notice of each action without options; the last part of a path names its action.
SWITCHES = {
    "pause": ("subscription paused", "Paused: new events are not posted. Pending deliveries still are."),
    "resume": ("subscription resumed", "Resumed: new events are posted."),
    "unmute": ("subscription unmuted", "Unmuted: new events are posted."),
}
router = audited_router(LIST)


@dataclass(slots=True)
class FormState:
    """The form as it is shown: what was entered, and what is wrong with it."""

    fields: dict[str, object]  #: As `parse_spec` takes it; the form shows a tuple as lines.
    errors: dict[str, str] = field(default_factory=dict)
    preview: RecentPreview | None = None
    failure: UserError | None = None

    @classmethod
    def from_form(cls, form: Form) -> "FormState":
        """Return the state of a submitted form."""
        fields: dict[str, object] = {"kind": form.values("kind"), "min_severity": form.text("min_severity") or None}
        for name in LIST_FIELDS:
            fields[name] = tuple(filter(None, map(str.strip, form.text(name, MAX_LINES_LENGTH).split("\n"))))
        fields |= {name: form.text(name) for name in TEXT_FIELDS}
        fields |= {name: form.is_checked(name) for name in TICK_FIELDS}
        fields["template"] = form.text("template", TEMPLATE_MAX_BYTES + 1)
        return cls(fields)

    def __getitem__(self, name: str) -> object:
        return self.fields.get(name, "")

    def lines(self, name: str) -> str:
        """Return a field's values, one a line."""
        value = self.fields.get(name, ())
        return "\n".join(map(str, value)) if isinstance(value, tuple | list) else str(value)

    def uses(self, names: Sequence[str]) -> bool:
        """Return whether a field is filled in or wrong, so that its part of the form is unfolded."""
        return any(self.fields.get(name) or name in self.errors for name in names)


@router.get("")
async def list_all(request: ConsoleRequestDep) -> Response:
    """Show the subscriptions that match the search."""
    app, query = request.app, request.query("q")
    page, matching = await service.get_subscriptions_page(app, query, page_cursor(request.http), ROWS)
    specs = await service.describe_subscriptions(app, page.rows)
    parked = {lane.lane for lane in (await app.parked_lanes.page(None, MAX_PARKED)).rows}
    return request.render(
        "subscriptions.html",
        rows=[(spec, _is_parked(subscription, parked)) for spec, subscription in zip(specs, page.rows, strict=True)],
        matching=matching,
        total=len(await app.subscriptions.list_all()),
        query=query,
        paging=paging(request.http, {"q": query}, page.next),
        has_integrations=bool(await app.integrations.list_all()),
    )


def _is_parked(subscription: Subscription, parked: Collection[str]) -> bool:
    """Return whether a lane of a subscription is one of the parked ones."""
    lanes = LaneSet.of([subscription])
    return not lanes.names.isdisjoint(parked) or (bool(lanes.patterned) and any(map(subscription.uses_lane, parked)))


@router.get("/add")
async def show_new(request: ConsoleRequestDep) -> Response:
    """Show the form of a new subscription."""
    return await _render_form(request, FormState({**DEFAULTS, "destination": request.query("to")}))


@router.post("/add")
async def preview_or_add(request: ConsoleRequestDep) -> Response:
    """Preview a new subscription, or save it."""
    state = FormState.from_form(request.form)
    spec = await _parse_form(request, state)
    if spec is None or request.form.text("do") != "save":
        return await _render_form(request, state)
    request.audit("subscription added", f"to {spec.destination}")
    spec, is_new, warnings = await service.add_subscription(request.app, spec, spec.integration or None)
    if not is_new:
        request.discard_audit()
    text = f"Subscription {'added' if is_new else 'exists'}: {spec.destination}, {spec.filters}."
    return request.redirect(f"{LIST}/{spec.id}", text, warnings=warnings)


@router.get("/{id_}")
async def show(request: ConsoleRequestDep, id_: str) -> Response:
    """Show a subscription and its lane."""
    app = request.app
    status = await service.get_subscription_status(app, id_)
    return request.render(
        "subscription.html",
        status=status,
        subscription=status,
        spans=[(span, duration(parse_span_ms(span) / 1000)) for span in MUTE_SPANS],
        integration_ids={integration.name: integration.id for integration in await app.integrations.list_all()},
    )


@router.get("/{id_}/edit")
async def show_existing(request: ConsoleRequestDep, id_: str) -> Response:
    """Show the form of a subscription."""
    spec = await service.get_subscription(request.app, id_)
    return await _render_form(request, FormState(spec.model_dump()), spec)


@router.post("/{id_}/edit")
async def preview_or_change(request: ConsoleRequestDep, id_: str) -> Response:
    """Preview a changed subscription, or save it."""
    before, state = await service.get_subscription(request.app, id_), FormState.from_form(request.form)
    state.fields["paused"] = before.paused
    spec = await _parse_form(request, state)
    if spec is None or request.form.text("do") != "save":
        return await _render_form(request, state, before)
    request.audit("subscription changed", f"{id_} to {spec.destination}")
    spec, _, warnings = await service.replace_subscription(request.app, id_, spec)
    text = f"Subscription saved: {spec.destination}, {spec.filters}."
    return request.redirect(f"{LIST}/{spec.id}", text, warnings=warnings)


async def _parse_form(request: ConsoleRequest, state: FormState) -> SubscriptionSpec | None:
    """Return the subscription in the form, and add its preview unless it is saved; None when something is wrong."""
    app = request.app
    try:
        spec = parse_spec({name: value for name, value in state.fields.items() if name != "integration" or value})
    except InvalidSpec as error:
        state.errors = dict(error.faults)
        return None
    names = [integration.name for integration in await app.integrations.list_all()]
    if len(names) > 1 and spec.integration not in names:
        state.errors["integration"] = "choose one"
        return None
    if request.form.text("do") != "save":
        try:
            state.preview = await preview_recent(app, spec, spec.integration or None)
        except UserError as error:  # such as no integration yet
            state.failure = error
            return None
    return spec


async def _render_form(request: ConsoleRequest, state: FormState, existing: SubscriptionSpec | None = None) -> Response:
    integrations = await request.app.integrations.list_all()
    return request.render(
        "subscription_form.html",
        422 if state.errors or state.failure else 200,
        state=state,
        existing=existing,
        message=render_slack_message(state.preview.newest.message) if state.preview else None,
        integrations=[integration.name for integration in integrations],
        destinations=await _suggested_destinations(request.app, integrations),
        kinds=KINDS,
        severities=LEVELS,
        open_filters=state.uses(MORE_FILTERS),
        open_message=state.uses(MESSAGE_FIELDS) or state["style"] == "plain",
        open_quiet=state.uses(QUIET_FIELDS),
        now_ms=await request.app.redis.now_ms(),
    )


async def _suggested_destinations(app: AppContext, integrations: Sequence[Integration]) -> list[str]:
    """Return destinations that are already used, and the bot's channels in small workspaces."""
    destinations = {subscription.destination for subscription in await app.subscriptions.list_all()}
    for integration in integrations:
        if (await app.directory.get_status(integration.id)).pages <= SMALL_DIRECTORY_PAGES:
            channels = await app.directory.list_channels(integration.id)
            destinations |= {f"#{item.name}" for item in channels if item.is_member and not item.is_archived}
    return sorted(destinations)[:MAX_SUGGESTED]


@router.post("/{id_}/pause")
@router.post("/{id_}/resume")
@router.post("/{id_}/unmute")
async def switch(request: ConsoleRequestDep, id_: str) -> Response:
    """Pause or resume a subscription, or end its mute."""
    action = str(request.http.scope["path"]).rpartition("/")[2]
    change, notice = SWITCHES[action]
    request.audit(change, id_)
    if action == "unmute":
        await service.set_muted(request.app, [id_], 0)
    else:
        await service.set_paused(request.app, [id_], action == "pause")
    return request.redirect(f"{LIST}/{id_}", notice)


@router.post("/{id_}/mute")
async def mute(request: ConsoleRequestDep, id_: str) -> Response:
    """Mute a subscription for a time span, or until a time."""
    app, until = request.app, request.form.text("until") or None
    now_ms = await app.redis.now_ms()
    try:
        end_ms = service.end_of_mute_ms(None if until else request.form.text("span"), until, now_ms)
    except ValueError as error:
        await app.subscriptions.find(id_)
        return request.redirect(f"{LIST}/{id_}", f"Not muted: {error}.", "failed")
    length = duration((end_ms - now_ms) / 1000)
    request.audit("subscription muted", f"{id_} for {length}")
    await service.set_muted(app, [id_], end_ms)
    return request.redirect(f"{LIST}/{id_}", f"Muted for {length}; posting then resumes automatically.")


@router.post("/{id_}/test")
async def test(request: ConsoleRequestDep, id_: str) -> Response:
    """Post a test message."""
    subscription = await request.app.subscriptions.find(id_)
    request.audit("test message sent", f"{id_} to {subscription.destination}")
    try:
        await send_test_message(request.app, subscription)
    except NotFound:
        raise
    except UserError as error:
        return request.redirect(f"{LIST}/{id_}", error.text, "failed", error.fix)
    return request.redirect(f"{LIST}/{id_}", f"Test message posted to {subscription.destination}.")


@router.get("/{id_}/remove")
async def confirm_removal(request: ConsoleRequestDep, id_: str) -> Response:
    """Ask to confirm a removal."""
    pending, has_more = await service.count_pending(request.app, id_)
    subscription = await service.get_subscription(request.app, id_)
    return request.render("subscription_remove.html", subscription=subscription, pending=pending, has_more=has_more)


@router.post("/{id_}/remove")
async def remove(request: ConsoleRequestDep, id_: str) -> Response:
    """Remove a subscription, and discard its pending deliveries."""
    destination = (await service.get_subscription(request.app, id_)).destination
    request.audit("subscription removed", f"{id_} to {destination}")
    lost = service.describe_discarded(await service.remove_subscriptions(request.app, [id_]))
    return request.redirect(LIST, f"Subscription {id_} to {destination} removed.{lost}")

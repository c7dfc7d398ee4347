"""InfraKitchen's own notification body, as its server publishes it today: what happened is read from its sentences.

A body reports that a resource was changed (`event_type` update) or that a task ended (`event_type` execute). A name may
hold any text, even one that looks like a sentence, so each pattern is anchored to the side where no name is.
"""

import json
import re
from dataclasses import dataclass

from worker.domain.event import Entity, Event, Kind, Severity, has_log
from worker.publish import encode
from worker.sources.fields import EventData, one_line, spell_out
from worker.sources.json_decoder import JsonObject, Unreadable, decode_json, require_object

SOURCE = "infrakitchen"
SECRET_FIELDS = ("variables", "outputs", "resolved_variables", "configuration")
MASK = "***"
CLASS_NOTE = "InfraKitchen reports only the class of this error."
LOG_NOTE = f"{CLASS_NOTE} Its log has the reason."
_SEVERITIES = {"error": Severity.ERROR, "warning": Severity.WARNING}
_KINDS = {"workflow": Kind.WORKFLOW, "resource": Kind.RESOURCE, "alert": Kind.ALERT}
#: The name in a title such as `Resource 'db-main' was created`.
_QUOTED = re.compile(r"""(?:^|\s)(["'`])(?P<name>[^"'`]{1,200})\1""")
_CHANGED = re.compile(
    r"(?P<subject>.*) status has been changed \((?P<action>\w*)\)\s+"
    r"New status: (?P<status>\w*), new state: (?P<state>\w*)\s*",
    re.DOTALL,
)
_FAILED = re.compile(r"Task \S* ?failed for \S*?: (?P<reason>.*)", re.DOTALL)
#: The classes whose text is the reason.
_WRAPPER = re.compile(r"\A(?:UnhandledException|ExitWithoutSave):\s*(?=\S)")
_SECRET = re.compile(rb"['\"]?\b(?:%s)['\"]?\s*[:=]" % "|".join(SECRET_FIELDS).encode())
_OUTCOMES = ("succeeded", "failed", "timed out")
#: InfraKitchen's words for actions that have another one here.
_ACTIONS = {"rejected": "reject", "approved": "approve", "dryrun_with_temp_state": "dryrun"}
_CHANGES = {
    "approve": "approved", "reject": "rejected", "destroy": "to be destroyed", "recreate": "to be recreated",
    "update": "updated",
}  # fmt: skip
#: By the state of a resource: what is approved or rejected.
_APPROVALS = {"provisioned": "change ", "destroy": "destroy "}
#: By the state of a resource: what its execution is, what it does, and the state that it leads to.
_EXECUTIONS = {
    "provision": ("provisioning", "provisioned", "provisioned"),
    "provisioned": ("applying changes", "provisioned", "provisioned"),
    "destroy": ("destroy", "destroyed", "destroyed"),
}
_UNKNOWN_EXECUTION = ("applying changes", "changes applied", "provisioned")
#: By task: that it succeeded, and what failed or timed out otherwise.
_TASKS = {
    "": ("task succeeded", "task"), "create": ("created", "creation"), "update": ("updated", "update"),
    "delete": ("deleted", "deletion"), "destroy": ("destroyed", "destroy"), "recreate": ("recreated", "recreation"),
    "approve": ("approved", "approval"), "sync": ("synced", "sync"), "execute": ("run finished", "run"),
    "dryrun": ("dry run succeeded", "dry run"),
    "dryrun_with_temp_state": ("dry run with a temporary state succeeded", "dry run with a temporary state"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _News:
    """The content of a body's sentences."""

    action: str
    status: str
    severity: Severity
    words: str = ""  #: What happened, as the title ends; empty where the title stays as it is.
    name: str = ""
    state: str = ""
    text: str = ""
    error: str = ""


def parse_notification(fields: JsonObject, entry_id: str) -> Event:
    """Make an Event, whose id is the stream entry's, of a decoded body; raise Unreadable if it has no `entity_type`."""
    body = EventData.model_validate(fields)
    if not body.entity_type:
        if "_entity_name" in fields:
            known = "it reaches the stream through `ik-slack bridge` alone" if fields.get("id") else "it has no id"
            raise Unreadable(f"an entity event of InfraKitchen: {known}")
        raise Unreadable("neither a CloudEvent (specversion: missing) nor InfraKitchen's own (entity_type: missing)")
    value = fields.get("metadata")
    metadata = EventData.model_validate(value if isinstance(value, dict) else {})
    kind = _KINDS.get(body.entity_type.lower(), Kind.OTHER)
    type_words = spell_out(body.entity_type).capitalize()
    news = _read_change(body, type_words) or _read_task(body, type_words, kind, metadata.state) or _read_other(body)
    name = metadata.entity_name or metadata.name or news.name
    title = one_line(f"{type_words} {name}") + f": {news.words}"
    return Event(
        id=entry_id, source=SOURCE, type=f"{body.entity_type}.{body.event_type}".rstrip("."), kind=kind,
        entry_id=entry_id, entity=Entity(body.entity_type, body.entity_id, name), severity=news.severity,
        title=title if news.words else one_line(body.title) or one_line(f"{type_words} {body.event_type}"),
        status=news.status, severity_word=body.status, state=news.state or metadata.state, action=news.action,
        text=news.text, error=news.error or metadata.error_message, project=metadata.project,
        requester=metadata.person.name, requester_email=metadata.person.email, template=metadata.template,
        labels=metadata.labels,
        parents=metadata.parents,
        fingerprint=body.entity_id if kind is Kind.ALERT else "",
    )  # fmt: skip


def _read_change(body: EventData, type_words: str) -> _News | None:
    """Read `Resource NAME status has been changed (APPROVE)` and `New status: ready, new state: provision`.

    A resource is provisioned as before when its destroy is rejected, and when a person edits it.
    """
    changed = _CHANGED.fullmatch(body.message) if body.event_type != "execute" else None
    if changed is None:
        return None
    action, status, state = read_action(changed["action"]), changed["status"], changed["state"]
    words, text = _CHANGES.get(action) or spell_out(action) or "changed", ""
    if (action, status) == ("reject", "done"):
        words, status = f"rejected, still {spell_out(state)}", "rejected"
    elif (action, status, state) == ("update", "done", "provisioned"):
        words, text = "provisioned", "Updated."
    elif action in ("approve", "reject"):
        words = _APPROVALS.get(state, "") + words
    if status == "approval_pending":
        words += ", waiting for approval"
    elif status not in ("ready", "done", "rejected", ""):
        words += f" ({spell_out(status)})"
    if status == "error":
        severity = Severity.ERROR
    elif action in ("reject", "destroy") or status in ("approval_pending", "rejected"):
        severity = Severity.WARNING
    else:
        severity = Severity.INFO if action in _CHANGES else _status_severity(body)
    name = _without_type(body.title, type_words) or _without_type(changed["subject"], type_words)
    return _News(action, status, severity, words=words, name=name, state=state, text=text)


def _read_task(body: EventData, type_words: str, kind: Kind, state: str) -> _News | None:
    """Read the title `Resource execute failed`, and `Task execute failed for ID: REASON`; `state` is the last known."""
    title = _without_type(body.title, type_words)
    outcome = next((outcome for outcome in _OUTCOMES if title.endswith(f" {outcome}")), "")
    if body.event_type != "execute" or not outcome:
        return None
    task = title.removesuffix(outcome).strip()
    task = "" if task == "task" else task
    action = read_action(task) or body.event_type
    done, noun = _TASKS.get(task) or (f"{spell_out(task)} succeeded", spell_out(task))
    if task == "execute" and kind is Kind.RESOURCE:
        noun, done, next_state = _EXECUTIONS.get(state, _UNKNOWN_EXECUTION)
    else:
        next_state = state
    if outcome == "succeeded":
        status, done = _success(kind, action, done, noun)
        text = "Changes applied." if state == next_state and action == "execute" and kind is Kind.RESOURCE else ""
        return _News(action, status, Severity.INFO, words=done, state=state and next_state, text=text)
    failed = _FAILED.fullmatch(body.message)
    reason = _WRAPPER.sub("", failed["reason"], count=1).strip() if failed else ""
    note = "" if not (reason.isidentifier() and reason[0].isupper()) else LOG_NOTE if has_log(kind) else CLASS_NOTE
    text, error = note if failed else body.message, "" if reason == "Task is timed out" else reason
    return _News(action, "error", Severity.ERROR, words=f"{noun} {outcome}", text=text, error=error)


def _success(kind: Kind, action: str, done: str, noun: str) -> tuple[str, str]:
    """Return the status and the words of a task that succeeded.

    A workflow whose step failed is reported as succeeded too, and so is each of its steps: its task has only finished.
    """
    if kind is not Kind.OTHER and action == "approve":
        return "ready", done
    if kind is Kind.WORKFLOW and action != "dryrun":
        return "info", "task finished" if action == "execute" else f"{noun} task finished"
    return "done", done


def _read_other(body: EventData) -> _News:
    """Take a body without one of the known sentences as it is."""
    quoted = _QUOTED.search(body.title)
    name = quoted["name"] if quoted else ""
    return _News(body.event_type, body.status, _status_severity(body), name=name, text=body.message)


def read_action(word: str) -> str:
    """Return the action that a word of InfraKitchen's stands for, in any case."""
    word = word.lower()
    return _ACTIONS.get(word, word)


def _without_type(text: str, type_words: str) -> str:
    """Return what follows the type of the entity; empty where the text does not begin with it."""
    begin = f"{type_words} ".lower()
    return text.strip()[len(begin) :].strip() if text.lstrip().lower().startswith(begin) else ""


def _status_severity(body: EventData) -> Severity:
    return _SEVERITIES.get(body.status.lower(), Severity.INFO)


def with_metadata(raw: bytes, *, name: str, state: str) -> bytes:
    """Return an own body with the last known name and state of its entity in `metadata`, unless that is too large."""
    fields = require_object(decode_json(raw))
    given = fields.get("metadata")
    metadata = given if isinstance(given, dict) else {}
    known = {key: value for key, value in (("entity_name", name), ("state", state)) if not metadata.get(key)}
    try:
        return encode({**fields, "metadata": {**metadata, **known}})
    except ValueError:
        return raw


def mask_secrets(raw: bytes) -> bytes:
    """Return JSON with the values of SECRET_FIELDS masked, at any depth; other bytes end before the first of them."""
    try:
        value = decode_json(raw)
    except Unreadable:
        text = raw.replace(b"\0", b"")  # of UTF-16, every other byte
        secret = _SECRET.search(text)
        return text[: secret.start()] if secret else raw
    masked = _mask(value)
    return raw if masked == value else json.dumps(masked, ensure_ascii=False).encode()


def _mask(value: object) -> object:
    match value:
        case dict():
            return {key: MASK if key in SECRET_FIELDS else _mask(item) for key, item in value.items()}
        case list():
            return [_mask(item) for item in value]
        case str() if value.lstrip()[:1] in ("{", "["):  # an event inside an event
            return mask_secrets(value.encode()).decode(errors="replace")
        case _:
            return value

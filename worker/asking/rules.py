"""A subscription as people write it, in options or a file, becomes one of ours, or what is wrong with it."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from worker.asking.moments import moment_ms, written_moment
from worker.asking.templating import checked_template
from worker.asking.wording import when
from worker.domain.delivery import canonical_destination
from worker.domain.event import Kind, Severity
from worker.domain.quiet import FORM, known_zone, times
from worker.domain.subscription import Filters, Subscription

FORMS = "#channel, a conversation id (C…), someone@example.com or a user id (U…)"
MENTIONS = "<!here>, <!channel>, <!everyone>, <@U…> or <!subteam^S…>"
_MENTION = r"<!(?:here|channel|everyone)>|<@[UW][A-Z0-9]{7,}>|<!subteam\^S[A-Z0-9]{7,}(?:\|[^<>|]*)?>"
FILTERS = {
    "kind": "kinds",
    "entity_type": "entity_types",
    "entity_id": "entity_ids",
    "name": "names",
    "project": "projects",
    "status": "statuses",
    "label": "labels",
}
"""The filters with several values: as people write them, and in `Filters`."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text; put it in quotes")  # noqa: TRY004  # pydantic collects ValueErrors
    if not value.strip() or not value.isprintable():
        raise ValueError("is empty, or has characters that cannot be printed")
    return value


def _destination(value: object) -> str:
    if value is None:
        raise ValueError("is empty; a name with # stands in quotes: '#ops'")
    found = canonical_destination(_text(value))
    if found is None:
        raise ValueError(f"{value!r} is no destination; write {FORMS}")
    return found


def _label(value: object) -> str:
    key, equals, _ = _text(value).partition("=") if isinstance(value, str) else ("", "", "")
    if not key or not equals:
        raise ValueError(f"{value!r} is no label; write KEY=VALUE")
    return str(value)


def _mention(value: object) -> str:
    if value != "" and not re.fullmatch(rf"(?:{_MENTION})(?: (?:{_MENTION}))*", _text(value)):
        raise ValueError(f"{value!r} mentions nobody; write {MENTIONS}")
    return str(value)


def _several(value: object) -> object:
    """One value may stand without a list; the order does not matter."""
    values = value if isinstance(value, list | tuple) else [value]
    return (
        tuple(sorted(set(values), key=str)) if all(isinstance(one, str) for one in values) else tuple(values)
    )


def _template(value: object, info: ValidationInfo) -> str:
    """Tried on the kinds of events it is for."""
    return checked_template(value, info.data.get("kind", ()))


def _moment(value: object) -> str:
    """A moment in UTC; YAML makes one that stands without quotes a time itself."""
    written = value.isoformat() if isinstance(value, date) else value
    return "" if written in (None, "") else written_moment(moment_ms(_text(written)))


def _hours(value: object) -> str:
    return "" if value == "" else "{:%H:%M}-{:%H:%M}".format(*times(_text(value)))


def _zone(value: object, info: ValidationInfo) -> str:
    """Quiet hours and their zone come together."""
    hours = info.data.get("quiet_hours")
    if value == "":
        if hours:
            raise ValueError("is missing: in which one are these quiet hours, such as Europe/Stockholm?")
        return ""
    if hours == "":
        raise ValueError(f"is for quiet hours alone: say these too, such as {FORM}")
    return known_zone(_text(value)).key


Text = Annotated[str, BeforeValidator(_text)]
Level = Literal["info", "warning", "error", "critical"]
Sort = Literal["workflow", "resource", "alert", "other"]
Style = Literal["card", "plain"]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_several)]


class Rule(BaseModel):
    """A subscription as people write it; `integration` is a name, empty for the only one there is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, BeforeValidator(_text)] = ""
    integration: Text = ""
    destination: Annotated[str, BeforeValidator(_destination)]
    kind: Annotated[tuple[Sort, ...], BeforeValidator(_several)] = ()
    entity_type: Texts = ()
    entity_id: Texts = ()
    name: Texts = ()
    project: Texts = ()
    status: Texts = ()
    min_severity: Level | None = None
    label: Annotated[tuple[Annotated[str, BeforeValidator(_label)], ...], BeforeValidator(_several)] = ()
    paused: bool = False
    mention: Annotated[str, BeforeValidator(_mention)] = ""
    mention_from: Level = "critical"
    style: Style = "card"
    template: Annotated[str, BeforeValidator(_template)] = ""
    broadcast: bool = False
    only_changes: bool = False
    inhibit_resources: bool = False
    muted_until: Annotated[str, BeforeValidator(_moment)] = ""
    quiet_hours: Annotated[str, BeforeValidator(_hours)] = ""
    time_zone: Annotated[str, BeforeValidator(_zone)] = Field("", validate_default=True)
    quiet_below: Level = "critical"

    @property
    def told(self) -> tuple[object, ...]:
        """Which events it is for and where they go: all but its id and its options."""
        return self.integration, self.destination, self.min_severity, *(getattr(self, one) for one in FILTERS)

    def differences(self, other: "Rule") -> dict[str, tuple[object, object]]:
        """What another rule says differently, its id apart."""
        both = (
            (name, getattr(self, name), getattr(other, name)) for name in Rule.model_fields if name != "id"
        )
        return {name: (ours, theirs) for name, ours, theirs in both if ours != theirs}

    def beside(self, stored: "Rule") -> "Rule":
        """What becomes of a stored rule by this one: what is muted stays so, unless this one speaks of it."""
        spoken_of = "muted_until" in self.model_fields_set
        return self if spoken_of else self.model_copy(update={"muted_until": stored.muted_until})

    @property
    def state(self) -> str:
        """Whether it tells anything, in words."""
        muted = f"muted until {when(moment_ms(self.muted_until))}" if self.muted_until else ""
        return "paused" if self.paused else muted or "active"

    @property
    def filters(self) -> str:
        """Which events, in words."""
        parts = [
            f"{name.replace('_', ' ')} {' or '.join(getattr(self, name))}"
            for name in FILTERS
            if getattr(self, name)
        ]
        if self.min_severity:
            parts.append(f"severity {self.min_severity} or worse")
        return ", ".join(parts) or "every event"

    @property
    def options(self) -> str:
        """How they are told, in words; nothing when as usual."""
        mention = f"mentions {self.mention} from {self.mention_from}" if self.mention else ""
        template = "a template of its own" if self.template else ""
        plain = "plain" if self.style == "plain" else ""
        changes = "only changes" if self.only_changes else ""
        inhibits = "workflows in place of their resources" if self.inhibit_resources else ""
        broadcast = "replies to the channel too" if self.broadcast else ""
        quiet = (
            f"quiet {self.quiet_hours} {self.time_zone} below {self.quiet_below}" if self.quiet_hours else ""
        )
        return ", ".join(filter(None, (mention, plain, broadcast, template, changes, inhibits, quiet)))


class Faulty(ValueError):
    """What is wrong with a rule: each part, and what is wrong with it."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{part}{text}" for part, text in faults))
        self.faults = {part: text.removeprefix(": ").strip() for part, text in faults}


LEVELS, SORTS, STYLES = get_args(Level), get_args(Sort), get_args(Style)


def read_rule(written: Mapping[str, object]) -> Rule:
    """A rule from what was written; ValueError says in one line what is wrong with which part."""
    try:
        return Rule.model_validate(written)
    except ValidationError as error:
        raise Faulty([_in_words(fault) for fault in error.errors(include_url=False)]) from None


def rule_of(subscription: Subscription, integration: str, now_ms: int) -> Rule:
    """A subscription as people write it; what is stored is not judged anew."""
    filters = subscription.filters
    lowest = filters.min_severity
    several = {name: tuple(sorted(map(str, getattr(filters, field)))) for name, field in FILTERS.items()}
    kept: dict[str, Any] = {
        "id": subscription.id,
        "integration": integration,
        "destination": subscription.destination,
        **several,
        "min_severity": None if lowest is None else lowest.name.lower(),
        "paused": subscription.paused,
        "mention": subscription.mention,
        "mention_from": subscription.mention_from.name.lower(),
        "style": subscription.style,
        "template": subscription.template,
        "broadcast": subscription.broadcast,
        "only_changes": subscription.only_changes,
        "inhibit_resources": subscription.inhibit_resources,
        "muted_until": written_moment(subscription.muted_until_ms)
        if subscription.muted_until_ms > now_ms
        else "",
        "quiet_hours": subscription.quiet_hours,
        "time_zone": subscription.time_zone,
        "quiet_below": subscription.quiet_below.name.lower(),
    }
    return Rule.model_construct(**kept)


def subscription_of(rule: Rule, id_: str, integration_id: str, created_at_ms: int) -> Subscription:
    """The subscription a rule describes."""
    several = {FILTERS[name]: getattr(rule, name) for name in FILTERS}
    several["kinds"] = tuple(Kind(kind) for kind in rule.kind)
    lowest = None if rule.min_severity is None else Severity.ranked(rule.min_severity)
    return Subscription(
        id=id_,
        integration_id=integration_id,
        destination=rule.destination,
        filters=Filters(**several, min_severity=lowest),
        paused=rule.paused,
        mention=rule.mention,
        mention_from=Severity.ranked(rule.mention_from),
        style=rule.style,
        template=rule.template,
        broadcast=rule.broadcast,
        only_changes=rule.only_changes,
        inhibit_resources=rule.inhibit_resources,
        quiet_hours=rule.quiet_hours,
        time_zone=rule.time_zone,
        quiet_below=Severity.ranked(rule.quiet_below),
        created_at_ms=created_at_ms,
    )


def _in_words(fault: ErrorDetails) -> tuple[str, str]:
    """The part, and what is wrong with it, as a text that goes on after it."""
    field = str(fault["loc"][0]) if fault["loc"] else "it"
    match fault["type"]:
        case "missing":
            return field, " is missing"
        case "extra_forbidden":
            return field, f" is not known; known are {', '.join(Rule.model_fields)}"
        case "literal_error":
            return field, f": {fault['input']!r} is none of {fault['ctx']['expected'].replace(' or ', ', ')}"
        case "bool_parsing" | "bool_type":
            return field, f": {fault['input']!r} is neither true nor false"
        case "model_type" | "dict_type":
            return "", "is no mapping of names to values"
        case _:
            return field, f": {fault['msg'].removeprefix('Value error, ')}"

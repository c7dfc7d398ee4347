"""The schema of a subscription as options, files and JSON hold it; conversion to and from the domain's."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import date
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from worker.domain.delivery import Destination, canonical_destination, destination_form, id_in_capitals
from worker.domain.destination import has_placeholders, parse_pattern, without_placeholders
from worker.domain.event import Kind, Severity
from worker.domain.mrkdwn import cut
from worker.domain.quiet_hours import QUIET_HOURS_EXAMPLE, find_zone, parse_times
from worker.domain.subscription import SEVERITY_OPTIONS, Filters, Subscription
from worker.services.formatting import format_stored_time, format_time, format_validation_error, parse_time_ms
from worker.services.template_validation import validate_template

FORMS = "#channel, a conversation id (C…), someone@example.com, a user id (U…), or one made from the event"
PATTERNS = "'#team-{label:team}', '#res-{name}' or '{requester}'"
MENTIONS = "<!here>, <!channel>, <!everyone>, <@U…> or <!subteam^S…>"
_MENTION = r"<!(?:here|channel|everyone)>|<@[UW][A-Z0-9]{7,}>|<!subteam\^S[A-Z0-9]{7,}(?:\|[^<>|]*)?>"
#: InfraKitchen's own actions; the filter takes other words too.
ACTIONS = ("create", "update", "approve", "reject", "destroy", "recreate", "execute", "dryrun", "sync")
#: The filters that take several values: the name of each in `SubscriptionSpec` and in `Filters`.
FILTERS = {
    "kind": "kinds", "entity_type": "entity_types", "entity_id": "entity_ids", "name": "names",
    "project": "projects", "status": "statuses", "action": "actions", "label": "labels",
}  # fmt: skip


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; put it in quotes")  # noqa: TRY004  # pydantic collects ValueErrors
    if not value.strip() or not value.isprintable():
        raise ValueError("is empty, or has characters that cannot be printed")
    return value


def _destination(value: object) -> str:
    if value is None:
        raise ValueError("is empty; put a name with # in quotes: '#ops'")
    if has_placeholders(written := _text(value)):
        return str(parse_pattern(written))
    destination = canonical_destination(written)
    if destination is None:
        raise ValueError(describe_no_destination(str(value)))
    return destination


def _otherwise(value: object, info: ValidationInfo) -> str:
    """Return a second destination, which only one that is made from the event can need."""
    if value == "":
        return ""
    if not has_placeholders(info.data.get("destination", "{")):
        raise ValueError(f"needs a destination that is made from the event, such as {PATTERNS}")
    return _destination(value)


def describe_no_destination(written: str) -> str:
    """Return why a text is no destination, with what it may mean."""
    if destination_form(written.strip()) is not Destination.CHANNEL_NAME:
        return f"{cut(written, 100)!r} is not a destination; write {FORMS}"
    id_ = id_in_capitals(written)
    meant = f"did you mean {id_}?" if id_ else "ids have 9 characters or more."
    return f"{written!r} is not a destination; {meant} A channel of that name is written '#{written.strip().lower()}'"


def _with_children(value: bool, info: ValidationInfo) -> bool:
    if value and not info.data.get("entity_id", "?"):
        raise ValueError("needs the id of an entity")
    return value


def _label(value: object) -> str:
    key, equals, _ = _text(value).partition("=") if isinstance(value, str) else ("", "", "")
    if not key or not equals:
        raise ValueError(f"{value!r} is not a label; write KEY=VALUE")
    return str(value)


def _mention(value: object) -> str:
    if value != "" and not re.fullmatch(rf"(?:{_MENTION})(?: (?:{_MENTION}))*", _text(value)):
        raise ValueError(f"{value!r} is not a mention; write {MENTIONS}")
    return str(value)


def _list(value: object) -> object:
    """Return a single value as a list, and a list of texts in order."""
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(sorted(set(values), key=str)) if all(isinstance(item, str) for item in values) else tuple(values)


def _time(value: object) -> str:
    text = value.isoformat() if isinstance(value, date) else value  # YAML parses a time without quotes itself
    return "" if text in (None, "") else format_stored_time(parse_time_ms(_text(text)))


def _hours(value: object) -> str:
    return "" if value == "" else "{:%H:%M}-{:%H:%M}".format(*parse_times(_text(value)))


def _zone(value: object, info: ValidationInfo) -> str:
    """Require a time zone with quiet hours, and none without."""
    hours = info.data.get("quiet_hours")
    if value == "":
        if hours:
            raise ValueError("is missing; quiet hours need one, such as Europe/Stockholm")
        return ""
    if hours == "":
        raise ValueError(f"needs quiet hours, such as {QUIET_HOURS_EXAMPLE}")
    return find_zone(_text(value)).key


Text = Annotated[str, BeforeValidator(_text)]
Level = Literal["info", "warning", "error", "critical"]
KindName = Literal["workflow", "resource", "alert", "other"]
Style = Literal["card", "plain"]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_list)]
LEVELS, KINDS, STYLES = get_args(Level), get_args(KindName), get_args(Style)


class SubscriptionSpec(BaseModel):
    """A subscription. `integration` is a name; empty means the only integration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, BeforeValidator(_text)] = ""
    integration: Text = ""
    destination: Annotated[str, BeforeValidator(_destination)]
    otherwise: Annotated[str, BeforeValidator(_otherwise)] = ""
    kind: Annotated[tuple[KindName, ...], BeforeValidator(_list)] = ()
    entity_type: Texts = ()
    entity_id: Texts = ()
    with_children: Annotated[bool, AfterValidator(_with_children)] = False
    name: Texts = ()
    project: Texts = ()
    status: Texts = ()
    action: Annotated[Texts, AfterValidator(lambda words: tuple(sorted({word.lower() for word in words})))] = ()
    min_severity: Level | None = None
    label: Annotated[tuple[Annotated[str, BeforeValidator(_label)], ...], BeforeValidator(_list)] = ()
    paused: bool = False
    mention: Annotated[str, BeforeValidator(_mention)] = ""
    mention_from: Level = "critical"
    style: Style = "card"
    template: Annotated[
        str, BeforeValidator(lambda value, info: validate_template(value, info.data.get("kind", ())))
    ] = ""
    broadcast: bool = False
    only_changes: bool = False
    inhibit_resources: bool = False
    muted_until: Annotated[str, BeforeValidator(_time)] = ""
    quiet_hours: Annotated[str, BeforeValidator(_hours)] = ""
    time_zone: Annotated[str, BeforeValidator(_zone)] = Field("", validate_default=True)
    quiet_below: Level = "critical"

    @property
    def routing_key(self) -> tuple[object, ...]:
        """Which events go where: everything but the id and the options."""
        filters = (getattr(self, name) for name in FILTERS)
        return self.integration, self.destination, self.min_severity, self.with_children, *filters

    @property
    def fixed_destinations(self) -> tuple[str, ...]:
        """The destinations that are the same for every event."""
        return without_placeholders(self.destination, self.otherwise)

    def differences(self, other: "SubscriptionSpec") -> dict[str, tuple[object, object]]:
        """Return the values of this and the other subscription by field where they differ; ids are not compared."""
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in SubscriptionSpec.model_fields}
        return {name: (ours, theirs) for name, (ours, theirs) in pairs.items() if name != "id" and ours != theirs}

    def with_mute_of(self, stored: "SubscriptionSpec") -> "SubscriptionSpec":
        """Return this subscription with the mute of the stored one, unless it sets its own."""
        if "muted_until" in self.model_fields_set:
            return self
        return self.model_copy(update={"muted_until": stored.muted_until})

    @property
    def state(self) -> str:
        """`paused`, `muted until …` or `active`."""
        muted = f"muted until {format_time(parse_time_ms(self.muted_until))}" if self.muted_until else ""
        return "paused" if self.paused else muted or "active"

    @property
    def filters(self) -> str:
        """The filters, as a phrase."""
        parts = [
            f"{name.replace('_', ' ')} {' or '.join(values)}" for name in FILTERS if (values := getattr(self, name))
        ]
        if self.with_children:
            parts.append("and what belongs to it")
        if self.min_severity:
            parts.append(f"severity {self.min_severity} or worse")
        return ", ".join(parts) or "every event"

    @property
    def options(self) -> str:
        """The options that differ from their defaults, as a phrase."""
        phrases = (
            (self.otherwise, f"otherwise to {self.otherwise}"),
            (self.mention, f"mentions {self.mention} from {self.mention_from}"),
            (self.style == "plain", "plain"),
            (self.broadcast, "replies also in the channel"),
            (self.template, "own template"),
            (self.only_changes, "only changes"),
            (self.inhibit_resources, "workflows suppress their resources"),
            (self.quiet_hours, f"quiet {self.quiet_hours} {self.time_zone} below {self.quiet_below}"),
        )
        return ", ".join(phrase for is_set, phrase in phrases if is_set)


class InvalidSpec(ValueError):
    """The fields of a subscription that are wrong, each with what is wrong with it; field "" is the whole."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = faults
        super().__init__(self.describe(str))

    def describe(self, rename: Callable[[str], str]) -> str:
        """Return all faults in one line, with each field's name as `rename` gives it."""
        return "; ".join(f"{rename(field)}: {text}" if field else text for field, text in self.faults.items())


def parse_spec(values: Mapping[str, object]) -> SubscriptionSpec:
    """Return a validated subscription. Raises InvalidSpec."""
    try:
        return SubscriptionSpec.model_validate(values)
    except ValidationError as error:
        raise InvalidSpec(dict(map(_fault, error.errors(include_url=False)))) from None


def _fault(error: ErrorDetails) -> tuple[str, str]:
    """Return the field, and what is wrong with it."""
    field = str(error["loc"][0]) if error["loc"] else ""
    match error["type"]:
        case "missing":
            return field, "is missing"
        case "extra_forbidden" if field in ("to", "channel"):
            return field, "is unknown (did you mean destination?)"
        case "literal_error":
            return field, f"{error['input']!r} is not one of {error['ctx']['expected'].replace(' or ', ', ')}"
        case "bool_parsing" | "bool_type":
            return field, f"{error['input']!r} is neither true nor false"
        case "model_type" | "dict_type":
            return field, "it is not a mapping of names to values"
        case _:
            return field, format_validation_error(error, SubscriptionSpec.model_fields)


_BLANK = SubscriptionSpec.model_construct(destination="")  # a copy of it takes a fifth of the time of a new one
#: The fields of a subscription that are the same in the domain: its destination and its options.
_SHARED = tuple(f.name for f in fields(Subscription) if f.name in SubscriptionSpec.model_fields and f.name != "id")


def spec_from_subscription(subscription: Subscription, integration: str, now_ms: int) -> SubscriptionSpec:
    """Return the schema of a stored subscription, without validating it again. A mute that is over is left out."""
    filters, mute_ms = subscription.filters, subscription.muted_until_ms
    values: dict[str, Any] = {name: getattr(subscription, name) for name in _SHARED}
    values |= {name: values[name].name.lower() for name in SEVERITY_OPTIONS}
    values |= {name: tuple(sorted(map(str, getattr(filters, field)))) for name, field in FILTERS.items()}
    values["min_severity"] = None if filters.min_severity is None else filters.min_severity.name.lower()
    values["with_children"] = filters.with_children
    values["muted_until"] = format_stored_time(mute_ms) if mute_ms > now_ms else ""
    return _BLANK.model_copy(update=values | {"id": subscription.id, "integration": integration})


def subscription_from_spec(spec: SubscriptionSpec, id_: str, integration_id: str, created_at_ms: int) -> Subscription:
    """Return the domain's subscription, without its mute."""
    values = {name: getattr(spec, name) for name in _SHARED}
    values |= {name: Severity.ranked(values[name]) for name in SEVERITY_OPTIONS}
    filters = {field: getattr(spec, name) for name, field in FILTERS.items()}
    filters["kinds"] = tuple(map(Kind, spec.kind))
    min_severity = None if spec.min_severity is None else Severity.ranked(spec.min_severity)
    return Subscription(
        id=id_,
        integration_id=integration_id,
        filters=Filters(**filters, min_severity=min_severity, with_children=spec.with_children),
        created_at_ms=created_at_ms,
        **values,
    )

"""The part that webhooks of monitoring systems share: a group of alerts becomes CloudEvents, one an alert.

The mapping from labels to an event's severity, entity and project is applied when the webhook arrives: the stream
holds CloudEvents.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from worker.domain.delivery import stable_hash
from worker.domain.event import MAX_EVENT_BYTES, UUID, Severity, plain_word
from worker.domain.mrkdwn import ADDRESS_MAX, cut
from worker.domain.presentation import is_private
from worker.sources.alerts import labels_fingerprint, parse_values
from worker.sources.fields import Lenient, Text, Texts, Timestamp, format_rfc3339, parse_text, parse_texts
from worker.sources.json_decoder import JsonObject, Unreadable

#: Rounds of cuts that make an alert fit: characters of a text, and how many labels and annotations are kept.
_CUTS = ((65_536, 1_000), (16_384, 1_000), (4_096, 500), (1_024, 200), (256, 20))
ALERT_BYTES = MAX_EVENT_BYTES - 1_024  # the rest is for the id and time of a later round
NAME_MAX, SOURCE_MAX = 200, 500

SeverityName = Literal["info", "warning", "error", "critical"]
ENTITY_ID = ("entity_id", "resource_id", "workflow_id")
#: Names of labels; one name needs no list.
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


def _plain_keys(value: object) -> object:
    return {plain_word(str(word)): name for word, name in value.items()} if isinstance(value, dict) else value


class LabelMapping(BaseModel):
    """Labels to read per field of an event: the first with a value counts; `ALERT_LABELS` names a file with others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    severity: Names = ("severity", "priority", "level")
    #: A house's own words for a severity; they come before those that `Severity.known` knows.
    severities: Annotated[dict[str, SeverityName], BeforeValidator(_plain_keys)] = {}
    entity_id: Names = ENTITY_ID
    entity_type: Names = ("entity_type",)
    entity_name: Names = ("entity_name", "resource_name", "workflow_name")
    project: Names = ("project",)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of a YAML or JSON file; raise ValueError that names the wrong part in one line."""
        import yaml  # imported here, because most commands read no such file

        try:
            return cls.model_validate(yaml.safe_load(text) or {})
        except yaml.YAMLError as error:
            raise ValueError(f"the file is not YAML: {str(error).splitlines()[0]}") from None
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, fault["loc"])) or "the file"
            known = f"; known are {', '.join(cls.model_fields)}" if fault["type"] == "extra_forbidden" else ""
            raise ValueError(f"{place}: {fault['msg']}{known}") from None

    def severity_of(self, labels: Mapping[str, str]) -> str:
        """Return `critical`, `error`, `warning` or `info`, else the word as written; empty without a word."""
        word = _first(labels, self.severity).strip()
        rank = Severity.known(word)
        return self.severities.get(plain_word(word)) or (word if rank is None else rank.name.lower())

    def entity_of(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return type, id and name of the entity that the alert is about; empty when no label has an id.

        Other systems use a label such as `resource_id` for things of their own: unless the mapping names the label,
        only an id as InfraKitchen makes it, a UUID, is an entity's. Without a label for the type, the name of the id's
        label gives it: `resource_id` is a resource's.
        """
        id_label = next((name for name in self.entity_id if labels.get(name)), None)
        is_mapped = "entity_id" in self.model_fields_set
        if id_label is None or not (is_mapped or UUID.fullmatch(labels[id_label].strip())):
            return {}
        is_typed = id_label.endswith("_id") and id_label != ENTITY_ID[0]
        type_ = _first(labels, self.entity_type) or (id_label.removesuffix("_id") if is_typed else "resource")
        return {"type": type_, "id": labels[id_label], "name": _first(labels, self.entity_name)}


def _first(labels: Mapping[str, str], names: Sequence[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


class MonitoringAlert(Lenient):
    """One alert of a group; the last six fields are Grafana's."""

    status: Text = ""
    labels: Texts = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)
    startsAt: Timestamp = None  # noqa: N815  # the spelling of Alertmanager and Grafana
    endsAt: Timestamp = None  # noqa: N815
    generatorURL: Text = ""  # noqa: N815
    fingerprint: Text = ""
    silenceURL: Text = ""  # noqa: N815
    dashboardURL: Text = ""  # noqa: N815
    panelURL: Text = ""  # noqa: N815
    imageURL: Text = ""  # noqa: N815
    values: Texts = Field(default_factory=dict)
    valueString: Text = ""  # noqa: N815


class FaultReason(StrEnum):
    """Why an alert of a webhook is not reported as its sender knows it."""

    TRUNCATED = "truncated"  # its sender left it out
    UNREADABLE = "unreadable"
    CUT = "cut"  # it was too large, and is reported with shorter texts


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with one alert of a webhook, or with several."""

    reason: FaultReason
    text: str  #: What is wrong, where, and what to do.
    alerts: int = 1


@dataclass(frozen=True, slots=True)
class AlertGroup:
    """The content of a webhook."""

    events: tuple[JsonObject, ...]  #: A CloudEvent for each alert that can be read, and one that counts those left out.
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringSystem:
    """A monitoring system that sends webhooks."""

    name: str
    source: str  #: The source of the events where a webhook names none.
    version: str  #: The version of the webhook, as the request states it.
    setup: str  #: How to configure the system so that it sends this version.
    truncation_fix: str  #: How to configure the system so that it leaves out no alerts of a large group.
    #: Returns the page that silences alerts with these labels, and the page that lists them, by the system's address.
    silence_url: Callable[[str, Mapping[str, str]], str]
    list_url: Callable[[str, Mapping[str, str]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Webhook:
    """The part of a webhook that all its alerts share."""

    system: MonitoringSystem
    label_mapping: LabelMapping
    fingerprint_prefix: str
    source: str
    external_url: str  #: The system's own address; empty when it gives none.
    origin: str  #: The name of the installation, else the host of its address, which messages show.
    status: str


def parse_group(
    fields: JsonObject, system: MonitoringSystem, label_mapping: LabelMapping, source: str, fingerprint_prefix: str = ""
) -> AlertGroup:
    """Convert every alert of a webhook; raise Unreadable when `system` did not send it in the known version.

    `source` is the name that the request gives the installation; without one, the body's own address is the
    source: two installations have different ones, a highly available pair may share its address.
    """
    version = parse_text(fields.get("version"))
    if version != system.version:
        problem = f"{version!r} is not known" if version else "missing"
        raise Unreadable(f"version: {problem}: {system.name} sends {system.version!r}. {system.setup}")
    alerts = fields.get("alerts")
    if not isinstance(alerts, list) or not alerts:
        raise Unreadable(f"alerts: missing or empty: the request has nothing to report. {system.setup}")
    # Without the password that an address may contain: the source and the links are readable.
    external_url = re.sub(r"://[^/@]*@", "://", parse_text(fields.get("externalURL")).strip().rstrip("/"), count=1)
    address = external_url if re.match("https?://.{1,1000}$", external_url, re.IGNORECASE) else ""
    webhook = _Webhook(
        system=system, label_mapping=label_mapping, fingerprint_prefix=fingerprint_prefix, external_url=address,
        source=cut(source.strip() or external_url or system.source, SOURCE_MAX),
        origin=source.strip() or address.partition("://")[2].partition("/")[0], status=parse_text(fields.get("status")),
    )  # fmt: skip
    parsed, events, faults = [], [], []
    for index, value in enumerate(alerts):
        try:
            alert = _parse_alert(value, webhook.status)
        except Unreadable as error:
            faults.append(Fault(FaultReason.UNREADABLE, f"alerts[{index}].{error}"))
            continue
        event, limit = _fitting_cloudevent(webhook, alert)
        if limit:
            text = f"the alert is too large, its longest texts were cut to {limit:,} characters"
            faults.append(Fault(FaultReason.CUT, f"alerts[{index}]: {text}"))
        parsed.append(alert)
        events.append(event)
    truncated = parse_text(fields.get("truncatedAlerts"))
    if truncated.isdecimal() and (count := int(truncated[:9])):
        text = f"truncatedAlerts: {_left_out(webhook, count)}. {system.truncation_fix}"
        faults.append(Fault(FaultReason.TRUNCATED, text, count))
        if parsed:
            events.append(_left_out_event(webhook, fields, parsed, count))
    return AlertGroup(tuple(events), tuple(faults))


def _parse_alert(value: object, group_status: str) -> MonitoringAlert:
    """Check the parts of an alert that an event needs: its status (or its group's), its labels and its start."""
    if not isinstance(value, dict):
        raise Unreadable("status: missing: an alert is an object")
    alert = MonitoringAlert.model_validate(value)
    alert.status = alert.status or group_status
    if alert.status not in ("firing", "resolved"):
        problem = f"{alert.status!r} is neither firing nor resolved" if alert.status else "missing: firing or resolved"
        raise Unreadable(f"status: {problem}")
    if not alert.labels:
        raise Unreadable("labels: missing: they identify the alert")
    if alert.startsAt is None or alert.startsAt <= 0:
        raise Unreadable("startsAt: missing, or no RFC 3339 time: it separates one firing from the next")
    return alert


def _fitting_cloudevent(webhook: _Webhook, alert: MonitoringAlert) -> tuple[JsonObject, int]:
    """Convert an alert; return the event, and the number of characters its texts were cut to so that it fits, or 0."""
    fingerprint = alert.fingerprint or labels_fingerprint(alert.labels)
    alert.fingerprint = fingerprint if len(fingerprint) <= NAME_MAX else stable_hash(fingerprint)
    event, limit = _cloudevent(webhook, alert), 0
    for limit, count in _CUTS if _size(event) > ALERT_BYTES else ():
        event = _cloudevent(webhook, _shortened(alert, limit, count))
        if _size(event) <= ALERT_BYTES:
            break
    return event, limit


def _size(event: JsonObject) -> int:
    return len(json.dumps(event, ensure_ascii=False).encode(errors="replace"))


def _shortened(alert: MonitoringAlert, limit: int, count: int) -> MonitoringAlert:
    """Return an alert whose texts have at most `limit` characters, with its first `count` labels and annotations."""

    def shorten(texts: Mapping[str, str]) -> dict[str, str]:
        kept = [name for name in texts if len(name) <= NAME_MAX]
        return {name: cut(texts[name], limit) for name in kept[:count]}

    shortened = alert.model_copy()
    for field, value in alert:
        if isinstance(value, dict):
            setattr(shortened, field, shorten(value))
        elif isinstance(value, str) and field != "fingerprint" and len(value) > limit:
            setattr(shortened, field, "" if field.endswith("URL") else cut(value, limit))
    return shortened


def _cloudevent(webhook: _Webhook, alert: MonitoringAlert) -> JsonObject:
    """Convert an alert to a CloudEvent; an alert that is sent again in the same state has the same id.

    The event's time is when the alert began, and for a resolved alert when it ended: a late `firing` is then older
    than the resolution, and does not reopen the alert. Grafana 12 gives a resolved alert its end as its start, too:
    how long it lasted is then not known from it.
    """
    labels, mapping, began_s = alert.labels, webhook.label_mapping, alert.startsAt or 0.0
    resolved = alert.status == "resolved"
    ended_s = max(alert.endsAt, began_s) if resolved and alert.endsAt and alert.endsAt > 0 else None
    fingerprint = webhook.fingerprint_prefix + alert.fingerprint
    at_s = ended_s if resolved else began_s
    times = {"starts_at": None if ended_s == began_s else began_s, "ends_at": ended_s}
    data = {
        "name": labels.get("alertname", ""), "fingerprint": fingerprint, "severity": mapping.severity_of(labels),
        "labels": labels, "annotations": alert.annotations, **_formatted(times), "generator_url": alert.generatorURL,
        "links": [{"label": label, "url": url} for label, url in _links(webhook, alert).items()],
        "values": alert.values or parse_values(alert.valueString), "entity": mapping.entity_of(labels),
        "project": _first(labels, mapping.project), "origin": webhook.origin,
    }  # fmt: skip
    id_ = f"{fingerprint}:{round(began_s * 1000)}:{alert.status}"
    return _new_cloudevent(webhook, id_, alert.status, data) | _formatted({"time": at_s})


def _new_cloudevent(webhook: _Webhook, id_: str, word: str, data: Mapping[str, object]) -> JsonObject:
    type_ = f"io.infrakitchen.alert.{word}"
    return {"specversion": "1.0", "id": id_, "source": webhook.source, "type": type_, "data": data}


def _formatted(times: Mapping[str, float | None]) -> dict[str, str]:
    return {name: format_rfc3339(at_s) for name, at_s in times.items() if at_s is not None}


def _links(webhook: _Webhook, alert: MonitoringAlert) -> dict[str, str]:
    """Return the pages of an alert by their labels; a resolved alert needs no silence."""
    uid, panel = (alert.annotations.get(name, "") for name in ("__dashboardUid__", "__panelId__"))
    # Where Grafana sends its alerts through an Alertmanager, it gives these ids instead of addresses.
    grafana, is_grafana, _ = alert.generatorURL.partition("/alerting/")
    dashboard = f"{grafana}/d/{quote(uid, safe='')}" if uid and is_grafana else ""
    silence = alert.silenceURL or (
        webhook.external_url and webhook.system.silence_url(webhook.external_url, alert.labels)
    )
    links = {
        "Dashboard": alert.dashboardURL or dashboard,
        "Panel": alert.panelURL or (dashboard and panel and f"{dashboard}?viewPanel={quote(panel, safe='')}"),
        "Silence": "" if alert.status == "resolved" else silence,
        "Image": alert.imageURL,
    }
    return {label: url for label, url in links.items() if 0 < len(url) <= ADDRESS_MAX}


def _left_out(webhook: _Webhook, count: int) -> str:
    resolved = "resolved " if webhook.status == "resolved" else ""
    return f"{webhook.system.name} left out {count:,} {resolved}alert{'s' if count > 1 else ''} of this group"


def _left_out_event(webhook: _Webhook, fields: JsonObject, alerts: Sequence[MonitoringAlert], count: int) -> JsonObject:
    """Return the one event for the alerts left out of a group, with what the group has in common."""
    labels = dict(set.intersection(*(set(alert.labels.items()) for alert in alerts)))
    group_labels = parse_texts(fields.get("groupLabels"))
    group_key = parse_text(fields.get("groupKey")) or labels_fingerprint(group_labels)
    began_ms = round(min(alert.startsAt or 0.0 for alert in alerts) * 1000)
    group = ", ".join(f"{name}={value}" for name, value in group_labels.items() if not is_private(name))
    status = "resolved" if webhook.status == "resolved" else "firing"
    severities = (webhook.label_mapping.severity_of(alert.labels) for alert in alerts)
    severity: str = max(severities, key=lambda word: (Severity.ranked(word), word))
    list_url = webhook.external_url and webhook.system.list_url(webhook.external_url, group_labels)
    shown = f"{len(alerts):,} of {len(alerts) + count:,} alerts are reported"
    data = {
        "name": cut(labels.get("alertname", ""), NAME_MAX), "title": _left_out(webhook, count), "status": status,
        "summary": f"{shown}{f' ({cut(group, 500)})' if group else ''}. {webhook.system.truncation_fix}",
        "severity": severity, "generator_url": list_url if len(list_url) <= ADDRESS_MAX else "",
        "labels": {name: cut(labels[name], 500) for name in sorted(labels)[:50] if len(name) <= NAME_MAX},
        "project": cut(_first(labels, webhook.label_mapping.project), NAME_MAX),
    }  # fmt: skip
    id_ = f"left-out-{stable_hash(webhook.fingerprint_prefix + group_key)}:{began_ms}:{status}"
    return _new_cloudevent(webhook, id_, "left_out", data)

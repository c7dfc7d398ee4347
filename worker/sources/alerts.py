"""Alerts: what an alert's labels and annotations say, in the words and order that different senders use.

Grafana's labels and annotations: https://grafana.com/docs/grafana/latest/alerting/fundamentals/alert-rules/
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial

from worker.domain.delivery import stable_hash
from worker.domain.event import Entity, Event, Kind, Link, Severity, plain_word
from worker.domain.mrkdwn import normalize_url
from worker.domain.presentation import is_private
from worker.sources.fields import EventData, one_line
from worker.telemetry import log_event

log = logging.getLogger("worker.events")

LINKS_LIMIT = 10
#: Annotations with the text of an alert that has neither `summary` nor `description`; the first with a value counts.
_TEXTS = ("message", "title", "details", "value", "error")
#: Links in the order they are shown; those with other labels come after the panel.
_LINK_ORDER = ("Runbook", "Playbook", "Dashboard", "Panel", "", "Silence", "Image")
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|[_\-\s]+")
_OF_ADDRESS = frozenset(("url", "uri", "link", "href"))
#: One variable of Grafana's `valueString`: `[ var='B' labels={host=h1} type='reduce' value=6.7 ]`.
_VARIABLE = re.compile(r"(?:var|metric)='(?P<name>[^']*)'.*?\bvalue=(?P<value>[^\s\]]+)")
#: Problems of a rule itself, not of what it watches: by the alert's name, or by Grafana's reason for its state.
_RULE_PROBLEMS = {
    "DatasourceError": "Query error", "Error": "Query error", "DatasourceNoData": "No data", "NoData": "No data",
}  # fmt: skip
#: Names of test notifications, in the form of `plain_word`.
_TEST_NAMES = frozenset(("testalert", "alerttest", "test", "testnotification"))


def alert_event(new_event: partial[Event], data: EventData, subject: str, status: str) -> Event:
    """Make the Event of an alert; a resolved one keeps its severity, and so reaches the same destinations."""
    labels, annotations = _without_private(data.labels), _without_private(data.annotations)
    name = data.name or labels.get("alertname", "")
    severity = data.severity or labels.get("severity", "")
    fingerprint = data.fingerprint or (labels_fingerprint(data.labels, name) if name or labels else subject)
    entity = Entity("alert", fingerprint, name)
    if data.entity.get("id"):
        entity = Entity(data.entity.get("type", ""), data.entity["id"], data.entity.get("name", ""))
    problem = _RULE_PROBLEMS.get(name if name.startswith("Datasource") else annotations.get("grafana_state_reason", ""))
    text = _problem_reason(problem, labels, annotations) if problem else alert_text(data, annotations)
    return new_event(
        kind=Kind.ALERT, entity=entity, severity=rank_severity(severity), severity_word=_severity_word(severity),
        title=_title(name or text.partition("\n")[0] or f"Alert {data.fingerprint or subject}", problem, labels),
        status=status, text=text, url=data.generator_url, labels=labels, annotations=annotations, origin=data.origin,
        started_at_s=data.starts_at, ended_at_s=data.ends_at, fingerprint=fingerprint,
        links=_links(data.links, annotations),
        values=data.values or parse_values(data.annotations.get("__value_string__", "")),
    )  # fmt: skip


def left_out_event(new_event: partial[Event], data: EventData) -> Event:
    """Make the Event that reports alerts which a monitoring system left out of a group; it never becomes a card."""
    return new_event(
        kind=Kind.ALERT, entity=Entity("alert", "", data.name), severity=rank_severity(data.severity),
        title=one_line(data.title), status=data.status, text=data.summary, url=data.generator_url,
        labels=_without_private(data.labels),
    )  # fmt: skip


def labels_fingerprint(labels: Mapping[str, str], *prefix: str) -> str:
    """Return a fingerprint of an alert's labels: as in Alertmanager, alerts with the same labels are the same alert."""
    return stable_hash("\0".join((*prefix, *(f"{name}={labels[name]}" for name in sorted(labels)))))


def rank_severity(word: str) -> Severity:
    """Return the rank of a severity word, and log a word that is not known: once for each process and word."""
    if plain_word(word) and Severity.known(word) is None:
        _log_unknown(plain_word(word)[:60])
    return Severity.ranked(word)


@lru_cache(maxsize=256)
def _log_unknown(word: str) -> None:
    fix = "map it in the file of ALERT_LABELS, see docs/monitoring.md"
    log_event(log, logging.WARNING, "severity unknown, ranked as warning", word=word, fix=fix)


def _severity_word(word: str) -> str:
    """Return the name of a known severity, any other word as written."""
    rank = Severity.known(word)
    return word.strip() if rank is None else rank.name.lower()


def parse_values(value_string: str) -> dict[str, str]:
    """Return the values in Grafana's `valueString` by the names of their queries."""
    return {match["name"]: match["value"] for match in _VARIABLE.finditer(value_string)}


def paragraphs(*texts: str) -> str:
    """Join texts, each on lines of its own, without empty and repeated ones."""
    return "\n".join(dict.fromkeys(filter(None, map(str.strip, texts))))


def alert_text(data: EventData, annotations: Mapping[str, str]) -> str:
    """Return the text of an alert: its summary and description, else the annotation that is most like these."""
    by_name = {name.lower(): value for name, value in annotations.items()}
    summary = data.summary or by_name.get("summary", "")
    if text := paragraphs(summary, data.description or by_name.get("description", "")):
        return text
    by_name |= {name: value for name, value in (("message", data.message), ("title", data.title)) if value}
    if text := next((by_name[name].strip() for name in _TEXTS if by_name.get(name, "").strip()), ""):
        return text
    others = {name: value for name, value in annotations.items() if value.strip() and not _is_address(name, value)}
    return paragraphs(*(value if len(others) == 1 else f"{name}: {value}" for name, value in others.items()))


def _title(name: str, problem: str | None, labels: Mapping[str, str]) -> str:
    """Return the title of a named alert; one about its own rule, and a test notification, say so."""
    if problem:
        rule = labels.get("rulename", "" if name in _RULE_PROBLEMS else name)
        return one_line(f"{problem}: {rule}" if rule else problem)
    return one_line(f"Test notification: {name}" if plain_word(name) in _TEST_NAMES else name)


def _problem_reason(problem: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Return why Grafana could not evaluate a rule; its own summary would say that what it watches is down."""
    error = next((value.strip() for key, value in annotations.items() if key.lower() == "error"), "")
    query = " ".join(filter(None, ("Query", labels.get("ref_id", ""))))
    source = labels.get("datasource_uid", "")
    where = f"{query} of the data source {source}" if source else query
    happened = "returned no data" if problem == "No data" else "failed"
    return error or f"{where} {happened}, so the rule could not be evaluated."


def _links(given: Iterable[Link], annotations: Mapping[str, str]) -> tuple[Link, ...]:
    """Return the links that the sender gave and the annotations that are addresses, each address once."""
    by_url: dict[str, Link] = {}
    for link in (*given, *_annotation_links(annotations)):
        if address := normalize_url(link.url):
            by_url.setdefault(address, Link(link.label, address))
    rank = {label: place for place, label in enumerate(_LINK_ORDER)}
    return tuple(sorted(by_url.values(), key=lambda link: rank.get(link.label, rank[""]))[:LINKS_LIMIT])


def _annotation_links(annotations: Mapping[str, str]) -> Iterator[Link]:
    for name, value in annotations.items():
        if _is_address(name, value):
            words = [word for word in _words(name) if word.lower() not in _OF_ADDRESS]
            yield Link(" ".join(words).capitalize() or "Link", value.strip())


def _words(name: str) -> list[str]:
    return [word for word in _CAMEL_CASE.split(name) if word]


def _is_address(name: str, value: str) -> bool:
    """Return whether an annotation is a web address; only one whose name says so may have spaces."""
    is_named = any(word.lower() in _OF_ADDRESS for word in _words(name))
    return bool(normalize_url(value)) and (is_named or len(value.split()) == 1)


def _without_private(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in texts.items() if not is_private(name)}

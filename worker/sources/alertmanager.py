"""Prometheus Alertmanager's webhook, version 4: each alert of a group becomes one event.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import json
from collections.abc import Mapping
from urllib.parse import quote

from worker.domain.presentation import is_private
from worker.sources.json_decoder import JsonObject, Unreadable
from worker.sources.monitoring import AlertGroup, LabelMapping, MonitoringSystem, parse_group


def _filter(labels: Mapping[str, str]) -> str:
    """Return matchers for these labels, as the pages of Alertmanager take them."""
    matchers = (
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items() if not is_private(name)
    )
    return quote("{" + ",".join(matchers) + "}", safe="")


ALERTMANAGER = MonitoringSystem(
    name="Alertmanager",
    source="alertmanager",
    version="4",
    setup="Point a `webhook_configs` receiver of Alertmanager 0.6 or newer here.",
    truncation_fix="To receive all alerts of a group, set `max_alerts: 0` in the receiver.",
    silence_url=lambda address, labels: f"{address}/#/silences/new?filter={_filter(labels)}",
    list_url=lambda address, labels: f"{address}/#/alerts?filter={_filter(labels)}",
)


def parse_alertmanager(fields: JsonObject, label_mapping: LabelMapping, source: str) -> AlertGroup:
    """Convert a decoded webhook to CloudEvents; raise Unreadable when Alertmanager did not send it."""
    if "orgId" in fields:
        raise Unreadable("orgId: this is Grafana's webhook: send it to /webhooks/grafana")
    return parse_group(fields, ALERTMANAGER, label_mapping, source)

"""Grafana's webhook of unified alerting, version 1: each alert of a group becomes one event.

Source: https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
"""

from worker.sources.fields import parse_text
from worker.sources.json_decoder import JsonObject, Unreadable
from worker.sources.monitoring import AlertGroup, LabelMapping, MonitoringSystem, parse_group

GRAFANA = MonitoringSystem(
    name="Grafana",
    source="grafana",
    version="1",
    setup="Use a contact point of type Webhook of Grafana 9 or newer, with no custom body.",
    truncation_fix="To receive all alerts of a group, set Max Alerts of the contact point to 0.",
    silence_url=lambda _address, _labels: "",  # each alert has its own
    list_url=lambda address, _labels: f"{address}/alerting/list",
)


def parse_grafana(fields: JsonObject, label_mapping: LabelMapping, source: str) -> AlertGroup:
    """Convert a decoded webhook to CloudEvents; raise Unreadable when Grafana did not send it."""
    if parse_text(fields.get("version")) == "4":
        raise Unreadable("version: '4' is Alertmanager's webhook: send it to /webhooks/alertmanager")
    organization = parse_text(fields.get("orgId"))
    # Alerts of two organizations may have the same labels, and so the same fingerprint.
    prefix = "" if organization in ("", "1") else f"{organization}-"
    return parse_group(fields, GRAFANA, label_mapping, source, prefix)

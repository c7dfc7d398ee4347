"""Grafana's webhook of unified alerting, version 1: each alert of a group becomes one event.

Source: https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
"""

from worker.sources.decode import Fields, Unreadable
from worker.sources.labelled import Labelled
from worker.sources.lenient import text
from worker.sources.webhook import Group, MonitoringAlert, System, cloudevent, read_group

SOURCE = "grafana"
GRAFANA = System(
    "Grafana",
    "1",
    "Use a contact point of type Webhook of Grafana 9 or newer, with no custom body.",
    "Those that came were taken; set Max Alerts of the contact point to 0, so that all come.",
)


def read_grafana(fields: Fields, labelled: Labelled) -> Group:
    """A decoded webhook; raises Unreadable when it is none."""
    if text(fields.get("version")) == "4":
        raise Unreadable("version: '4' is Alertmanager's webhook: send it to /webhooks/alertmanager")
    organization = text(fields.get("orgId"))

    def event(alert: MonitoringAlert) -> Fields:
        # Alerts of two organizations may have the same labels, and so the same fingerprint.
        if organization not in ("", "1") and alert.fingerprint:
            alert = alert.model_copy(update={"fingerprint": f"{organization}-{alert.fingerprint}"})
        return cloudevent(SOURCE, alert, labelled)

    return read_group(fields, GRAFANA, event)

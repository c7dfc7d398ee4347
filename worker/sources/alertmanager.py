"""Prometheus Alertmanager's webhook, version 4: each alert of a group becomes one event.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from worker.sources.decode import Fields, Unreadable
from worker.sources.labelled import Labelled
from worker.sources.webhook import Group, MonitoringAlert, System, cloudevent, read_group

SOURCE = "alertmanager"
"""The same for every Alertmanager: those of a pair send each alert twice, and it is one event."""

ALERTMANAGER = System(
    "Alertmanager",
    "4",
    "Point a `webhook_configs` receiver of Alertmanager 0.6 or newer here.",
    "Those that came were taken; set `max_alerts: 0` in the receiver, so that all come.",
)


def read_alertmanager(fields: Fields, labelled: Labelled) -> Group:
    """A decoded webhook; raises Unreadable when it is none."""
    if "orgId" in fields:
        raise Unreadable("orgId: this is Grafana's webhook: send it to /webhooks/grafana")

    def event(alert: MonitoringAlert) -> Fields:
        return cloudevent(SOURCE, alert, labelled)

    return read_group(fields, ALERTMANAGER, event)

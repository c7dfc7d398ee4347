"""Celery's configuration. Its messages are only wake-up calls, so losing one loses nothing."""

import ssl
from urllib.parse import parse_qsl, quote

from kombu.entity import Exchange, Queue

from config.addresses import SENTINEL_SCHEME, parse_sentinel
from config.settings import Settings

CERTIFICATE_CHECKS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
#: The queue of each task. Workers consume all but `dead_letters`, which Flower shows.
ROUTES = {
    "slack.drain": "lanes",
    "slack.refresh_directory": "upkeep",
    "slack.replay": "upkeep",
    "slack.dead_letter": "dead_letters",
}


def celery_config(settings: Settings, broker_url: str) -> dict[str, object]:
    """Return the options for `app.conf.update`."""
    queues = [
        Queue(name, Exchange(name, type="direct"), routing_key=name)  # type: ignore[no-untyped-call]  # kombu's
        for name in dict.fromkeys(ROUTES.values())
    ]
    return {
        **_broker(broker_url, settings.key_prefix),
        "task_queues": queues,
        "task_routes": {task: {"queue": queue} for task, queue in ROUTES.items()},
        "task_default_queue": "lanes",
        "task_create_missing_queues": False,
        "accept_content": ["json"],
        # Results cost a quarter of a task's time or more, and Flower shows the outcome from events.
        "result_backend": None,
        "task_ignore_result": True,
        # A call counts against the prefetch limit until it is done, so the next one goes to another worker.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # Flower learns of a task in a queue without a consumer from the sent event alone.
        "task_send_sent_event": True,
        "task_track_started": True,
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1},
        # At least eight threads, so that a long directory refresh does not block the drains.
        "worker_concurrency": max(settings.worker_concurrency, 8),
        "worker_pool": "threads",
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,
        "worker_soft_shutdown_timeout": 20.0,
        "worker_enable_soft_shutdown_on_idle": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def _broker(url: str, key_prefix: str) -> dict[str, object]:
    options: dict[str, object] = {
        # A wake-up call is deleted when it is received; the sweeper wakes the lanes of a dead worker. If Kombu kept
        # it until the acknowledgement, a Redis restart would end Celery 5.7's worker: the acknowledgement fails on
        # the lost connection, and the worker does not survive that error.
        "ack_emulation": False,
        # The default of 10 is too few when many threads finish at the same time.
        "max_connections": 64,
        "global_keyprefix": f"{key_prefix}:celery:",
        "client_name": "ik-slack",
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry_on_timeout": True,
    }
    config: dict[str, object] = {
        "broker_url": url,
        "broker_transport_options": options,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # An error reply of Redis (no memory, a replica since a failover) must not end a worker: it reconnects.
        "broker_channel_error_retry": True,
        "broker_pool_acquire_timeout": 10,
    }
    if url.startswith(SENTINEL_SCHEME):  # Celery's form is `sentinel://host:26379/DB;sentinel://host2:26379/DB`
        address = parse_sentinel(url)
        login = f"{quote(address.username or '', '')}:{quote(address.password or '', '')}@" if address.password else ""
        hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in address.hosts)
        config["broker_url"] = ";".join(f"{SENTINEL_SCHEME}{login}{host}/{address.db}" for host in hosts)
        options["master_name"] = address.service
    else:
        config["broker_url"], _, query = url.partition("?")  # Kombu knows no parameters of redis-py
        if url.startswith("rediss://"):
            config["broker_use_ssl"] = _tls_options(query)
    return config


def _tls_options(query: str) -> dict[str, object]:
    """Return the `ssl_…` parameters of an address as options of Kombu, which verifies no certificate by default.

    Flower's Broker page reads them here too.
    """
    options: dict[str, object] = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    for name, value in parse_qsl(query):
        if name == "ssl_cert_reqs":
            options[name] = CERTIFICATE_CHECKS.get(value.lower().removeprefix("cert_"), ssl.CERT_REQUIRED)
        elif name == "ssl_check_hostname":
            options[name] = value.lower() in ("true", "1", "yes")
        elif name.startswith("ssl_"):
            options[name] = value
    if options["ssl_cert_reqs"] is ssl.CERT_NONE:
        options["ssl_check_hostname"] = False
    return options

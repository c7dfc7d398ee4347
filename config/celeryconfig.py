"""Celery's configuration: its messages are only wake-up calls, so nothing here has to survive anything."""

import ssl
from urllib.parse import quote

from kombu.entity import Exchange, Queue

from config.sentinel import SCHEME, parse_sentinel
from config.settings import Settings, SettingsError

QUEUES = ("lanes", "upkeep", "dead_letters")
"""Workers consume the first two; dead letters lie in the third for Flower to show."""

ROUTES = {
    "slack.drain": "lanes",
    "slack.refresh_directory": "upkeep",
    "slack.replay": "upkeep",
    "slack.dead_letter": "dead_letters",
}

THREADS_LEAST = 8
"""So many tasks at once in any case, so that a long directory read stops no lane."""


def celery_config(settings: Settings) -> dict[str, object]:
    """For `app.conf.update`. Raises SettingsError when no broker is set."""
    if settings.broker is None:
        raise SettingsError(
            "REDIS_URL: not set; set it (redis://host:6379/0), or run `ik-slack up`, which brings a server"
        )
    return {
        **_broker(settings.broker.get_secret_value(), settings.key_prefix),
        **_TASKS,
        **_WORKER,
        "task_queues": [_queue(name) for name in QUEUES],
        "task_routes": {task: {"queue": queue} for task, queue in ROUTES.items()},
        "worker_concurrency": max(settings.worker_concurrency, THREADS_LEAST),
    }


_TASKS: dict[str, object] = {
    "task_default_queue": "lanes",
    "task_create_missing_queues": False,
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    "timezone": "UTC",
    # Results cost a quarter of a task's time or more, and Flower shows the outcome from events.
    "result_backend": None,
    "task_ignore_result": True,
    # Until it is done a call counts against what a worker takes, so that another worker gets the next.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    # Without the sent event Flower never hears of a task in a queue that nobody consumes.
    "task_send_sent_event": True,
    "task_track_started": True,
    "task_publish_retry_policy": {
        "max_retries": 3,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 1,
    },
}

_WORKER: dict[str, object] = {
    "worker_pool": "threads",
    "worker_prefetch_multiplier": 1,
    "worker_send_task_events": True,
    "worker_soft_shutdown_timeout": 20.0,
    "worker_enable_soft_shutdown_on_idle": True,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
}


def _queue(name: str) -> Queue:
    return Queue(name, Exchange(name, type="direct"), routing_key=name)  # type: ignore[no-untyped-call]  # kombu's


def _broker(url: str, key_prefix: str) -> dict[str, object]:
    options: dict[str, object] = {
        # A wake-up call is gone once it is taken: what a dead worker held, the sweep wakes again. If it were
        # kept until acknowledged, one in hand would end Celery 5.7's worker when Redis restarts: it takes an
        # acknowledgement that fails on the lost connection for a fault it cannot survive.
        "ack_emulation": False,
        # The default of 10 is too few when many threads finish at once.
        "max_connections": 64,
        "global_keyprefix": f"{key_prefix}:celery:",
        "client_name": "ik-slack",
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry_on_timeout": True,
    }
    found: dict[str, object] = {
        "broker_url": url,
        "broker_transport_options": options,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # What Redis refuses (no memory, a replica since a failover) must not end a worker: it connects anew.
        "broker_channel_error_retry": True,
        "broker_pool_acquire_timeout": 10,
    }
    if url.startswith(SCHEME):
        found["broker_url"], options["master_name"] = _celerys_sentinel(url)
    if url.startswith("rediss://") and "ssl_" not in url:
        # Kombu checks no certificate unless it is told to.
        found["broker_use_ssl"] = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    return found


def _celerys_sentinel(url: str) -> tuple[str, str]:
    """Celery's own form, `sentinel://host:26379/DB;sentinel://host2:26379/DB`, and the service's name."""
    address = parse_sentinel(url)
    login = f"{quote(address.username or '', '')}:{quote(address.password or '', '')}@"
    hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in address.hosts)
    urls = (f"{SCHEME}{login if address.password else ''}{host}/{address.db}" for host in hosts)
    return ";".join(urls), address.service

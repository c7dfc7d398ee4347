"""Celery's configuration follows the settings."""

import ssl
from typing import Any

from celery import Celery

from config.celeryconfig import ROUTES, celery_config
from config.settings import Settings


def config(url: str = "redis://h/0", **more: Any) -> dict[str, Any]:
    return celery_config(Settings.load(**more), url)


def test_the_queues_are_lanes_upkeep_and_dead_letters() -> None:
    app = Celery(set_as_current=False)
    app.conf.update(config())
    assert [queue.name for queue in app.conf.task_queues] == ["lanes", "upkeep", "dead_letters"]
    assert app.amqp.router.route({}, "slack.dead_letter")["queue"].name == "dead_letters"


def test_every_task_has_its_queue() -> None:
    routes = config()["task_routes"]
    assert {task: route["queue"] for task, route in routes.items()} == ROUTES


def test_unknown_queues_are_not_created() -> None:
    assert config()["task_create_missing_queues"] is False


def test_celerys_keys_have_the_prefix() -> None:
    assert config(key_prefix="two")["broker_transport_options"]["global_keyprefix"] == "two:celery:"


def test_a_worker_has_a_thread_for_each_drain() -> None:
    found = config(worker_concurrency=70)
    assert (found["worker_pool"], found["worker_concurrency"], found["worker_prefetch_multiplier"]) == (
        "threads",
        70,
        1,
    )
    assert config(worker_concurrency=1)["worker_concurrency"] == 8  # a directory read stops no lane


def test_no_results_are_kept() -> None:
    found = config()
    assert found["result_backend"] is None
    assert found["task_ignore_result"] is True


def test_a_sentinel_address_becomes_celerys_own_form() -> None:
    found = config("sentinel://me:p%40ss@one:26379,two,[::1]:26380/mymaster/3")
    assert found["broker_url"].split(";") == [
        "sentinel://me:p%40ss@one:26379/3",
        "sentinel://me:p%40ss@two:26379/3",
        "sentinel://me:p%40ss@[::1]:26380/3",
    ]
    assert found["broker_transport_options"]["master_name"] == "mymaster"


def test_celery_finds_the_sentinels_and_hides_the_password() -> None:
    app = Celery(set_as_current=False)
    app.conf.update(config("sentinel://:secret@one,two/mymaster"))
    with app.connection() as connection:
        assert [(part.split("@")[-1]) for part in connection.alt] == ["one:26379/0", "two:26379/0"]
        assert connection.password == "secret"
        assert "secret" not in connection.as_uri()


def test_certificates_are_verified_unless_the_address_disables_it() -> None:
    assert config("rediss://h")["broker_use_ssl"] == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    unverified = config("rediss://h?ssl_cert_reqs=none&health_check_interval=5")
    assert unverified["broker_use_ssl"] == {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False}
    assert unverified["broker_url"] == "rediss://h"
    assert config("redis://h/2?health_check_interval=5")["broker_url"] == "redis://h/2"
    for address in ("rediss://:ssl_cert_reqs=none@h", "rediss://ssl_h/0", "rediss://h?ssl_cert_reqs=nothing"):
        assert config(address)["broker_use_ssl"]["ssl_cert_reqs"] == ssl.CERT_REQUIRED
    own = config("rediss://h?ssl_ca_certs=/ca.pem&ssl_check_hostname=false")["broker_use_ssl"]
    assert own == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False}
    assert "broker_use_ssl" not in config("redis://h")

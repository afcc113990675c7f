"""What a worker's Celery does when a connection to Redis breaks."""

import pytest

from seqd.settings import Settings
from seqd.worker.broker import TolerantQoS, create_app


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_listener_counts_a_wakeup_as_answered_though_its_acknowledgement_is_lost(scheme):
    url = f"{scheme}://:password@localhost:6379/0?ssl_cert_reqs=required"
    connection = create_app(url, Settings()).connection_for_read()

    assert connection.get_transport_cls().Channel.QoS is TolerantQoS


def test_a_unix_socket_and_its_database_are_written_as_celery_takes_them():
    url = "unix://default:secret@/a%20folder/redis.sock"

    addresses = [create_app(f"{url}{db}", Settings()).conf.broker_url for db in ("", "?db=3")]

    assert addresses == [
        f"redis+socket://default:secret@/a%20folder/redis.sock?virtual_host={db}" for db in (0, 3)
    ]


def test_a_worker_keeps_no_results_and_gives_no_running_work_up_when_a_connection_breaks():
    settings = create_app("redis://localhost:6379/0", Settings()).conf

    assert (settings.result_backend, settings.task_ignore_result) == (None, True)
    assert settings.worker_cancel_long_running_tasks_on_connection_loss is False

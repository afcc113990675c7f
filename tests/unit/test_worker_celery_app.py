"""What a worker's Celery does when a connection to Redis breaks."""

import pytest

from seqd.ledger.sentinel import PrimaryConnection
from seqd.settings import Settings
from seqd.worker.broker import TolerantChannel, TolerantQoS, create_app


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_listener_counts_a_wakeup_as_answered_though_its_acknowledgement_is_lost(scheme):
    url = f"{scheme}://:password@localhost:6379/0?ssl_cert_reqs=required"
    connection = create_app(url, Settings()).connection_for_read()

    assert connection.get_transport_cls().Channel.QoS is TolerantQoS


def test_a_worker_keeps_no_results_and_gives_no_running_work_up_when_a_connection_breaks():
    settings = create_app("redis://localhost:6379/0", Settings()).conf

    assert (settings.result_backend, settings.task_ignore_result) == (None, True)
    assert settings.worker_cancel_long_running_tasks_on_connection_loss is False


def test_celery_listens_to_the_primary_of_the_sentinels_on_a_channel_of_ours():
    url = "redis+sentinel://u:p%2Fw@h1:1,[::1]/mymaster/3"
    settings = Settings(redis_sentinel_username="s", redis_sentinel_password="sentinel-secret")

    connection = create_app(url, settings).connection_for_read()

    channel = connection.get_transport_cls().Channel
    assert issubclass(channel, TolerantChannel)
    assert channel.QoS is TolerantQoS
    assert channel.connection_class is PrimaryConnection
    # kombu goes on with the next Sentinel after a failure, and forgets the login of the one before.
    assert connection.alt == ["sentinel://u:p%2Fw@h1:1/3", "sentinel://u:p%2Fw@[::1]:26379/3"]
    login = connection.transport_options["sentinel_kwargs"]
    assert connection.transport_options["master_name"] == "mymaster"
    assert (login["username"], login["password"]) == ("s", "sentinel-secret")
    assert "ssl" not in login

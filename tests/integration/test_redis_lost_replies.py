"""A write is applied and its reply is lost, so that it is sent again: the work is as if done once.

Step by step that is held beside the model, which loses a reply in seven (`model/`).
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, live_settings, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def cluster_behind(proxy: TcpProxy, tmp_path: Path) -> Iterator[Cluster]:
    with closing(Cluster(live_settings(proxy, tmp_path), tmp_path)) as cluster:
        yield cluster


def test_a_worker_hears_wakeups_after_celerys_own_replies_were_lost(
    cluster_behind: Cluster, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Celery takes note of a message and acknowledges it with a MULTI each."""
    # A child takes one claim a wakeup, and waits for no more itself: Celery hears each.
    cluster_behind.start_ready(slice_s=0.001)
    client = cluster_behind.client()

    for losses in (1, 2, 1, 2):
        proxy.drop_next_replies(losses, to=b"MULTI")
        client.classify(["a"], model="echo").wait(timeout_s=120)
        wait_until(lambda: proxy.is_done, "the replies were lost")

    assert client.classify(["b"], model="echo").wait(timeout_s=120).counts.succeeded == 1
    # A wakeup that failed is a line, and leaves no publisher behind that fails at the next one.
    assert "Traceback" not in caplog.text

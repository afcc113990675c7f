"""The message that wakes a worker: written without Celery, and read by Celery's own workers."""

import base64
import json
import os
import subprocess
import sys

import pytest
from celery import Celery

from redis_fixtures import PrivateServer
from seqd.ledger import Ledger, connect
from seqd.ledger.wakeup import WAKEUP_TASK, broker_settings
from seqd.settings import Settings
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

ROUTE = "classify.echo"

#: What differs from one message to the next.
IDENTIFIERS = ("id", "root_id", "correlation_id", "delivery_tag")


def messages_in(url: str, settings: Settings) -> list[dict[str, object]]:
    with connect(url) as redis:
        queue = redis.lrange(settings.keys.wakeup(ROUTE), 0, -1)
    return [json.loads(message) for message in queue]


def part_of(message: dict[str, object], name: str) -> dict[str, object]:
    part = message[name]
    assert isinstance(part, dict)
    return {key: value for key, value in part.items() if key not in IDENTIFIERS}


def test_a_wakeup_says_what_celery_itself_would_send(
    private_server: PrivateServer, prefix: str
) -> None:
    settings = Settings(prefix=prefix)
    with Celery("another", set_as_current=False) as app:
        app.conf.update(broker_settings(private_server.url, settings))
        app.send_task(WAKEUP_TASK, args=[], queue=f"wakeup.{ROUTE}", ignore_result=True)
        (of_celery,) = messages_in(private_server.url, settings)
    with connect(private_server.url) as redis:
        redis.delete(settings.keys.wakeup(ROUTE))
        Ledger(redis, settings).work.wake(ROUTE)

    (ours,) = messages_in(private_server.url, settings)

    assert ours.keys() == of_celery.keys()
    assert base64.b64decode(str(ours["body"])) == base64.b64decode(str(of_celery["body"]))
    for part in ("headers", "properties"):
        assert part_of(ours, part).items() <= part_of(of_celery, part).items()


def test_no_two_wakeups_have_an_identifier_in_common(
    private_server: PrivateServer, prefix: str
) -> None:
    settings, texts = Settings(prefix=prefix), list[bytes]()

    with connect(private_server.url) as redis:
        for _ in range(3):
            Ledger(redis, settings).work.wake(ROUTE)
            texts += redis.lrange(settings.keys.wakeup(ROUTE), 0, -1)
            redis.delete(settings.keys.wakeup(ROUTE))

    assert len(texts) == len(set(texts)) == 3


#: Runs a command, and prints the modules that it took, on stderr.
COMMAND = """
import json, sys
from seqd.__main__ import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print("\\n" + json.dumps(sorted(sys.modules)), file=sys.stderr)
"""

#: What takes long to import, and a text on the command line can do without.
NOT_NEEDED = {
    "celery", "kombu", "amqp", "billiard", "pluggy", "rich", "jsonschema", "numpy",
    "seqd.hookspecs", "seqd.models", "seqd.worker", "seqd.ledger.work", "seqd.inputs.datasets",
    "seqd_schemas.manifests", "seqd_schemas.schema_files",
}  # fmt: skip


def test_a_wakeup_brings_work_by_celery_and_what_comes_soon_after_is_taken_without_it(
    empty_cluster: Cluster,
) -> None:
    # Looks so far apart that only the wakeup explains it.
    worker = empty_cluster.start_ready(reconcile_s=60.0)
    settings, client = empty_cluster.settings, empty_cluster.client()
    unacknowledged = f"{settings.prefix}:unacked"
    with connect(str(settings.redis_url)) as redis:
        assert client.predict("a", model="echo", timeout_s=120).label == "a"
        first = redis.hkeys(unacknowledged)

        for _ in range(5):
            client.predict("a", model="echo", timeout_s=120)

        assert len(first) == 1
        assert redis.hkeys(unacknowledged) == first
        # Celery is asked for the next one only when it has been quiet for a while.
        wait_until(lambda: not redis.exists(unacknowledged), "the wakeup is acknowledged")

        # A worker that waits for more ends at once when it is told to, and leaves no wakeup.
        assert client.predict("a", model="echo", timeout_s=120).label == "a"
        assert worker.stop() == 0
        assert redis.exists(unacknowledged, settings.keys.wakeup(ROUTE)) == 0
    assert "dropped a message" not in worker.whole_log()


def test_a_command_that_classifies_a_text_imports_neither_celery_nor_what_it_shows_no_one(
    cluster: Cluster,
) -> None:
    settings = cluster.settings
    variables = {"SEQD_REDIS_URL": str(settings.redis_url), "SEQD_PREFIX": settings.prefix}
    environment = os.environ | variables
    environment.pop("FORCE_COLOR", None)

    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "classify", "--text", "a", "--model", "echo"],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "succeeded"
    summary, *_, modules = done.stderr.splitlines()
    assert summary.startswith("1 classified by echo")
    assert NOT_NEEDED & set(json.loads(modules)) == set()

"""A `labels.json` that somebody edits, or restores from a backup: the fleet follows."""

import os
import shutil
from pathlib import Path

import pytest

from seqd.client import Client
from seqd.errors import SeqdError
from seqd.models.store import ModelStore
from store_builders import a_change, publish
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

REFERENCES = ("echo", "echo@best", "echo@2")

#: What a person writes, and the versions that `REFERENCES` mean then, or the error.
EDITS = {
    '{"production": 1, "best": 2}': (1, 2, 2),
    "{": ("artifact_damaged", "artifact_damaged", 2),
    '{"production": 2, "best": 1}': (2, 1, 2),
    '{"production": 7, "best": 1}': ("unknown_model", 1, 2),
    "{}": ("unknown_model", "unknown_model", 2),
}


def meant_by(client: Client) -> list[object]:
    """Return what a client takes `REFERENCES` for."""

    def version_of(reference: str) -> object:
        try:
            return client.classify(["a"], model=reference).wait(timeout_s=120).version
        except SeqdError as error:
            return error.code

    return [version_of(reference) for reference in REFERENCES]


def stored(store: ModelStore) -> list[object]:
    """Return what the store takes `REFERENCES` for."""

    def version_of(reference: str) -> object:
        try:
            return store.resolve(reference)[1]
        except SeqdError as error:
            return error.code

    return [version_of(reference) for reference in REFERENCES]


@pytest.mark.slow  # six waits for a heartbeat
def test_labels_that_are_edited_mean_the_same_to_store_and_clients_within_two_heartbeats(
    empty_cluster: Cluster, tmp_path: Path
):
    cluster = empty_cluster
    store, client = ModelStore(cluster.settings.store_dir, {}), cluster.client()
    cluster.publish_echo(cluster.settings.store_dir)
    labels = store.folder_of("echo") / "labels.json"
    labels.write_text("[]")
    worker = cluster.start_ready()
    child = worker.child_pid()
    assert meant_by(client) == ["artifact_damaged", "artifact_damaged", 2]

    for content, meant in EDITS.items():
        labels.write_text(content)

        assert tuple(stored(store)) == meant
        wait_until(lambda meant=meant: tuple(meant_by(client)) == meant, f"what {content} means")

    backup = tmp_path / "backup"
    backup.write_text('{"best": 1}')
    shutil.copystat(labels, backup)
    os.replace(backup, labels)
    wait_until(lambda: meant_by(client) == ["unknown_model", 1, 2], "a backup with an old date")
    assert worker.child_pid() == child
    assert "labels.json does not say which version each label is of: " in worker.whole_log()


def test_a_label_of_a_version_that_is_gone_is_refused_in_words(empty_cluster: Cluster):
    client = empty_cluster.client()
    folder = empty_cluster.settings.store_dir / "echo"
    (folder / "labels.json").write_text('{"production": 7}')

    empty_cluster.publish_catalog()

    with pytest.raises(SeqdError) as raised:
        client.classify(["a"], model="echo")
    assert str(raised.value) == (
        "the label 'production' stands for a version that is gone: model 'echo' has no version 7. "
        "Versions: 1. Labels: latest → 1, production → 7. Put another one in service: seqd models "
        "promote echo@1."
    )


def test_what_another_publishes_while_a_worker_does_stays_published(empty_cluster: Cluster):
    client = empty_cluster.client()
    store = ModelStore(empty_cluster.settings.store_dir, {})
    changes = [a_change(1, publish(store, "echo"), why="better")]

    def change() -> bool:
        """Change the store behind the first look at it, and say so, as another process may."""
        while changes:
            store.put_in_service("echo", changes.pop())
            empty_cluster.publish_catalog()
        return False

    empty_cluster.publish_catalog(is_away=change)

    found = client.model("echo")
    assert found.in_service == 2
    assert found.history()[-1].why == "better"

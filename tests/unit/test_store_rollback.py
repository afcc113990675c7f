"""A version whose job did not complete is rolled back, and the store is as it was before."""

import pytest

from seqd.errors import LeaseLost
from seqd.models.store import ModelStore
from store_builders import a_version_draft, train


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models", {})


def publish(store, job_id):
    return train(store, job_id, "lstm", "")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["attempt", "by hand to 2"], 2),  # somebody has moved it on, and it stays
        (["attempt", "attempt"], 1),  # the second attempt knows where it was before the first
        (["attempt", "by hand to 2", "attempt"], 2),
    ],
)
def test_a_label_goes_back_to_where_somebody_had_it_last(store, steps, expected):
    for job_id in ("job-1", "job-2", "job-3"):
        publish(store, job_id)
    store.set_label("lstm", "production", 1)

    for number, step in enumerate(steps):
        if step == "attempt":
            store.begin_publish("lstm", "job-3", f"attempt-{number}")
            store.move_labels("lstm", ["production"], 3, "job-3", f"attempt-{number}")
        else:
            store.set_label("lstm", "production", 2)
    store.rollback("lstm", "job-3")

    assert store.labels("lstm")["production"] == expected


@pytest.mark.parametrize("before", ["nowhere", "at a version that goes"])
def test_a_label_that_cannot_go_back_goes(store, before):
    first = publish(store, "job-1")
    store.set_label("lstm", "production", publish(store, "job-2"))
    if before != "nowhere":
        store.set_label("lstm", "tried", first)
    version = publish(store, "job-3")
    store.begin_publish("lstm", "job-3", "attempt")

    store.move_labels("lstm", ["tried"], version, "job-3", "attempt")
    store.remove("lstm", first)
    store.rollback("lstm", "job-3")

    assert "tried" not in store.labels("lstm")


@pytest.mark.parametrize("step", ["finalize", "rollback", "begin_publish"])
def test_an_attempt_that_was_overtaken_changes_nothing(store, step):
    publish(store, "job-1")
    version = publish(store, "job-2")
    if step == "begin_publish":
        store.begin_publish("lstm", "job-2", "attempt-2")
    else:
        getattr(store, step)("lstm", "job-2")
    before = store.numbers("lstm"), store.labels("lstm")
    folder = store.new_folder("lstm", "job-2")
    (folder / "a.json").write_text("{}")

    with pytest.raises(LeaseLost) as refused:
        store.publish(folder, a_version_draft("lstm", job_id="job-2"), "attempt-1")
    with pytest.raises(LeaseLost):
        store.move_labels("lstm", ["production"], version - 1, "job-2", "attempt-1")

    assert str(refused.value) == (
        f"Job job-2 is not to be published into {folder.parents[1] / 'lstm'} by this attempt any "
        "more: it is finalized or rolled back, or another attempt has begun to publish."
    )
    assert (store.numbers("lstm"), store.labels("lstm")) == before
    assert folder.exists()

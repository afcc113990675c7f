"""A version whose job did not complete is taken back, and the store is as it was before."""

import pytest

from seqd.errors import LeaseLost, UnknownModel
from seqd.store import ModelStore, VersionDraft
from seqd_schemas import DataFingerprint


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models", {})


def a_draft(job_id):
    return VersionDraft(
        model="lstm",
        plugin_version="1.0",
        parameters={},
        metrics={},
        data=DataFingerprint(description="d", records=1, sha256="0" * 64),
        created_at_ms=0,
        job_id=job_id,
    )


def publish(store, job_id):
    folder = store.new_folder("lstm", job_id)
    (folder / "a.json").write_text("{}")
    store.announce("lstm", job_id, "attempt-1")
    return store.publish(folder, a_draft(job_id), "attempt-1").version


def test_a_withdrawn_version_is_gone_and_its_labels_stand_where_they_stood(store):
    first = publish(store, "job-1")
    store.set_label("lstm", "production", first)
    second = publish(store, "job-2")
    store.move_labels("lstm", ["production", "candidate"], second, "job-2", "attempt-1")

    withdrawn = store.withdraw("lstm", "job-2")

    assert withdrawn == second
    assert store.numbers("lstm") == [first]
    assert store.labels("lstm") == {"production": first, "latest": first}
    with pytest.raises(UnknownModel):
        store.open("lstm", second)


def test_the_number_of_a_withdrawn_version_is_not_given_again(store):
    publish(store, "job-1")
    withdrawn = publish(store, "job-2")
    store.withdraw("lstm", "job-2")

    assert publish(store, "job-3") == withdrawn + 1


def test_a_label_that_somebody_has_moved_on_stays_there(store):
    first, second = publish(store, "job-1"), publish(store, "job-2")
    store.move_labels("lstm", ["production"], second, "job-2", "attempt-1")
    store.set_label("lstm", "production", first)

    store.withdraw("lstm", "job-2")

    assert store.labels("lstm")["production"] == first


def test_where_labels_stood_before_the_first_attempt_is_remembered_by_the_second(store):
    first, second = publish(store, "job-1"), publish(store, "job-2")
    store.set_label("lstm", "production", first)

    for attempt in ("killed after it moved them", "the next one"):
        store.announce("lstm", "job-2", attempt)
        store.move_labels("lstm", ["production"], second, "job-2", attempt)
    store.withdraw("lstm", "job-2")

    assert store.labels("lstm")["production"] == first


def test_where_somebody_moved_a_label_between_two_attempts_it_goes_back_there(store):
    first, second = publish(store, "job-1"), publish(store, "job-2")
    third = publish(store, "job-3")
    store.set_label("lstm", "production", first)
    store.move_labels("lstm", ["production"], third, "job-3", "attempt-1")
    store.set_label("lstm", "production", second)

    store.announce("lstm", "job-3", "attempt-2")
    store.move_labels("lstm", ["production"], third, "job-3", "attempt-2")
    store.withdraw("lstm", "job-3")

    assert store.labels("lstm")["production"] == second


@pytest.mark.parametrize("settle", ["confirm", "withdraw", "announce"])
def test_an_attempt_whose_announcement_stands_no_more_changes_nothing(store, settle):
    publish(store, "job-1")
    version = publish(store, "job-2")
    if settle == "announce":
        store.announce("lstm", "job-2", "attempt-2")
    else:
        getattr(store, settle)("lstm", "job-2")
    before = store.numbers("lstm"), store.labels("lstm")
    folder = store.new_folder("lstm", "job-2")
    (folder / "a.json").write_text("{}")

    with pytest.raises(LeaseLost) as refused:
        store.publish(folder, a_draft("job-2"), "attempt-1")
    with pytest.raises(LeaseLost):
        store.move_labels("lstm", ["production"], version - 1, "job-2", "attempt-1")

    assert str(refused.value) == (
        f"Job job-2 is not to be published into {folder.parents[1] / 'lstm'} by this attempt any "
        "more: it is settled, or another attempt has announced itself."
    )
    assert (store.numbers("lstm"), store.labels("lstm")) == before
    assert folder.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"holder": 1}', '{"before": {"production": "x"}}'])
def test_an_announcement_that_makes_no_sense_restores_no_label(store, tmp_path, content):
    version = publish(store, "job-1")
    store.set_label("lstm", "production", version)
    second = publish(store, "job-2")
    (tmp_path / "models" / "lstm" / ".announced-job-2.json").write_text(content)

    assert store.withdraw("lstm", "job-2") == second
    assert store.labels("lstm") == {"production": version, "latest": version}


def test_what_was_announced_is_known_until_it_is_confirmed(store):
    publish(store, "job-1")
    publish(store, "job-2")
    announced = store.announced()

    store.confirm("lstm", "job-1")

    assert announced == [("lstm", "job-1"), ("lstm", "job-2")]
    assert store.announced() == [("lstm", "job-2")]


def test_a_job_that_published_nothing_has_nothing_to_take_back(store):
    publish(store, "job-1")
    store.announce("lstm", "job-2", "attempt-1")

    assert store.withdraw("lstm", "job-2") is None
    assert store.withdraw("lstm", "job-3") is None
    assert store.withdraw("other", "job-3") is None
    assert store.numbers("lstm") == [1]
    assert store.announced() == [("lstm", "job-1")]


def test_staging_folders_name_the_job_that_they_were_made_for(store):
    folder = store.new_folder("char_lstm", "0190-a_b-c")

    assert store.staged() == [(folder, "0190-a_b-c")]

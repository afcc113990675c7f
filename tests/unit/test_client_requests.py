"""A request that cannot be a job is refused in words, not in patterns."""

import pytest
from pydantic import ValidationError

from seqd.client.requests import job_of, training_of
from seqd.errors import InvalidRequest
from seqd_schemas import NamedSource, TrainJob, UploadSource


@pytest.mark.parametrize(
    ("kind", "model", "options", "message"),
    [
        (
            "classify",
            "imdb_lstm@",
            {},
            "model is 'imdb_lstm@'; allowed: NAME, NAME@3 (a version) or NAME@production (a "
            "label); for a training or a sweep, NAME alone.",
        ),
        (
            "train",
            "markov@0",
            {},
            "model is 'markov@0'; allowed: NAME, NAME@3 (a version) or NAME@production (a label); "
            "for a training or a sweep, NAME alone.",
        ),
        (
            "classify",
            "markov",
            {"tenant": "A B"},
            "tenant is 'A B'; allowed: 1 to 64 letters, digits, `_`, `.` and `-`.",
        ),
        (
            "classify",
            "markov",
            {"foo": 1},
            "There is no option 'foo'. Known options: durable, expires_in_s, idempotency_key, "
            "job_id, max_running_units, metadata, parameters, priority, results_ttl_s, tenant.",
        ),
    ],
)
def test_what_arrived_and_what_is_allowed_stand_in_the_message(kind, model, options, message):
    source = NamedSource(name="keras:imdb") if kind == "train" else UploadSource()

    with pytest.raises(InvalidRequest) as refusal:
        job_of(kind, model, options, source=source)

    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("held_out", "source", "schema_version"),
    [
        (None, None, 1),
        (NamedSource(name="keras:imdb"), NamedSource(name="keras:imdb"), 1),
        (["a text"], UploadSource(), 2),
    ],
    ids=["nothing", "a data set", "texts"],
)
def test_a_training_states_a_later_version_where_its_held_out_data_is_uploaded(
    held_out: object, source: object, schema_version: int
) -> None:
    job = training_of(["a"], "markov", {}, plugin=None, preset=None, held_out=held_out, labels=())

    assert isinstance(job, TrainJob)
    assert (job.held_out, job.schema_version) == (source, schema_version)


def test_a_request_that_an_older_worker_would_train_without_its_held_out_data_is_refused() -> None:
    with pytest.raises(
        ValidationError, match="it is uploaded, and schema_version is 1; allowed: 2"
    ):
        TrainJob(model="markov", source=UploadSource(), held_out=UploadSource())


def test_options_that_are_none_are_left_to_their_defaults():
    job = job_of("classify", "markov", {"idempotency_key": None}, source=UploadSource())

    assert job.idempotency_key is None
    assert job.tenant == "default"

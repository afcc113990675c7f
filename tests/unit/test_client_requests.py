"""A request that cannot be a job is refused in words, not in patterns."""

import pytest

from seqd.client.requests import job_of
from seqd.errors import InvalidRequest
from seqd_schemas import NamedSource, UploadSource


@pytest.mark.parametrize(
    ("kind", "model", "options", "message"),
    [
        (
            "classify",
            "imdb_lstm@",
            {},
            "model is 'imdb_lstm@'; allowed: NAME, NAME@3 (a version) or NAME@production (a "
            "label).",
        ),
        (
            "train",
            "markov@0",
            {},
            "model is 'markov@0'; allowed: a name of up to 40 of a-z 0-9 _ with a letter in front, "
            "without a version.",
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
            "There is no option 'foo'. Known options: durable, expected_items, expires_in_s, "
            "id_field, idempotency_key, job_id, label_map, max_running_units, metadata, min_score, "
            "output_folder, parameters, priority, results_ttl_s, tenant, text_field.",
        ),
        (
            "classify",
            "markov",
            {"min_score": 1.5},
            "min_score is 1.5; allowed: a score from 0 to 1.",
        ),
        (
            "classify",
            "markov",
            {"min_score": float("nan")},
            "min_score is nan; allowed: a score from 0 to 1.",
        ),
    ],
)
def test_what_arrived_and_what_is_allowed_stand_in_the_message(kind, model, options, message):
    source = NamedSource(name="keras:imdb") if kind == "train" else UploadSource()

    with pytest.raises(InvalidRequest) as refusal:
        job_of(kind, model, options, source=source)

    assert str(refusal.value) == message


def test_options_that_are_none_are_left_to_their_defaults():
    job = job_of("classify", "markov", {"idempotency_key": None}, source=UploadSource())

    assert job.idempotency_key is None
    assert job.tenant == "default"

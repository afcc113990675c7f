"""Requests and records with anything in them: each is read, or refused by name, never more."""

import pytest
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from builders import (
    a_catalog_entry,
    a_chunk,
    a_failure,
    a_text_chunk,
    a_training_result,
    a_worker_status,
    an_epoch,
    some_results,
)
from cli_builders import a_record
from hostile_cases import as_json, hostile, mutated, sound_jobs, texts, wild, wild_python
from seqd.admission import admit
from seqd.client.requests import checked_id, job_of
from seqd.errors import InvalidRequest, SeqdError, UserError, failure_of, wire_text
from seqd.ledger.jobs import JOB
from seqd.worker.inbox import read_job
from seqd_schemas import (
    EVENT,
    ITEM_RESULT,
    CatalogEntry,
    Completed,
    Counts,
    Failure,
    ItemChunk,
    Job,
    JobRecord,
    ModelManifest,
    Progress,
    TextChunk,
    TrainingResult,
    UploadSource,
    WorkerStatus,
)
from store_builders import a_manifest

CATALOG = {name: a_catalog_entry(model=name) for name in ("echo", "imdb_lstm", "markov")}


#: What a reader parses that somebody else wrote, each with a sound one of its kind.
RECORDS: dict[str, tuple[TypeAdapter, BaseModel]] = {
    "epoch": (EVENT, an_epoch("a")),
    "progress": (EVENT, Progress(job_id="a", at_ms=1, counts=Counts(), rate_per_s=1.0)),
    "completed": (EVENT, Completed(job_id="a", at_ms=1, counts=Counts())),
    "success": (ITEM_RESULT, some_results(1)[0]),
    "failure of an item": (ITEM_RESULT, some_results(1, errored=1)[0]),
    "chunk": (TypeAdapter(ItemChunk), a_chunk()),
    "texts": (TypeAdapter(TextChunk), a_text_chunk()),
    "training": (TypeAdapter(TrainingResult), a_training_result()),
    "failure": (TypeAdapter(Failure), a_failure()),
    "worker": (TypeAdapter(WorkerStatus), a_worker_status()),
    "catalog": (TypeAdapter(CatalogEntry), a_catalog_entry()),
    "manifest": (TypeAdapter(ModelManifest), a_manifest()),
    "record": (TypeAdapter(JobRecord), a_record()),
}


def assert_sound_or_refused(adapter: TypeAdapter, read, given: object) -> None:
    """Read something; what is taken must come out of its own JSON as it went in."""
    try:
        model = read(given)
    except ValidationError:
        return
    written = adapter.dump_json(model)
    assert adapter.dump_json(adapter.validate_json(written)) == written


@hostile(sound_jobs)
def test_a_sound_job_is_taken(job: dict[str, object]):
    model = JOB.validate_python(job)

    assert JOB.validate_json(JOB.dump_json(model)) == model


@hostile(st.one_of(mutated(sound_jobs), wild_python))
def test_a_job_of_python_values_is_taken_whole_or_refused(job: object):
    assert_sound_or_refused(JOB, JOB.validate_python, job)


@hostile(st.one_of(as_json(mutated(sound_jobs)), st.binary(max_size=100)))
def test_a_job_of_json_is_taken_whole_or_refused(text: bytes):
    assert_sound_or_refused(JOB, JOB.validate_json, text)


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "1e999"])
@pytest.mark.parametrize(
    ("adapter", "text"),
    [
        (
            EVENT,
            '{"event":"epoch","job_id":"a","at_ms":1,"epoch":1,"epochs":1,"metrics":{"a":%s},'
            '"seconds":1}',
        ),
        (RECORDS["training"][0], '{"model":"a","version":1,"metrics":{},"seconds":%s}'),
    ],
    ids=["metric", "seconds"],
)
def test_a_figure_that_json_cannot_hold_is_refused(adapter, text, figure):
    with pytest.raises(ValidationError, match="finite number"):
        adapter.validate_json(text % figure)


@pytest.mark.parametrize(("adapter", "sound"), RECORDS.values(), ids=RECORDS)
@hostile(data=st.data())
def test_a_record_that_somebody_wrote_is_read_whole_or_refused(adapter, sound, data):
    text = data.draw(as_json(mutated(st.just(sound.model_dump(mode="json")))))

    assert_sound_or_refused(adapter, adapter.validate_json, text)


@hostile(st.one_of(as_json(mutated(sound_jobs)), st.binary(max_size=100)))
def test_the_inbox_takes_a_job_or_says_why_not(text: bytes):
    try:
        job = read_job(text)
        admit(job, CATALOG)
    except UserError as error:
        assert Failure.model_validate_json(failure_of(error).model_dump_json())
    else:
        assert JOB.validate_json(JOB.dump_json(job)) == job


OPTIONS = [
    "parameters",
    "priority",
    "tenant",
    "idempotency_key",
    "metadata",
    "results_ttl_s",
    "expires_in_s",
    "max_running_units",
    "colour",
]


@hostile(
    kind=st.one_of(st.sampled_from(["classify", "generate", "train"]), texts),
    model=st.one_of(st.just("echo"), wild_python),
    options=st.dictionaries(st.sampled_from(OPTIONS), wild_python, max_size=2),
)
def test_a_client_gives_a_job_or_names_the_field(kind, model, options):
    try:
        job = job_of(kind, model, options, source=UploadSource())
        admit(job, CATALOG)
    except SeqdError as error:
        message = str(error)
        assert 10 < len(message) < 5_000
        assert message == wire_text(message)
        assert any(name in message for name in (*options, "model", "kind", "parameter"))
    else:
        assert JOB.validate_json(JOB.dump_json(job)).model == model


@hostile(wild_python.filter(lambda value: value not in (None, "interactive", "normal", "bulk")))
def test_a_producer_cannot_pass_a_number_as_a_priority(priority):
    with pytest.raises(InvalidRequest, match=r"allowed: interactive, normal or bulk\.$"):
        job_of("classify", "echo", {"priority": priority}, source=UploadSource())


@hostile(wild_python, wild_python)
def test_what_is_asked_of_labels_is_taken_whole_or_refused(min_score, label_map):
    try:
        asked = {"min_score": min_score, "label_map": label_map}
        job = job_of("classify", "echo", asked, source=UploadSource())
    except InvalidRequest as error:
        assert str(error).startswith(("min_score", "label_map"))
    else:
        assert JOB.validate_json(JOB.dump_json(job)) == job


@hostile(wild_python)
def test_an_identifier_is_one_or_is_refused(job_id):
    try:
        known = checked_id(job_id)
    except InvalidRequest as error:
        assert "1 to 64 letters" in str(error)
    else:
        assert known == (job_id.decode() if isinstance(job_id, bytes) else job_id)


@hostile(sound_jobs, st.sampled_from(["model", "parameters"]), wild)
def test_a_job_is_admitted_or_refused_with_a_message_that_fits(job, name, value):
    try:
        request: Job = JOB.validate_python(job | {name: value})
    except ValidationError:
        return
    try:
        admit(request, CATALOG)
    except UserError as error:
        message = str(error)
        assert len(message) < 20_000
        assert failure_of(error).message == wire_text(message)

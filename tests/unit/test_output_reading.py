"""Outputs are read as the class that is asked for; those that do not fit are named."""

import pytest

from cli_builders import a_failure
from seqd.client.results import OutputReader
from seqd.errors import OutputMismatch
from seqd.ledger.digests import InputDigest
from seqd_schemas import (
    Classification,
    ItemSuccess,
    RecordItem,
    RecordsSource,
    RunJob,
    Score,
    UploadSource,
)


def test_a_result_is_read_as_a_class_and_an_error_stays_one():
    result = ItemSuccess[object].model_construct(custom_id="row-7", output={"score": 1.0})

    assert OutputReader(Score)(result).unwrap() == Score(score=1.0)
    assert OutputReader(Score)(a_failure()) == a_failure()


def test_an_output_of_another_kind_of_job_is_not_read_as_the_class_that_is_asked_for():
    label = Classification(label="a", score=1.0, truncated=False)
    result = ItemSuccess(custom_id="row-1", output=label)

    with pytest.raises(OutputMismatch) as refused:
        OutputReader(Score)(result)

    assert str(refused.value) == (
        "The output of item 'row-1' is a Classification and no Score. Read the job without "
        "`output`."
    )


def test_records_in_a_request_and_in_an_upload_are_one_request():
    record = RecordItem(custom_id="a", input={"left": "x", "right": "y"})
    inline = RunJob(model="pairs", task="compare", source=RecordsSource(items=(record,)))
    upload = RunJob(model="pairs", task="compare", source=UploadSource())

    assert InputDigest(inline).hex() == InputDigest(upload).hex()

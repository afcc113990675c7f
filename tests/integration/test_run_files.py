"""Given a file that workers read, when a plugin's task runs on it, then its records are items."""

import json
import secrets

import pytest
import seqd_tasks

from seqd.errors import JobFailed
from seqd_schemas import FileFormat, FileSource

pytestmark = pytest.mark.processes


@pytest.fixture
def folder(task_cluster):
    path = task_cluster.settings.input_roots[0] / secrets.token_hex(4)
    path.mkdir()
    return path


def compare(cluster, path, **fields):
    """Run `compare` on a file."""
    source = FileSource(path=str(path), **fields)
    return cluster.client().run(source, model="pairs", task="compare", output=seqd_tasks.Comparison)


def failure_of(job):
    """Wait for the job's end, which must be a failure; returns its sentence."""
    with pytest.raises(JobFailed) as failed:
        job.wait(timeout_s=120)
    assert failed.value.failure.code == "invalid_input"
    return failed.value.failure.message


def test_an_empty_line_of_json_is_an_item_of_a_task_that_takes_empty_texts(task_cluster, folder):
    path = folder / "texts.jsonl"
    path.write_text('""\n{"text": ""}\n')

    job = task_cluster.client().run(FileSource(path=str(path)), model="mirror", task="mirror")

    assert [r.unwrap()["text"] for r in job.results()] == ["", ""]


def test_records_of_json_lines_have_their_fields_on_top_or_under_input(task_cluster, folder):
    path = folder / "pairs.jsonl"
    rows = [
        {"custom_id": "top", "left": "a b", "right": "b", "label": "no field, and left out"},
        {"id": 7, "input": {"left": "a", "right": "a", "weight": 3}},
        "a text",
        {"left": "a"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    top, under, text, lacking = compare(task_cluster, path).results()

    assert (top.custom_id, top.unwrap().shared) == ("top", ("b",))
    assert (under.custom_id, under.unwrap().overlap) == ("7", 3.0)
    assert text.error.message == (
        "line 3: it is a text; allowed: a record with the fields left, right, weight."
    )
    assert lacking.error.message == (
        "line 4: it has no field 'right'; allowed: the fields left, right, weight."
    )


def test_cells_of_a_csv_are_read_as_the_fields_ask_and_an_empty_one_is_a_missing_field(
    task_cluster, folder
):
    path = folder / "pairs.csv"
    path.write_text("id,left,right,weight\nx,a,a,2.5\ny,a,a,\nz,a,a,much\nw,a,,1\n")

    typed, default, untyped, lacking = compare(task_cluster, path).results()

    assert (typed.custom_id, typed.unwrap().overlap) == ("x", 2.5)
    assert (default.custom_id, default.unwrap().overlap) == ("y", 1.0)
    assert untyped.error.message == (
        "The record does not fit: field 'weight' is 'much': Input should be a valid number, unable "
        "to parse string as a number. Its fields: left, right, weight."
    )
    assert lacking.error.message == (
        "line 5: it has no field 'right'; allowed: the fields left, right, weight."
    )


def test_a_file_without_the_records_that_a_task_takes_fails_its_job(task_cluster, folder):
    path = folder / "a.csv"
    path.write_text("left,right,wieght\na,b,1\n")

    message = failure_of(compare(task_cluster, path))

    assert message.startswith(
        f"{path} has a column 'wieght' that the task does not take; allowed: left, right, weight, "
        "and beside them custom_id, id, label. Did you mean 'weight'?"
    )


def test_a_folder_of_texts_is_refused_of_a_task_that_takes_records(task_cluster, folder):
    (folder / "pos").mkdir()
    (folder / "pos" / "1.txt").write_text("a text")

    message = failure_of(compare(task_cluster, folder, format=FileFormat.FOLDER))

    assert message.startswith(f"{folder} is read as a folder of texts, and the task takes records")

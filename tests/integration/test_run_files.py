"""Given a file that workers read, when a plugin's task runs on it, then its records are items."""

import secrets

import pytest
import seqd_tasks

from seqd_schemas import FileSource

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

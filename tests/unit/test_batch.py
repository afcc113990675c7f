"""A version as a function of batches: what is added to each form, and what is refused of each."""

import logging
import multiprocessing
import os
import pickle
import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from seqd.batch import Predictor
from seqd.errors import (
    InvalidInput,
    InvalidParameters,
    InvalidRequest,
    InvalidSettings,
    PluginFault,
    SeqdError,
    UnknownModel,
    UnusableSlot,
)
from seqd.models.store import ModelStore
from task_fixtures import TASKS
from worker_fixtures import publish_file

PLUGINS = Path(__file__).parents[1]

#: Models that label each text with their device, one of which needs a GPU, and one whose records
#: and outputs are awkward.
WHERE = """
import os
from typing import Annotated

from pydantic import BaseModel, Field

from seqd.plugin import Device, Needs, classifier, task
from seqd_schemas import TaskOutput


@classifier("where", summary="Says on which device it is.")
def where(text: str, device: Device) -> str:
    shown = os.environ["CUDA_VISIBLE_DEVICES"]
    return f"{device.kind} {shown}, threads {device.threads}"


@classifier("wants_gpu", summary="Needs one.", needs=Needs(device="gpu"))
def wants_gpu(text: str) -> str:
    return "here"


Number = Annotated[float, Field(ge=0, le=9)]
Row = Annotated[list[Number], Field(max_length=9)]
Word = Annotated[str, Field(max_length=9)]


class Matrix(BaseModel, extra="forbid"):
    "Rows of numbers, or none."

    rows: list[Row] = Field(default=[], max_length=9, description="The rows.")
    names: dict[Word, Annotated[list[Word], Field(max_length=9)]] = Field(
        default={}, max_length=9, description="Their names."
    )


class Told(TaskOutput):
    "What was given."

    said: str = Field(max_length=99, description="All of it.")
    output_said: str = Field(max_length=99, description="The same again.")


@task("tell", model="odd", summary="Tells what was given.")
def tell(matrix: Matrix) -> Told:
    said = f"{matrix.rows} {matrix.names}"
    return Told(said=said, output_said=f"again {said}")
"""


@pytest.fixture(autouse=True)
def store(own_environment, tmp_path, monkeypatch):
    """A store with versions of `echo` and of models with tasks of their own."""
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SEQD_ENABLED_PLUGINS", "light,tasks")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    for name in ("light_plugin", "task_plugin"):
        monkeypatch.syspath_prepend(str(PLUGINS / name))
    store = ModelStore(tmp_path / "models", {})
    publish_file(tmp_path / "models", "echo", "echo.json", '{"records": 1}')
    for model in TASKS:
        publish_file(tmp_path / "models", model, "tasks.json", "{}")
    return store


def cells_of(batch, name):
    """Return a column of a batch of Arrow or NumPy as a list."""
    column = batch[name]
    return column.tolist() if isinstance(column, np.ndarray) else column.to_pylist()


def publish(store, content):
    return f"echo@{publish_file(store.folder_of('echo').parent, 'echo', 'echo.json', content)}"


def test_a_table_gets_the_columns_of_the_outputs_and_keeps_its_own():
    table = pa.table({"id": [7, 8], "text": ["good", None], "label": ["pos", "neg"]})

    labelled = Predictor("echo@1")(table)

    assert labelled.column_names == [
        "id", "text", "label", "output_label", "score", "truncated", "unknown_share", "uncertain",
        "error_code", "error_message",
    ]  # fmt: skip
    assert labelled.select(table.column_names).equals(table)
    good, bad = labelled.to_pylist()
    assert (good["output_label"], good["score"], good["error_code"]) == ("good", 1.0, None)
    assert (bad["output_label"], bad["score"], bad["error_code"]) == (None, None, "invalid_input")
    assert bad["error_message"] == "row 2: its field 'text' is null; allowed: a string."


FORMS = {
    "a table in chunks": lambda texts: pa.table({"text": pa.chunked_array([texts[:1], texts[1:]])}),
    "a record batch": lambda texts: pa.RecordBatch.from_pydict({"text": texts}),
    "a dictionary column": lambda texts: pa.table({"text": pa.array(texts).dictionary_encode()}),
    "a dict of arrays": lambda texts: {"text": np.array(texts)},
    "a dict of arrays of objects": lambda texts: {"text": np.array(texts, object)},
    "a dict of lists": lambda texts: {"text": texts},
    "a data frame": lambda texts: pd.DataFrame({"text": texts}, index=range(10, 10 + len(texts))),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_batch_comes_back_in_its_form_with_the_rows_in_order(form):
    given = FORMS[form](["one", "two", "three"])

    made = Predictor("echo@1")(given)

    assert type(made) is type(given)
    assert list(map(str, made["label"])) == ["one", "two", "three"]
    if isinstance(made, pd.DataFrame):
        assert list(made.index) == [10, 11, 12]


def test_probabilities_are_a_column_where_they_are_asked_for():
    batch = {"text": np.array(["shares a=0.75 b=0.25"])}

    made = Predictor("echo@1", parameters={"probabilities": True})(batch)

    assert made["probabilities"].tolist() == [{"a": 0.75, "b": 0.25}]
    assert "probabilities" not in Predictor("echo@1")(batch)


def test_a_column_of_a_data_frame_has_one_type_whatever_is_in_it():
    predictor = Predictor("echo@1")

    types = [predictor(pd.DataFrame({"text": texts})).dtypes[1:] for texts in (["a"], [""], [])]

    assert types[0].equals(types[1]) and types[0].equals(types[2])


def test_a_list_of_texts_or_records_has_results():
    results = Predictor("echo@1")(["good", {"text": "better"}, {"text": 3}])

    assert [one.ok and one.output.label for one in results] == ["good", "better", False]
    assert results[2].error.message == "row 3: its text is of type int; allowed: a string."


@pytest.mark.parametrize(
    "texts",
    [
        pa.array(["a", "raise", "bad", "", None, "b"]),
        pa.array(["a", "raise", "bad", "", None, "b"], pa.large_string()),
        np.array(["a", "raise", "bad", "", None, "b"], object),
        np.array(["a", "raise", "bad", "", 3, "b"], object),
        np.array(["a", "raise", "bad", "", "\ud800", "b"], object),
    ],
)
def test_a_bad_item_has_an_error_and_hurts_no_other(texts):
    batch = pa.table({"text": texts}) if isinstance(texts, pa.Array) else {"text": texts}

    made = Predictor("echo@1")(batch)

    codes = cells_of(made, "error_code")
    assert codes[:4] == [None, "plugin_error", "invalid_input", "invalid_input"]
    assert codes[4] in ("invalid_input", "decode_error")
    assert codes[5] is None


def test_bytes_that_are_no_text_are_the_error_of_their_row():
    column = pa.array([b"good", b"\xff", b"bad one"]).cast(pa.binary())
    texts = pa.StringArray.from_buffers(3, column.buffers()[1], column.buffers()[2])

    made = Predictor("echo@1")(pa.table({"text": texts})).select(["label", "error_code"])

    assert made.to_pylist() == [
        {"label": "good", "error_code": None},
        {"label": None, "error_code": "decode_error"},
        {"label": "bad one", "error_code": None},
    ]


def test_a_text_of_a_megabyte_is_a_text_and_a_longer_one_is_an_error():
    made = Predictor("echo@1")({"text": np.array(["x" * 1_000_000, "x" * 9_000_000], object)})

    assert made["label"][0] == "x" * 256
    assert made["error_code"].tolist() == [None, "too_long"]


def test_the_plugin_gets_as_many_items_at_a_time_as_a_unit_has():
    labels = Predictor("echo@1")({"text": np.array(["batch"] * 20)})["label"]

    assert labels.tolist() == ["batch of 8"] * 16 + ["batch of 4"] * 4


def test_an_empty_batch_has_the_same_columns_and_loads_nothing(store):
    breaks = Predictor(publish(store, '{"records": 1, "trick": "load"}'))
    empty = pa.table({"text": pa.array([], pa.string())})

    assert breaks(empty).schema == Predictor("echo@1")(pa.table({"text": ["a"]})).schema
    assert breaks([]) == []
    assert breaks({"text": np.array([])})["label"].tolist() == []
    assert list(breaks(pd.DataFrame({"text": []}))["label"]) == []
    with pytest.raises(PluginFault, match=r"^echo@2 could not be loaded: ValueError: this version"):
        breaks(["a"])


def test_a_column_of_nothing_but_nulls_is_one_of_errors():
    predictor = Predictor("echo@1")

    nothing = [pa.table({"text": pa.nulls(2)}), pd.DataFrame({"text": [None, float("nan")]})]

    for batch in nothing:
        assert list(predictor(batch)["error_code"].to_numpy()) == ["invalid_input"] * 2


REFUSED = {
    "the batch has no column 'text'; it has: a, b. Name the column with the text as text_field": (
        pa.table({"a": ["x"], "b": ["y"]})
    ),
    "the batch has two columns 'text'; it has: text, text. Name the column with the text as "
    "text_field": pa.table([["x"], ["y"]], names=["text", "text"]),
    "the column 'text' of the batch holds int64; allowed: strings. Name the column with the text "
    "as text_field": pa.table({"text": [1]}),
    "the column 'text' of the batch holds float64; allowed: strings. Name the column with the text "
    "as text_field": {"text": np.array([1.5])},
    "the columns of the batch are not of one length: text 2, z 1": (
        {"text": np.array(["a", "b"]), "z": np.array([1])}
    ),
    "the columns of the batch are not of one length: text no array": {"text": "abc"},
    "the batch is of type str; allowed: a list of texts, a Table or RecordBatch of pyarrow, a dict "
    "of NumPy arrays, or a DataFrame of pandas": "a text",
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_batch_without_texts_is_refused(message):
    with pytest.raises((InvalidInput, InvalidRequest)) as refused:
        Predictor("echo@1")(REFUSED[message])

    assert str(refused.value) == message


def test_the_column_of_the_texts_may_have_any_name():
    batch = {"id": np.array(["good", "x" * 300]), "text": np.array([1, 2])}

    assert Predictor("echo@1", text_field="id")(batch)["score"].tolist() == [1.0, 1.0]


def test_vectors_are_lists_of_arrow_and_one_matrix_of_numpy():
    predictor = Predictor("vectors@1", task="embed")

    made = predictor({"text": np.array(["a", None, "b"], object)})
    table = predictor(pa.table({"text": ["a", None, "b"]}))

    assert made["vector"].shape == (3, 256)
    assert np.isnan(made["vector"][1]).all()
    assert str(table.schema.field("vector").type).startswith("fixed_size_list<")
    assert np.array_equal(table["vector"][2].as_py(), made["vector"][2])


def test_records_are_made_of_the_columns_of_their_fields():
    columns = {"left": ["a b", "a", None], "right": ["b c", "a", "a"], "id": [1, 2, 3]}
    predictor = Predictor("pairs@1", task="compare")

    made = predictor(pa.table(columns))

    assert made["overlap"].to_pylist() == [pytest.approx(1 / 3), 1.0, None]
    assert made["shared"].to_pylist() == ['["b"]', '["a"]', None]
    assert made["error_code"].to_pylist() == [None, None, "invalid_input"]
    with pytest.raises(InvalidInput, match=r"no column 'right'; it has: left\. A record of the"):
        predictor(pa.table({"left": ["a"]}))


UNUSABLE = [
    (("nope",), {}, UnknownModel, "no model named 'nope'"),
    (("echo@9",), {}, UnknownModel, r"no version echo@9\. Versions of echo: 1"),
    (("echo@1",), {"parameters": {"x": 1}}, InvalidParameters, "echo@1 classify: parameter 'x'"),
    (("echo@1",), {"task": "generate"}, InvalidRequest, "no task 'generate' for batches. Its tas"),
    (("echo@1",), {"task": "clasify"}, InvalidRequest, "Did you mean 'classify'"),
    (("echo@1",), {"store": "/nowhere"}, InvalidSettings, "There is no model store in /nowhere"),
]


@pytest.mark.parametrize(("arguments", "options", "kind", "message"), UNUSABLE)
def test_what_there_is_not_is_refused_when_it_is_made(arguments, options, kind, message):
    with pytest.raises(kind, match=message) as refused:
        Predictor(*arguments, **options)

    crossed = pickle.loads(pickle.dumps(refused.value))
    assert (crossed.code, str(crossed)) == (kind.code, str(refused.value))


def test_a_copy_where_there_is_no_store_says_so(tmp_path):
    other = tmp_path / "other"
    publish_file(other, "echo", "echo.json", '{"records": 1}')
    predictor = Predictor("echo@1", store=other)
    shutil.rmtree(other)

    with pytest.raises(InvalidSettings) as refused:
        predictor(["a"])

    assert str(refused.value) == (
        f"There is no model store in {other} on this machine ({socket.gethostname()}), so echo@1 "
        "is not there. Name a folder that all machines see, or a URL, as store."
    )


def test_a_name_means_the_version_in_service_when_it_was_made(store):
    predictor = Predictor("echo")
    publish(store, '{"records": 1, "prefix": "second "}')
    store.set_label("echo", "production", 2)

    assert predictor.model == "echo@1"
    assert predictor(["a"])[0].output.label == "a"


def test_copies_in_one_process_share_one_version_in_memory(caplog):
    caplog.set_level(logging.INFO, "seqd.worker.context")
    predictor = Predictor("echo@1")
    copies = [pickle.loads(pickle.dumps(predictor)) for _ in range(4)]

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda copy: copy(["a"])[0].output.label, copies))

    assert made == ["a"] * 4
    assert [one.message for one in caplog.records].count("loading model=echo@1") == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_copy_of_another_process_loads_the_version_there(method):
    predictor = Predictor("echo@1")
    here = predictor({"text": np.array(["a", "raise"])})

    assert len(pickle.dumps(predictor)) < 1_000
    with multiprocessing.get_context(method).Pool(1) as pool:
        (there,) = pool.map(predictor, [{"text": np.array(["a", "raise"])}])

    assert there.keys() == here.keys()
    assert there["label"].tolist() == here["label"].tolist() == ["a", None]
    assert there["error_message"].tolist() == here["error_message"].tolist()


@pytest.mark.parametrize("sickness", ["cuda", "nan"])
def test_a_process_that_is_sick_raises_and_gives_no_item_an_error(sickness, tmp_path):
    predictor = Predictor("echo@1")
    predictor(["a"])
    (tmp_path / "sick").write_text(f"classify {sickness}\nwarm_up cuda\n")

    with pytest.raises(PluginFault, match=r"^echo@1 cannot be run here: .*CUDA error") as raised:
        predictor(["a", ""])

    assert isinstance(pickle.loads(pickle.dumps(raised.value)), SeqdError)


@pytest.fixture
def where(tmp_path, monkeypatch):
    """A plugin that says on which device it is, alone."""
    (tmp_path / "seqd_where.py").write_text(WHERE)
    info = tmp_path / "seqd_where-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: seqd-where\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[seqd]\nwhere = seqd_where\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SEQD_ENABLED_PLUGINS", "where")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield
    sys.modules.pop("seqd_where", None)


@pytest.mark.parametrize(
    ("visible", "device"),
    [
        (None, "cpu -1, threads 3"),
        ("", "cpu , threads 3"),
        ("2", "gpu 2, threads 1"),
        ("GPU-1,GPU-2", "gpu GPU-1,GPU-2, threads 1"),
    ],
)
def test_the_device_is_the_one_that_the_engine_gives(where, monkeypatch, visible, device):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert Predictor("where")(["a"])[0].output.label == device


def test_a_model_that_needs_a_gpu_is_refused_where_there_is_none(where):
    with pytest.raises(UnusableSlot, match="wants_gpu needs a GPU, and CUDA_VISIBLE_DEVICES of"):
        Predictor("wants_gpu")(["a"])


def test_the_environment_is_set_where_texts_are_computed_alone(where):
    before = dict(os.environ)
    predictor = Predictor("where")
    predictor(pa.table({"text": pa.array([], pa.string())}))
    assert dict(os.environ) == before

    predictor(["a"])

    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    assert os.environ["OMP_NUM_THREADS"] == "3"


NESTED = pa.table({"rows": [[[1.0, 2.0], [3.0]], []], "names": [{"a": ["b"]}, {"a": []}]})


def objects_of(frame):
    return {name: frame[name].to_numpy() for name in frame}


@pytest.mark.parametrize(
    "batch",
    [NESTED, NESTED.to_pandas(), objects_of(NESTED.to_pandas())],
    ids=["arrow", "pandas", "numpy"],
)
def test_fields_of_records_may_be_nested_in_each_form(where, batch):
    made = Predictor("odd", task="tell")(batch)

    assert list(map(str, made["said"])) == ["[[1.0, 2.0], [3.0]] {'a': ['b']}", "[] {'a': []}"]


def test_no_two_columns_get_one_name(where):
    made = Predictor("odd", task="tell")(pa.table({"rows": [[[1.0]]], "said": ["own"]}))

    (row,) = made.select(["said", "output_said", "output_output_said"]).to_pylist()
    assert list(row.values()) == ["own", "[[1.0]] {}", "again [[1.0]] {}"]


@pytest.mark.parametrize("batch", [{"z": np.array([1])}, pd.DataFrame({"z": [1]})])
def test_a_batch_with_no_field_of_a_record_is_refused(where, batch):
    with pytest.raises(InvalidInput) as refused:
        Predictor("odd", task="tell")(batch)

    assert str(refused.value) == (
        "the batch has no column that is a field of a record; it has: z. A record of the task has "
        "the fields names, rows"
    )

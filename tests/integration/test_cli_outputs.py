"""What commands read and write: forms, fields, columns and errors, what is replaced and refused.

The models are functions of the test, so that each result is known.
"""

import errno
import gzip
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import seqd_tasks
from backports import zstd
from pydantic import Field

from cli_builders import Ended, here_in, records_in, use_ledger
from seqd.cli.app import app
from seqd.cli.drafts import placed
from seqd.cli.exits import run
from seqd.cli.output_forms import Form, Target
from seqd.errors import OutputUnwritable
from seqd.hookspecs import LabelledRecord
from seqd.testing import RunningServices, ServerForTests, StubModel, running_services
from seqd_schemas import (
    Classification,
    Embedding,
    GeneratedSample,
    Generation,
    ItemError,
    ItemErrorCode,
    Labels,
    Score,
    TaskOutput,
    Vector,
)

pytest_plugins = ["seqd.testing.services"]

pytestmark = pytest.mark.processes

REVIEWS = [
    {"id": "a", "text": "fine, really", "stars": 4, "date": "2026-01-02", "label": "positive"},
    {"id": "b", "text": "dull", "stars": None, "date": "2026-01-03", "label": "negative"},
    {"id": "c", "text": "so-so", "stars": 2.5, "tags": ["x"]},
]

#: Texts and labels of each training.
learnt: list[list[tuple[object, object]]] = []

#: What else happens while a job runs that has the text `meanwhile`.
meanwhile: list[Callable[[], object]] = []


class Two(TaskOutput):
    """Two vectors, and a name that the table of a job has, too."""

    first: Vector = Field(description="One.")
    second: Vector = Field(description="The other.")
    version: int = Field(ge=0, le=9, description="A number.")


def classify(text: str) -> Classification | ItemError:
    if text == "dull":
        return ItemError(code=ItemErrorCode.INVALID_INPUT, message="text is empty.")
    if text == "meanwhile":
        for happens in meanwhile:
            happens()
    label, score = ("negative", 0.5) if text == "so-so" else ("positive", 0.75)
    return Classification(
        label=text.removeprefix("label ") if text.startswith("label ") else label,
        score=score,
        truncated=False,
    )


def generate(prompt: str) -> Generation:
    samples = tuple(GeneratedSample(text=f"t{at}", temperature=at, seed=1) for at in (0, 1))
    return Generation(prompt=prompt, samples=samples)


def vector_of(text: str) -> Embedding | ItemError:
    if text == "dull":
        return ItemError(code=ItemErrorCode.PLUGIN_ERROR, message="no")
    return Embedding(vector=Vector([1.0] * len(text)))


def two_of(text: str) -> Two:
    return Two(first=Vector([1.0]), second=Vector([2.0]), version=3)


def train(records: Sequence[LabelledRecord]) -> Mapping[str, float]:
    learnt.append([(record.text, record.label) for record in records])
    return {"accuracy": 1.0}


MODELS = {
    "moods": StubModel(classify=classify, generate=generate, train=train),
    "vectors": StubModel(run={"embed": (seqd_tasks.embed, seqd_tasks.Embedding256)}),
    "loose": StubModel(run={"embed": (vector_of, Embedding)}),
    "two": StubModel(run={"embed": (two_of, Two)}),
    "topics": StubModel(run={"tag": (seqd_tasks.label, Labels)}),
    "stars": StubModel(run={"score": (lambda text: Score(score=0.5), Score)}),
}

Seqd = Callable[..., Ended]


@pytest.fixture(scope="module")
def services(seqd_server: ServerForTests) -> Iterator[RunningServices]:
    with running_services(MODELS, server=seqd_server) as running:
        yield running


@pytest.fixture
def seqd(
    services: RunningServices,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Seqd]:
    """Return what runs commands in an empty folder but for `reviews.jsonl`."""
    use_ledger(monkeypatch, services.settings)
    write(tmp_path / "reviews.jsonl", *REVIEWS)
    yield here_in(tmp_path, capsys, monkeypatch)
    meanwhile.clear()


def write(path: Path, *records: object) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def written(folder: Path) -> dict[str, str]:
    """Return what stands in each file that commands have written, inflated."""
    inflate = {".gz": gzip.decompress, ".zst": zstd.decompress}
    return {
        path.name: inflate.get(path.suffix, bytes)(path.read_bytes()).decode()
        for path in folder.iterdir()
        if path.name != "reviews.jsonl"
    }


RESULTS = "custom_id,label,score\na,positive,0.75\nc,negative,0.5\n"
ERRORS = "custom_id,code,message,retryable,attempts\nb,invalid_input,text is empty.,false,1\n"
ERROR = (
    '{"status":"errored","custom_id":"b","error":{"code":"invalid_input","message":"text is '
    'empty."}}\n'
)
#: The same with the texts, which `--columns` asks for.
TEXT_ERRORS = ERRORS.replace("custom_id,", "custom_id,text,").replace("b,", "b,dull,")
CHOSEN = "--columns text,label,score"


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ("--out r.csv", {"r.csv": RESULTS, "r.errors.csv": ERRORS}),
        ("--out a.b.csv.gz", {"a.b.csv.gz": RESULTS, "a.b.errors.csv.gz": ERRORS}),
        ("--out r.csv.zst", {"r.csv.zst": RESULTS, "r.errors.csv.zst": ERRORS}),
        ("--out r --out-format csv", {"r": RESULTS, "r.errors": ERRORS}),
        ("--out r.csv --errors bad.jsonl", {"r.csv": RESULTS, "bad.jsonl": ERROR}),
        ("--out r.txt", {"r.txt": "positive\n\nnegative\n", "r.errors.jsonl": ERROR}),
        (
            "--out r.csv --keep stars,label",
            {
                "r.csv": "custom_id,stars,input_label,label,score\n"
                "a,4,positive,positive,0.75\nc,2.5,,negative,0.5\n",
                "r.errors.csv": "custom_id,stars,input_label,code,message,retryable,attempts\n"
                "b,,negative,invalid_input,text is empty.,false,1\n",
            },
        ),
        (
            f"--out r.csv {CHOSEN}",
            {
                "r.csv": 'text,label,score\n"fine, really",positive,0.75\nso-so,negative,0.5\n',
                "r.errors.csv": TEXT_ERRORS,
            },
        ),
        (
            f"--out r.TSV {CHOSEN}",
            {
                "r.TSV": "text\tlabel\tscore\nfine, really\tpositive\t0.75\nso-so\tnegative\t0.5\n",
                "r.errors.TSV": TEXT_ERRORS.replace(",", "\t"),
            },
        ),
        (
            f"--out r.jsonl {CHOSEN}",
            {
                "r.jsonl": '{"text":"fine, really","label":"positive","score":0.75}\n'
                '{"text":"so-so","label":"negative","score":0.5}\n',
                "r.errors.jsonl": ERROR.replace("}}", '},"input":{"text":"dull"}}'),
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_name_tells_the_form_and_options_the_columns(
    seqd: Seqd, tmp_path: Path, options: str, files: dict[str, str]
) -> None:
    ended = seqd("classify", "reviews.jsonl", "-m", "moods", *options.split())

    assert ended.status == 2, ended.err
    assert written(tmp_path) == files


def test_a_file_is_the_same_by_whatever_command_its_results_are_written(
    seqd: Seqd, tmp_path: Path
) -> None:
    command = ("classify", "reviews.jsonl", "-m", "moods", "--job-id")
    seqd(*command, "first", "--out", "classified.jsonl")
    seqd(*command, "second", "--no-wait")
    seqd("jobs", "results", "first", "--out", "fetched.jsonl")
    seqd("jobs", "retry", "first", "--out", "merged.jsonl")
    resumed = seqd("jobs", "results", "second", "--out", "other.jsonl.gz")

    found = written(tmp_path)
    assert resumed.status == 2, resumed.err
    assert found["fetched.jsonl"] == found["classified.jsonl"] == found["merged.jsonl"]
    assert found["other.jsonl.gz"] == found["classified.jsonl"]
    assert found["merged.errors.jsonl"] == found["fetched.errors.jsonl"] == ERROR


def test_a_generation_has_a_row_for_each_sample(seqd: Seqd, tmp_path: Path) -> None:
    prompts = ("--prompts", "reviews.jsonl", "--keep", "stars,text", "--out", "r.csv")

    seqd("generate", "moods", *prompts)

    assert (tmp_path / "r.csv").read_text().splitlines()[:3] == [
        "custom_id,stars,input_text,sample,temperature,text",
        'a,4,"fine, really",0,0.0,t0',
        'a,4,"fine, really",1,1.0,t1',
    ]


def test_parquet_has_the_types_of_the_columns_that_it_keeps_in_groups_of_many_rows(
    seqd: Seqd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two rows of some ten characters.
    monkeypatch.setattr("seqd.cli.row_writers._GROUP_CHARS", 15)
    columns = {
        "custom_id": pa.array(["a", "b", "c", "d", "e"]),
        "text": pa.array(["x", "dull", "so-so", "y", "z"]),
        "day": pa.array([1, 2, None, 4, 5], type=pa.date32()),
        "kind": pa.array(["k", "k", "l", "l", "l"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    typed = ("classify", "in.parquet", "-m", "moods", "--keep", "day,kind", "--out")

    seqd(*typed, "day.parquet")
    seqd(*typed, "day.csv")
    seqd(
        *("classify", "reviews.jsonl", "-m", "moods", "--keep", "stars,tags,date"),
        *("--out", "fields.parquet"),
    )

    def kinds(name: str) -> dict[str, str]:
        return {field.name: str(field.type) for field in pq.read_schema(tmp_path / name)}

    assert kinds("day.parquet") == {
        "custom_id": "string", "day": "date32[day]", "kind": "string", "label": "string",
        "score": "double",
    }  # fmt: skip
    assert (tmp_path / "day.csv").read_text().splitlines()[1] == "a,1970-01-02,k,positive,0.75"
    assert pq.read_metadata(tmp_path / "day.parquet").num_row_groups == 2
    # What fields of JSON Lines hold is known before the first is written.
    found = kinds("fields.parquet")
    assert (found["stars"], found["tags"], found["date"]) == ("double", "string", "string")
    assert pq.read_table(tmp_path / "fields.parquet").to_pylist()[1]["tags"] == '["x"]'


def test_standard_output_takes_errors_in_place_unless_a_file_is_named(
    seqd: Seqd, tmp_path: Path
) -> None:
    command = ("classify", "reviews.jsonl", "-m", "moods", "--out")

    both = seqd(*command, "-", "--keep", "stars")
    rows = seqd(*command, "-", "--out-format", "csv", "--errors", "e.jsonl")
    device = seqd(*command, "/dev/null")

    assert [line["status"] for line in records_in(both.out)] == [
        "succeeded",
        "errored",
        "succeeded",
    ]
    assert rows.out == RESULTS
    assert device.status == 2, device.err
    assert written(tmp_path) == {"e.jsonl": ERROR}


def test_a_named_pipe_is_written_as_it_comes_and_is_not_replaced(
    seqd: Seqd, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    seqd("classify", "reviews.jsonl", "-m", "moods", "--out", "pipe", "--out-format", "csv")

    assert os.read(reader, 1_000).startswith(b"custom_id,label,score\n")
    assert pipe.is_fifo()
    os.close(reader)


#: Options that cannot be done, and what is said before anything is handed in.
REFUSED = [
    *(
        (
            f"--out {name}",
            f"--out is '{name}', whose form is unknown; known names end in .jsonl, .csv, .tsv, "
            ".txt, .parquet, .npy, each but .parquet and .npy also with .gz or .zst. Rename it, or "
            "name the form: --out-format jsonl",
        )
        for name in ("results", "results.xml", "results.jsonl.bz2")
    ),
    (
        "--out r.parquet.gz",
        "--out is 'r.parquet.gz'; Parquet compresses its columns itself. Name it 'r.parquet'",
    ),
    (
        "--out r.txt --columns text",
        "a file of plain lines has one column without line breaks; allowed: --columns with one of "
        "custom_id, label, score. Or write .csv, .tsv, .jsonl or .parquet",
    ),
    (
        "--out r.csv --keep strs",
        "--keep names 'strs', and the input has no such column; it has: id, text, stars, date, "
        "label, tags",
    ),
    (
        "--out r.csv --keep stars,,date",
        "--keep is 'stars,,date'; allowed: names with a comma between two, such as stars,date",
    ),
    ("--out r.csv --keep stars,stars", "--keep names 'stars' twice; name it once"),
    (
        "--out r.csv --columns text,lable",
        "--columns names 'lable'; allowed: custom_id, label, score, truncated, unknown_share, "
        "uncertain, probabilities, version, and columns of the input: id, text, stars, date, "
        "label, tags",
    ),
    (
        "--out r.csv --errors -",
        "--errors is '-'; allowed: a file, or a device such as /dev/stderr",
    ),
    ("--out r.jsonl --errors r.jsonl", "--errors is 'r.jsonl', and so is --out; name two files"),
    (
        "--out link.jsonl",
        "--out is 'link.jsonl', which is the input itself; name another file",
    ),
    ("--out .", "--out is '.', a folder; name a file in it"),
    (
        "--out v.npy",
        "an array (.npy) holds vectors, and the results of a job of kind classify have no vectors. "
        "Write .jsonl or .csv",
    ),
]


def test_what_cannot_be_written_is_said_before_anything_is(
    seqd: Seqd, services: RunningServices, tmp_path: Path
) -> None:
    (tmp_path / "link.jsonl").symlink_to("reviews.jsonl")
    with services.client() as client:
        before = [job.job_id for job in client.jobs(1)]

        said = {
            options: seqd("classify", "reviews.jsonl", "-m", "moods", *options.split())
            for options, _ in REFUSED
        }

        assert [job.job_id for job in client.jobs(1)] == before
    expected = {
        options: Ended(2, "", f"error[invalid_request]: {message}\n")
        for options, message in REFUSED
    }
    assert said == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.jsonl", "reviews.jsonl"]
    assert len(records_in((tmp_path / "reviews.jsonl").read_text())) == 3


@pytest.mark.parametrize("line_break", ["\n", "\r"])
def test_plain_lines_take_no_label_with_a_line_break(
    seqd: Seqd, tmp_path: Path, line_break: str
) -> None:
    label = f"not{line_break}one line"

    ended = seqd(
        *("classify", "--text", "a", "--text", f"label {label}", "-m", "moods", "--out", "r.txt")
    )

    assert ended.status != 0
    assert f"line 2 would be {label!r}, which has a line break" in ended.err
    assert not (tmp_path / "r.txt").exists()


@pytest.mark.parametrize("name", ["r.jsonl", "r.errors.jsonl"])
def test_a_file_that_exists_is_replaced_by_force_alone(
    seqd: Seqd, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("precious")
    command = ("classify", "-m", "moods", "--out", "r.jsonl", "--text")
    option = "--out" if name == "r.jsonl" else "--errors"

    refused = seqd(*command, "fine")
    kept = written(tmp_path)
    forced = seqd(*command, "fine", "--force")

    assert refused == Ended(
        2,
        "",
        f"error[output_exists]: {option} is '{name}', which exists. Name another file, or replace "
        "it with --force\n",
    )
    assert kept == {name: "precious"}
    assert forced.status == 0, forced.err
    # Without errors there is no file of them, not even the old one.
    assert list(written(tmp_path)) == ["r.jsonl"]


# An interrupt in the middle of redis-py's `connect` leaves a socket behind, until the process ends.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_command_that_breaks_off_leaves_all_as_it_was(seqd: Seqd, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text("of yesterday")
    meanwhile.append(lambda: os.kill(os.getpid(), signal.SIGINT))
    texts = ("--text", "fine", "--text", "dull", "--text", "meanwhile")

    ended = seqd("classify", *texts, "-m", "moods", "--out", "r.jsonl", "--force")

    assert ended.status == 130
    found = written(tmp_path)
    assert found.pop(".r.jsonl.job")  # for --resume
    assert found == {"r.jsonl": "of yesterday"}


def test_a_file_that_comes_into_being_meanwhile_is_not_replaced(seqd: Seqd, tmp_path: Path) -> None:
    out, seen = tmp_path / "r.jsonl", list[bool]()
    meanwhile.extend(
        [lambda: seen.append(out.exists()), lambda: out.write_text("of another program")]
    )

    ended = seqd("classify", "--text", "meanwhile", "-m", "moods", "--out", "r.jsonl")

    assert seen == [False], "nothing has its name before the end"
    assert ended.err.startswith("error[output_exists]: --out is 'r.jsonl', which exists.")
    assert written(tmp_path)["r.jsonl"] == "of another program"


def test_two_commands_never_write_one_file(seqd: Seqd, tmp_path: Path) -> None:
    command = ["classify", "--text", "fine", "-m", "moods", "--out", "r.jsonl"]
    statuses = list[int]()
    meanwhile.append(lambda: statuses.append(run(lambda: app(command, prog_name="seqd"))))

    ended = seqd("classify", "--text", "meanwhile", "-m", "moods", "--out", "r.jsonl")

    assert (ended.status, statuses) == (0, [2])
    assert "error[output_unwritable]: --out is 'r.jsonl', which another command is about to" in (
        ended.err
    )
    assert len(records_in(written(tmp_path)["r.jsonl"])) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("reviews/pos/1.txt", "its job ran: it has pos/1.txt behind the last result"),
        ("reviews/bad/0.txt", "its job ran: where 'pos/0' was, it has bad/0.txt"),
        ("reviews/pos/0.txt", "it was read: it had "),
    ],
)
def test_an_input_that_changes_meanwhile_is_told_and_nothing_is_written(
    seqd: Seqd, tmp_path: Path, changed: str, message: str
) -> None:
    source, path = tmp_path / "reviews" / "pos" / "0.txt", tmp_path / changed
    source.parent.mkdir(parents=True)
    source.write_text("meanwhile")
    path.parent.mkdir(exist_ok=True)
    meanwhile.append(lambda: path.write_text("another one") and None)

    ended = seqd("classify", "reviews", "-m", "moods", "--columns", "text,label", "--out", "r.csv")

    assert ended.status == 2
    assert ended.err.startswith("error[invalid_input]: ")
    assert f" changed while {message}" in ended.err
    assert not (tmp_path / "r.csv").exists()


@contextmanager
def small_files(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond a size: what a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["r.jsonl", "r.csv", "r.csv.gz", "r.jsonl.zst", "r.parquet"])
def test_a_full_disk_is_an_error_and_leaves_no_file(seqd: Seqd, tmp_path: Path, name: str) -> None:
    texts = [part for _ in range(50) for part in ("--text", f"label {os.urandom(99).hex()}")]

    with small_files(500):
        ended = seqd("classify", *texts, "-m", "moods", "--out", name)

    assert ended.status == 2
    assert f"error[output_unwritable]: --out is '{name}', which cannot be written" in ended.err
    assert list(written(tmp_path)) == [f".{name}.job"]


def test_without_pyarrow_it_says_how_to_install_it(
    seqd: Seqd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    ended = seqd("classify", "--text", "x", "-m", "moods", "--out", "r.parquet")

    assert ended.status == 2
    assert ended.err.startswith("error[no_library]: writing Parquet needs pyarrow")
    assert "pip install 'seqd[parquet]'" in ended.err


def embedded(seqd: Seqd, model: str, out: str, *texts: str) -> Ended:
    """Write vectors of texts."""
    typed = [part for text in texts for part in ("--text", text)]
    return seqd("run", model, "embed", *typed, "--out", out)


def test_vectors_are_an_array_with_nan_for_errors_or_lists_of_parquet(
    seqd: Seqd, tmp_path: Path
) -> None:
    due = [list(seqd_tasks.embed(text).vector) for text in ("long enough", "another one")]

    embedded(seqd, "vectors", "v.npy", "long enough", "another one")
    embedded(seqd, "vectors", "v.parquet", "long enough", "another one")
    embedded(seqd, "loose", "late.npy", "dull", "dull", "ab")
    embedded(seqd, "loose", "none.npy", "dull")
    typed = ("--text", "a", "--columns", "second", "--out", "second.npy")
    seqd("run", "two", "embed", *typed)

    array, late = np.load(tmp_path / "v.npy", mmap_mode="r"), np.load(tmp_path / "late.npy")
    assert (array.shape, array.dtype, array.tolist()) == ((2, 256), np.dtype("<f4"), due)
    assert np.isnan(late[:2]).all() and late[2].tolist() == [1.0, 1.0]
    errors = records_in((tmp_path / "late.errors.jsonl").read_text())
    assert [line["custom_id"] for line in errors] == ["row-1", "row-2"]
    assert np.load(tmp_path / "none.npy").shape == (1, 0)
    assert np.load(tmp_path / "second.npy").tolist() == [[2.0]]
    table = pq.read_table(tmp_path / "v.parquet")
    assert table.schema.names == ["custom_id", "vector", "truncated"]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 256)
    assert table["vector"].to_pylist() == due


def test_vectors_of_two_lengths_make_no_array(seqd: Seqd, tmp_path: Path) -> None:
    ended = embedded(seqd, "loose", "v.npy", "ab", "abc")

    assert (
        "row 2 of the output is a vector of 3 numbers, and those in front of it have 2: one array "
        "cannot hold both. Write .parquet or .jsonl"
    ) in ended.err
    assert not (tmp_path / "v.npy").exists()


@pytest.mark.parametrize(
    ("command", "written_lines"),
    [
        (
            "topics tag --out v.csv",
            [
                "custom_id,labels,truncated",
                'row-1,"[{""label"":""bang"",""score"":0.2},{""label"":""big"",""score"":0.15}]",'
                "false",
            ],
        ),
        (
            "two embed --columns output_version,custom_id --out v.csv",
            ["output_version,custom_id", "3,row-1"],
        ),
        (
            "two embed --columns custom_id,first --out v.jsonl",
            ['{"custom_id":"row-1","first":"AACAPw=="}'],
        ),
        ("stars score --out v.txt", ["0.5"]),
    ],
)
def test_columns_of_a_task_are_the_fields_of_its_output(
    seqd: Seqd, tmp_path: Path, command: str, written_lines: list[str]
) -> None:
    ended = seqd("run", *command.split(), "--text", "big bang")

    assert ended.status == 0, ended.err
    ((_, content),) = written(tmp_path).items()
    assert content.splitlines() == written_lines


#: Outputs of tasks that a form cannot hold, and what is said before anything is handed in.
UNFIT = [
    (
        "vectors embed --out v.csv",
        "the column 'vector' is a vector of 256 numbers, for which .csv has no place. Write .npy "
        "or .parquet, or .jsonl, which has it as base64; or leave it out: --columns "
        "custom_id,truncated",
    ),
    (
        "stars score --out v.npy",
        "an array (.npy) holds vectors, and the output has no vector; it has: score, truncated. "
        "Write .jsonl or .csv",
    ),
    (
        "two embed --out v.npy",
        "an array (.npy) holds one vector a row; allowed: --columns with one of first, second. Or "
        "write .parquet or .jsonl",
    ),
    (
        "two embed --out v.npy --keep stars",
        "an array (.npy) holds one vector a row, and no columns of the input; leave --keep out, or "
        "write .parquet or .jsonl",
    ),
    (
        "two embed --out v.npy.gz",
        "--out is 'v.npy.gz', and an array needs a plain file: its size stands at its beginning "
        "and is known at its end. Name one that ends in .npy",
    ),
]


def test_what_a_form_cannot_hold_is_said_before_anything_is_written(
    seqd: Seqd, tmp_path: Path
) -> None:
    said = {command: seqd("run", *command.split(), "reviews.jsonl") for command, _ in UNFIT}

    expected = {
        command: Ended(2, "", f"error[invalid_request]: {message}\n") for command, message in UNFIT
    }
    assert said == expected
    assert written(tmp_path) == {}


# What commands read.

JSONL = b'{"text": "fine", "label": "positive"}\n"so-so"\n'


@pytest.mark.parametrize(
    ("piped", "names"),
    [
        (JSONL, ["line-1", "line-2"]),
        (b"fine\nso-so\n", ["line-1", "line-2"]),
        (gzip.compress(JSONL), ["line-1", "line-2"]),
        (zstd.compress(JSONL), ["line-1", "line-2"]),
    ],
    ids=["json", "lines", "gzip", "zstd"],
)
def test_a_pipe_is_read_by_what_it_looks_like(seqd: Seqd, piped: bytes, names: list[str]) -> None:
    ended = seqd("classify", "-", "-m", "moods", stdin=piped)

    found = [(one["custom_id"], one["output"]["label"]) for one in records_in(ended.out)]
    assert found == list(zip(names, ["positive", "negative"], strict=True))


def test_labels_of_the_input_give_an_accuracy_and_spoil_no_item(seqd: Seqd, tmp_path: Path) -> None:
    labels = ({"label": "positive"}, {"label": "negative"}, {"label": {"not": "a label"}}, {})
    write(tmp_path / "in.jsonl", *({"text": "fine", "truth": "positive"} | one for one in labels))
    command = ("classify", "in.jsonl", "-m", "moods", "--out", "r.jsonl", "--force", "--json")

    ended = [seqd(*command, *named) for named in ((), ("--label-field", "truth"))]

    assert [one.status for one in ended] == [0, 0]
    found = [one.json() for one in ended]
    told = [(one["labelled_items"], one["accuracy"]) for one in found]  # type: ignore[index]
    assert told == [(2, 0.5), (4, 1.0)]


@pytest.mark.parametrize("source", [("in.jsonl",), ("--text", "fine")])
def test_a_field_that_is_named_and_that_no_record_has_is_said(
    seqd: Seqd, tmp_path: Path, source: tuple[str, ...]
) -> None:
    write(tmp_path / "in.jsonl", {"text": "fine", "mood": "x"}, {"text": "so-so"})
    named = ("--id-field", "key", "--label-field", "mark")

    ended = seqd("classify", *source, "-m", "moods", *named)
    known = seqd("classify", "in.jsonl", "-m", "moods", "--label-field", "mood")

    name = tmp_path / "in.jsonl" if source[0] == "in.jsonl" else "the input"
    assert ended.status == known.status == 0
    assert [line for line in ended.err.splitlines() if line.startswith("No record")] == [
        f"No record of {name} has the field 'key' (--id-field). Results are named by a field `id`, "
        "or by their place, such as row-1.",
        f"No record of {name} has the field 'mark' (--label-field). There is no accuracy to tell.",
    ]
    assert "No record" not in known.err


#: What cannot be read, and what is said before anything is handed in.
UNREAD = [
    (
        ("classify", "reviews.jsonl", "--no-wait", "--label-field", "mood"),
        "invalid_request]: --label-field is 'mood', and a command that does not wait (--no-wait) "
        "compares no results with labels. Leave it out",
    ),
    (("classify",), "invalid_request]: there is nothing to work on; give a file"),
    (
        ("classify", "x.jsonl", "--text", "one"),
        "invalid_request]: a file and texts are both given; give one of the two",
    ),
    (
        ("classify", "reviews.jsonl", "--format", "xml"),
        "invalid_request]: --format is 'xml'; allowed: auto, jsonl, csv, tsv, lines, parquet, "
        "folder",
    ),
    (
        ("train", "moods", "--data", "reviews.jsonl", "--format", "xml"),
        "invalid_request]: --format is 'xml'; allowed: auto, jsonl, csv, lines, folder",
    ),
    (
        ("classify", "twice.jsonl", "-m", "moods"),
        "duplicate_custom_id]: the identifier 'a' is used",
    ),
    (
        ("train", "moods", "--data", "keras:imdb", "--label-field", "mood", "--upload"),
        "invalid_request]: --label-field and --upload are about files, and keras:imdb is a data "
        "set of the plugin. Leave them out",
    ),
    (
        ("sweep", "moods", "--data", "keras:imdb", "--set", "epochs=1,2", "--format", "csv"),
        "invalid_request]: --format is about files, and keras:imdb is a data set of the plugin. "
        "Leave it out",
    ),
    (
        ("classify", "s3://bucket/in.jsonl", "-m", "moods"),
        "invalid_input]: s3://bucket/in.jsonl is a URL; allowed: the path of a file or folder.",
    ),
    (
        ("classify", "reviews.jsonl", "--resume"),
        "invalid_request]: --resume needs a file, --out results.jsonl, beside which",
    ),
    (
        ("classify", "reviews.jsonl", "-m", "moods", "--out", "nowhere/r.csv"),
        "output_unwritable]: --out is 'nowhere/r.csv', which cannot be written (No such file or "
        "directory).",
    ),
    (("classify", "reviews.jsonl", "-m", "nobody", "--out", "r.csv"), "unknown_model]"),
    (("train", "moods", "--data", "missing.jsonl"), "invalid_input]: "),
]


def test_what_cannot_be_read_is_said(seqd: Seqd, tmp_path: Path) -> None:
    write(tmp_path / "twice.jsonl", {"id": "a", "text": "fine"}, {"id": "a", "text": "good"})

    for command, message in UNREAD:
        ended = seqd(*command)

        assert (ended.status, ended.out) == (2, ""), command
        assert ended.err.splitlines()[-1].startswith(f"error[{message}"), ended.err
    assert "missing.jsonl does not exist. Check the path" in ended.err
    assert list(written(tmp_path)) == ["twice.jsonl"], "no note of a job is left"


def test_training_data_are_sent_without_the_loss_of_a_character_or_named_by_their_path(
    seqd: Seqd, tmp_path: Path
) -> None:
    text = "one\n\n  two\r\nthree\n" + "a line of a long text\n" * 10_000
    (tmp_path / "text.txt").write_bytes(text.encode())
    write(tmp_path / "in.jsonl", {"review": "fine", "mood": "good"})
    fields = ("--text-field", "review", "--label-field", "mood")
    learnt.clear()

    def source_of(job: str) -> object:
        shown = seqd("jobs", "show", job, "--json").json()
        assert isinstance(shown, dict)
        return shown["job"]["source"]

    for data in (("text.txt",), ("in.jsonl", *fields)):
        sent = seqd("train", "moods", "--data", *data, "--upload")
        assert sent.status == 0, sent.err
    train = ("train", "moods", "--no-upload", "--no-wait", "--data")
    named = source_of(seqd(*train, "in.jsonl", *fields).out.strip())
    # It may have failed as the command ends, which then says so in place of its name.
    seqd(*train, "/nowhere/test.jsonl", "--job-id", "elsewhere")
    elsewhere = source_of("elsewhere")

    long, short, *_ = learnt
    assert "\n".join(str(part) for part, _ in long) == text
    assert short == [("fine", "good")]
    assert named == {
        "type": "file", "path": str((tmp_path / "in.jsonl").resolve()), "format": "jsonl",
        "id_field": "custom_id", "text_field": "review", "label_field": "mood",
    }  # fmt: skip
    assert isinstance(elsewhere, dict) and elsewhere["path"] == "/nowhere/test.jsonl"


def test_an_error_of_another_file_is_not_said_of_the_output(tmp_path: Path):
    target = Target(tmp_path / "out.jsonl", Form.JSONL)

    with (
        pytest.raises(OSError, match="of the data") as raised,
        placed(target, "--changed", replaces=False) as file,
    ):
        file.write(b"{}\n")
        raise OSError(errno.EIO, "of the data")

    assert raised.value.errno == errno.EIO
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size_bytes", [1, 1_000_000])
def test_an_output_without_room_is_named_when_it_is_written_or_closed(size_bytes: int):
    target = Target(Path("/dev/full"), Form.CSV, is_stream=True)

    with (
        pytest.raises(OutputUnwritable, match=r"^--changed is '/dev/full', which .*\(No space"),
        placed(target, "--changed", replaces=False) as file,
    ):
        file.write(b"x" * size_bytes)

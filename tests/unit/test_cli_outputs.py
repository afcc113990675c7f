"""Outputs: their form by the name, their columns, what goes with them of the input, bad ones."""

import csv
import gzip
import io
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

from cli_builders import a_failure, a_success, clean_environment
from seqd.cli.output_forms import Form, target_of
from seqd.cli.output_options import OutputOptions, opened_output
from seqd.cli.result_columns import Wanted, columns_of
from seqd.cli.result_files import ResultFiles
from seqd.cli.row_writers import Kind
from seqd.cli.sources import feed_of
from seqd.errors import InvalidInput, InvalidRequest, OutputExists, OutputMismatch, OutputUnwritable
from seqd_schemas import GeneratedSample, Generation, ItemFailure, ItemSuccess

REVIEWS = [
    {"id": "a", "text": "fine, really", "stars": 4, "date": "2026-01-02", "label": "positive"},
    {"id": "b", "text": "dull", "stars": None, "date": "2026-01-03", "label": "negative"},
    {"id": "c", "text": "so-so", "stars": 2.5, "tags": ["x"]},
]


def jsonl(folder: Path, records: Sequence[object] = REVIEWS) -> Path:
    path = folder / "reviews.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def written(
    source: Path,
    results: Sequence[ItemSuccess | ItemFailure],
    kind: str = "classify",
    *,
    text_field: str = "text",
    **options: object,
) -> None:
    """Write results beside an input, as a command does."""
    wanted = OutputOptions(**options)  # type: ignore[arg-type]
    reads = wanted.reads_input(kind)
    fields = {"text_field": text_field}
    with (
        feed_of(str(source), [], fields, is_read_twice=reads) as feed,
        opened_output(wanted, kind, feed=feed, source=str(source)) as files,
    ):
        assert files is not None
        for result in results:
            files.write(result)
        files.commit()


def three() -> list[ItemSuccess | ItemFailure]:
    return [a_success("a", score=0.75), a_failure("b"), a_success("c", "negative", 0.5)]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("r.jsonl", Form.JSONL),
        ("r.csv.gz", Form.CSV),
        ("r.TSV.zst", Form.TSV),
        ("r.txt", Form.LINES),
        ("r.parquet", Form.PARQUET),
        ("-", Form.JSONL),
        ("/dev/null", Form.JSONL),
    ],
)
def test_the_form_is_told_by_the_name(name: str, form: Form) -> None:
    assert target_of(Path(name), None).form is form


@pytest.mark.parametrize("name", ["results", "results.xml", "results.jsonl.bz2"])
def test_an_unknown_name_is_refused_with_those_that_are_known(name: str) -> None:
    message = (
        f"--out is '{name}', whose form is unknown; known names end in .jsonl, .csv, .tsv, .txt, "
        ".parquet, .npy, each but .parquet and .npy also with .gz or .zst. Rename it, or name the "
        "form: --out-format jsonl"
    )
    with pytest.raises(InvalidRequest, match=f"^{re.escape(message)}$"):
        target_of(Path(name), None)


def test_a_form_can_be_named_where_the_name_tells_none() -> None:
    assert target_of(Path("results"), "csv").form is Form.CSV


def test_parquet_is_not_compressed_once_more() -> None:
    message = "--out is 'r.parquet.gz'; Parquet compresses its columns itself. Name it 'r.parquet'"
    with pytest.raises(InvalidRequest, match=re.escape(message)):
        target_of(Path("r.parquet.gz"), None)


def test_a_csv_has_a_header_the_kept_columns_and_the_labels(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"

    written(jsonl(tmp_path), three(), out=out, keep="stars,label")

    assert out.read_text() == (
        "custom_id,stars,input_label,label,score\na,4,positive,positive,0.75\nc,2.5,,negative,0.5\n"
    )
    assert (tmp_path / "r.errors.csv").read_text() == (
        "custom_id,stars,input_label,code,message,retryable,attempts\n"
        "b,,negative,invalid_input,text is empty.,false,1\n"
    )


def test_columns_choose_and_order_in_each_form(tmp_path: Path) -> None:
    source = jsonl(tmp_path)

    for name in ("r.csv", "r.tsv", "r.jsonl", "r.parquet"):
        written(source, three(), out=tmp_path / name, columns="text,label,score")

    rows = [("fine, really", "positive", 0.75), ("so-so", "negative", 0.5)]
    assert (tmp_path / "r.csv").read_text() == (
        'text,label,score\n"fine, really",positive,0.75\nso-so,negative,0.5\n'
    )
    assert (tmp_path / "r.tsv").read_text() == (
        "text\tlabel\tscore\nfine, really\tpositive\t0.75\nso-so\tnegative\t0.5\n"
    )
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [tuple(line.items()) for line in lines] == [
        tuple(zip(("text", "label", "score"), row, strict=True)) for row in rows
    ]
    table = pq.read_table(tmp_path / "r.parquet")
    assert [tuple(row.values()) for row in table.to_pylist()] == rows
    assert str(table.schema.field("score").type) == "double"


def test_json_lines_stay_results_with_the_kept_columns_as_their_input(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"

    written(jsonl(tmp_path), three(), out=out, keep="all")

    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line.pop("input") for line in lines] == [REVIEWS[0], REVIEWS[2]]
    assert [ItemSuccess.model_validate(line).custom_id for line in lines] == ["a", "c"]


def test_parquet_has_the_types_of_the_columns_that_it_keeps(tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    columns = {
        "custom_id": pa.array(["a", "b", "c"]),
        "text": pa.array(["x", "y", "z"]),
        "day": pa.array([1, 2, None], type=pa.date32()),
        "kind": pa.array(["k", "k", "l"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), source)

    written(source, three(), out=tmp_path / "r.parquet", keep="day,kind")
    written(source, three(), out=tmp_path / "r.csv", keep="day,kind")

    schema = pq.read_schema(tmp_path / "r.parquet")
    assert [str(schema.field(name).type) for name in ("day", "kind")] == ["date32[day]", "string"]
    assert (tmp_path / "r.csv").read_text().splitlines()[1] == "a,1970-01-02,k,positive,0.75"


def test_parquet_knows_what_fields_of_json_lines_hold_before_it_begins(tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"

    written(jsonl(tmp_path), three(), out=out, keep="stars,tags,date")

    schema = pq.read_schema(out)
    kinds = {field.name: str(field.type) for field in schema}
    assert (kinds["stars"], kinds["tags"], kinds["date"]) == ("double", "string", "string")
    assert pq.read_table(out).to_pylist()[1]["tags"] == '["x"]'


def test_a_generation_has_a_row_for_each_sample(tmp_path: Path) -> None:
    samples = tuple(GeneratedSample(text=f"t{at}", temperature=at, seed=1) for at in (0, 1))
    result = ItemSuccess(custom_id="a", output=Generation(prompt="p", samples=samples))
    out = tmp_path / "r.csv"

    written(jsonl(tmp_path, REVIEWS[:1]), [result], "generate", out=out, keep="stars,text")

    assert out.read_text() == (
        "custom_id,stars,input_text,sample,temperature,text\n"
        'a,4,"fine, really",0,0.0,t0\n'
        'a,4,"fine, really",1,1.0,t1\n'
    )


def test_plain_lines_are_the_labels_and_an_error_is_an_empty_one(tmp_path: Path) -> None:
    written(jsonl(tmp_path), three(), out=tmp_path / "r.txt")

    assert (tmp_path / "r.txt").read_text() == "positive\n\nnegative\n"
    assert '"custom_id":"b"' in (tmp_path / "r.errors.jsonl").read_text()


@pytest.mark.parametrize("line_break", ["\n", "\r"])
def test_plain_lines_take_no_label_with_a_line_break(tmp_path: Path, line_break: str) -> None:
    results = [a_success("a"), a_success("b", f"not{line_break}one line")]

    message = f"line 2 would be {results[1].output.label!r}, which has a line break"  # type: ignore[union-attr]
    with pytest.raises(OutputMismatch, match=re.escape(message)):
        written(jsonl(tmp_path), results, out=tmp_path / "r.txt")

    assert not (tmp_path / "r.txt").exists()


def test_plain_lines_take_no_text_that_may_have_line_breaks(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="allowed: --columns with one of custom_id, label"):
        written(jsonl(tmp_path), three(), out=tmp_path / "r.txt", columns="text")


@pytest.mark.parametrize(
    ("suffix", "inflate"), [(".gz", gzip.decompress), (".zst", zstd.decompress)]
)
def test_tables_are_compressed_too(
    tmp_path: Path, suffix: str, inflate: Callable[[bytes], bytes]
) -> None:
    out = tmp_path / f"r.csv{suffix}"

    written(jsonl(tmp_path), three(), out=out)

    assert inflate(out.read_bytes()).decode().splitlines()[1] == "a,positive,0.75"


def test_errors_go_where_they_are_asked_for_in_the_form_of_that_name(tmp_path: Path) -> None:
    errors = tmp_path / "bad.csv"

    written(jsonl(tmp_path), three(), out=tmp_path / "r.jsonl", errors=errors)

    assert next(csv.DictReader(io.StringIO(errors.read_text())))["code"] == "invalid_input"
    assert not (tmp_path / "r.errors.jsonl").exists()


def test_standard_output_takes_errors_in_place_unless_a_file_is_named(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    written(jsonl(tmp_path), three(), out=Path("-"), keep="stars")
    both = capsysbinary.readouterr().out
    written(jsonl(tmp_path), three(), out=Path("-"), form="csv", errors=tmp_path / "e.jsonl")
    rows = capsysbinary.readouterr().out

    assert [json.loads(line)["status"] for line in both.splitlines()] == [
        "succeeded",
        "errored",
        "succeeded",
    ]
    assert rows == b"custom_id,label,score\na,positive,0.75\nc,negative,0.5\n"
    assert len((tmp_path / "e.jsonl").read_text().splitlines()) == 1


def test_a_named_pipe_is_written_as_it_comes_and_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    written(jsonl(tmp_path), three(), out=pipe, form="csv")

    assert os.read(reader, 1_000).startswith(b"custom_id,label,score\n")
    assert pipe.is_fifo()
    os.close(reader)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"keep": "strs"},
            "--keep names 'strs', and the input has no such column; it has: id, text, stars, date, "
            "label, tags",
        ),
        ({"keep": "stars,,date"}, "--keep is 'stars,,date'; allowed: names with a comma between"),
        ({"keep": "stars,stars"}, "--keep names 'stars' twice; name it once"),
        (
            {"columns": "text,lable"},
            "--columns names 'lable'; allowed: custom_id, label, score, truncated, unknown_share, "
            "uncertain, probabilities, version, and columns of the input: id, text, stars, date, "
            "label, tags",
        ),
        ({"errors": Path("-")}, "--errors is '-'; allowed: a file, or a device such as"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    out = tmp_path / "r.csv"

    with pytest.raises(InvalidRequest, match=re.escape(message)):
        written(jsonl(tmp_path), [], out=out, **options)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["reviews.jsonl"]


@pytest.mark.parametrize("name", ["r.jsonl", "r.errors.jsonl"])
def test_a_file_that_exists_is_replaced_by_force_alone(tmp_path: Path, name: str) -> None:
    source, out = jsonl(tmp_path), tmp_path / "r.jsonl"
    (tmp_path / name).write_text("precious")
    option = "--out" if name == "r.jsonl" else "--errors"

    message = (
        f"{option} is {str(tmp_path / name)!r}, which exists. Name another file, or replace it "
        "with --force"
    )
    with pytest.raises(OutputExists, match=re.escape(message)):
        written(source, three(), out=out)
    assert (tmp_path / name).read_text() == "precious"

    written(source, three(), out=out, force=True)
    assert '"custom_id":"a"' in out.read_text()


def test_a_file_that_comes_into_being_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"

    with ResultFiles(out, replaces=False) as files:
        files.write(a_success())
        out.write_text("of another program")
        with pytest.raises(OutputExists, match="which exists"):
            files.commit()

    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"]
    assert out.read_text() == "of another program"


def test_two_commands_never_write_one_file(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"

    with (
        ResultFiles(out),
        pytest.raises(OutputUnwritable, match="which another command is about to write"),
    ):
        ResultFiles(out)


def test_what_a_killed_command_has_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".r.jsonl.part").write_text("half a li")
    out = tmp_path / "r.jsonl"

    with ResultFiles(out) as files:
        files.write(a_success("a"))
        files.commit()

    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"]
    assert out.read_text().count("\n") == 1


def test_errors_and_results_cannot_share_a_file(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"

    with pytest.raises(InvalidRequest, match="and so is --out; name two files"):
        written(jsonl(tmp_path), [], out=out, errors=out)


class CountedName(str):
    """A name of a column that counts how often such names are compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedName.compared += 1
        return str.__eq__(self, other)


@pytest.mark.parametrize("columns", [(), ("text", "label")])
def test_many_columns_are_kept_in_time_that_grows_with_their_number(
    columns: tuple[str, ...],
) -> None:
    CountedName.compared, names = 0, [CountedName(f"column {number}") for number in range(2_000)]

    kept = columns_of(
        "classify",
        Form.CSV,
        Wanted(keep=("all",), columns=columns),
        dict.fromkeys(["text", *names], Kind.TEXT),
    ).kept

    assert len(kept) == 2_001
    assert CountedName.compared < 10 * len(names)


@pytest.mark.parametrize("count", [2, 3])
def test_an_input_that_has_more_records_than_there_are_results_is_another(
    tmp_path: Path, count: int
) -> None:
    out = tmp_path / "r.csv"

    with pytest.raises(InvalidInput, match=f"it has line {count} behind the last result"):
        written(jsonl(tmp_path), three()[: count - 1], out=out, keep="stars")

    assert not out.exists()


def test_an_input_that_changed_meanwhile_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    source, out = jsonl(tmp_path), tmp_path / "r.csv"

    message = "the input changed while its job ran: where 'x' was, it has line 1."
    with pytest.raises(InvalidInput, match=re.escape(message)):
        written(source, [a_success("x")], out=out, keep="stars")

    assert not out.exists()


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
def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path, name: str) -> None:
    source, out = jsonl(tmp_path), tmp_path / name

    with small_files(100), pytest.raises(OutputUnwritable, match="cannot be written"):
        written(source, [a_success("a"), *[a_failure("b", os.urandom(99).hex())] * 50], out=out)

    assert [path.name for path in tmp_path.iterdir()] == ["reviews.jsonl"]


def test_without_pyarrow_it_says_how_to_install_it(tmp_path: Path) -> None:
    arguments = ["seqd", "classify", "--text", "x", "--out", str(tmp_path / "r.parquet")]
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        f"sys.argv = {arguments!r}\n"
        "from seqd.__main__ import main\n"
        "main()\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=clean_environment()
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("error[no_library]: writing Parquet needs pyarrow")
    assert "pip install 'seqd[parquet]'" in ended.stderr

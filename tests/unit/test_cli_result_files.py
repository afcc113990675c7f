"""Result files: whole or not there, in order, errors beside them."""

import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from cli_builders import a_failure, a_success
from seqd.cli.output_forms import errors_path
from seqd.cli.result_files import ResultFiles
from seqd.errors import InvalidRequest, OutputUnwritable
from seqd.ledger.blobs import pack_results, unpack_lines
from seqd_schemas import Generation, ItemErrorCode, ItemFailure, ItemSuccess


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_text().splitlines()]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files_of(
    results: Iterable[tuple[ItemSuccess | ItemFailure, bytes | None]], folder: Path
) -> dict[str, bytes]:
    """What is in each of the files that results are written to, some with their lines."""
    folder.mkdir(exist_ok=True)
    with ResultFiles(folder / "results.jsonl") as files:
        for result, line in results:
            files.write(result, line)
        files.commit()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_successes_and_errors_go_into_files_of_their_own_in_order(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"

    with ResultFiles(out) as files:
        for result in (a_success("a"), a_failure("b"), a_success("c"), a_failure("d")):
            files.write(result)
        files.commit()

    assert ids_in(out) == ["a", "c"]
    assert ids_in(tmp_path / "results.errors.jsonl") == ["b", "d"]


def test_a_line_that_is_known_is_written_as_it_is(tmp_path: Path) -> None:
    known = b'{"custom_id": "a", "note": "as it was stored"}'

    written = files_of([(a_success("a"), known)], tmp_path)

    assert written == {"results.jsonl": known + b"\n"}


def test_results_without_their_lines_are_written_as_those_with_them(tmp_path: Path) -> None:
    # So it is with a command that goes on with --resume, and with what a retry completes.
    results: list[ItemSuccess | ItemFailure] = [
        a_success("a"),
        a_success("b", uncertain=True),
        ItemSuccess(custom_id="c", output=Generation(prompt="é", samples=())),
        ItemSuccess(custom_id="d", output={"spans": [[0, 4]], "score": 0.1}),
        a_failure("e"),
        a_failure("f", code=ItemErrorCode.CANCELLED),
    ]
    (row,) = pack_results(results)
    lines = list(unpack_lines(row))

    from_scratch = files_of(lines, tmp_path / "scratch")
    resumed = files_of([(line.result, None) for line in lines], tmp_path / "resumed")

    assert resumed == from_scratch
    assert b"schema_version" not in b"".join(resumed.values())


def test_without_errors_there_is_no_errors_file_not_even_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "results.errors.jsonl").write_text("of yesterday")

    with ResultFiles(tmp_path / "results.jsonl") as files:
        files.write(a_success())
        files.commit()

    assert names_in(tmp_path) == ["results.jsonl"]


def test_a_run_that_breaks_off_leaves_everything_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    out.write_text("of yesterday")

    with pytest.raises(KeyboardInterrupt), ResultFiles(out) as files:
        files.write(a_success())
        files.write(a_failure())
        raise KeyboardInterrupt

    assert names_in(tmp_path) == ["results.jsonl"]
    assert out.read_text() == "of yesterday"


def test_nothing_has_its_final_name_before_the_end(tmp_path: Path) -> None:
    with ResultFiles(tmp_path / "results.jsonl") as files:
        files.write(a_success())

        assert not (tmp_path / "results.jsonl").exists()


def test_a_name_that_ends_in_gz_is_compressed(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl.gz"

    with ResultFiles(out) as files:
        files.write(a_success("a"))
        files.write(a_failure("b"))
        files.commit()

    assert '"a"' in gzip.decompress(out.read_bytes()).decode()
    assert '"b"' in gzip.decompress((tmp_path / "results.errors.jsonl.gz").read_bytes()).decode()


@pytest.mark.parametrize(
    ("out", "errors"),
    [
        ("results.jsonl", "results.errors.jsonl"),
        ("results", "results.errors"),
        ("a.b.jsonl", "a.b.errors.jsonl"),
        ("results.jsonl.gz", "results.errors.jsonl.gz"),
    ],
)
def test_the_errors_file_is_named_after_the_results_file(out: str, errors: str) -> None:
    assert errors_path(Path("folder") / out) == Path("folder") / errors


def test_the_input_is_never_replaced_whatever_it_is_called(tmp_path: Path) -> None:
    source = tmp_path / "reviews.jsonl"
    source.write_text("precious")
    (tmp_path / "link.jsonl").symlink_to(source)

    with pytest.raises(InvalidRequest, match="which is the input itself; name another file"):
        ResultFiles(tmp_path / "link.jsonl", source=str(source))

    assert source.read_text() == "precious"


def test_a_folder_that_does_not_exist_is_known_before_the_work_begins(tmp_path: Path) -> None:
    out = tmp_path / "nowhere" / "results.jsonl"

    message = f"--out is {str(out)!r}, which cannot be written (No such file or directory)."
    with pytest.raises(OutputUnwritable, match=re.escape(message)):
        ResultFiles(out)


def test_a_folder_is_no_results_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="a folder; name a file in it"):
        ResultFiles(tmp_path)

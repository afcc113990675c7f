"""Forms of an output file: by the end of its name, or else by `--out-format`."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from seqd.cli.readers import choice
from seqd.errors import InvalidRequest
from seqd.inputs.paths import Compression, compression_of


class Form(StrEnum):
    """How results are written."""

    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    LINES = "lines"
    PARQUET = "parquet"
    NPY = "npy"


_SUFFIXES = {
    ".jsonl": Form.JSONL,
    ".csv": Form.CSV,
    ".tsv": Form.TSV,
    ".txt": Form.LINES,
    ".parquet": Form.PARQUET,
    ".npy": Form.NPY,
}

#: Forms that hold no errors: those stand in lines of JSON beside them.
WITHOUT_ERRORS = (Form.LINES, Form.NPY)


@dataclass(frozen=True, slots=True)
class Target:
    """An output: a file that gets its name at the end, or a stream that is written at once."""

    path: Path
    form: Form
    compression: Compression | None = None
    #: True for standard output, a pipe and a device: none of them can be replaced.
    is_stream: bool = False

    @property
    def is_stdout(self) -> bool:
        """True for `-`."""
        return self.path == Path("-")


def target_of(path: Path, declared: str | None, option: str = "--out") -> Target:
    """Return what a path asks for.

    Raises InvalidRequest for a name that tells no form, a folder, a compressed Parquet file or
    array, and an array on a stream.
    """
    if path.is_dir():
        raise InvalidRequest(f"{option} is {str(path)!r}, a folder; name a file in it")
    is_stream = path == Path("-") or (path.exists() and not path.is_file())
    compression = compression_of(path)
    plain = path if compression is None else path.with_suffix("")
    form = _SUFFIXES.get(plain.suffix.lower())
    if declared:
        form = Form(choice("--out-format", declared, Form))
    if form is None and is_stream:
        form = Form.JSONL
    if form is None:
        raise InvalidRequest(
            f"{option} is {str(path)!r}, whose form is unknown; known names end in "
            f"{', '.join(_SUFFIXES)}, each but .parquet and .npy also with .gz or .zst. Rename it, "
            "or name the form: --out-format jsonl"
        )
    if form is Form.NPY and (is_stream or compression is not None):
        raise InvalidRequest(
            f"{option} is {str(path)!r}, and an array needs a plain file: its size stands at its "
            "beginning and is known at its end. Name one that ends in .npy"
        )
    if form is Form.PARQUET and compression is not None:
        raise InvalidRequest(
            f"{option} is {str(path)!r}; Parquet compresses its columns itself. Name it "
            f"{str(plain)!r}"
        )
    return Target(path, form, compression, is_stream)


def errors_path(path: Path) -> Path:
    """Return the errors file of a results file: `results.errors.jsonl` for `results.jsonl`.

    Lines of text and arrays hold no errors: beside `results.txt` stands `results.errors.jsonl`.
    """
    compression = compression_of(path)
    plain = path if compression is None else path.with_suffix("")
    form = _SUFFIXES.get(plain.suffix.lower())
    suffix = ".jsonl" if form in WITHOUT_ERRORS else plain.suffix
    packed = "" if compression is None else path.suffix
    return path.with_name(f"{plain.stem}.errors{suffix}{packed}")

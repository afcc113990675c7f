"""The input of a command: a file, standard input, or texts on the command line.

The command line reads files itself and streams them through the client, so that the daemon
may be on another machine. Training data is different: see `data_of`.
"""

import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from seqd.cli.options import choice
from seqd.errors import InvalidRequest
from seqd.inputs.items import BadEntry, items_of
from seqd.inputs.training import label_of
from seqd_schemas import FileFormat, FileSource, Item, NamedSource, RefusedItem

if TYPE_CHECKING:
    from seqd.inputs.datasets import FileDataset
    from seqd.inputs.records import Value

#: How a plugin's own data set is named, such as `keras:imdb`.
_NAMED = re.compile(r"[a-z][a-z0-9_]*:[a-z0-9_]+")

#: Characters of a running text that are sent as one record; such a block is hardly ever blank.
_BLOCK_CHARS = 65_536

_COPY_BYTES = 262_144
_GZIP_MAGIC = b"\x1f\x8b"


class Feed:
    """The items of a job, to be read once by the client; their true labels stay here."""

    def __init__(
        self,
        entries: "Callable[[Callable[[Value], None]], Iterable[Item | RefusedItem]]",
        label_field: str | None = None,
    ) -> None:
        self._entries = entries
        self._label_field = label_field
        #: The true label of each item, in order, None where it has none; empty without a
        #: `label_field`. Whoever compares results with them removes them at the front, so that
        #: only a few are held.
        self.labels: deque[str | None] = deque()
        #: True once the last item was read, so that their number is known.
        self.is_complete = False

    def __iter__(self) -> Iterator[Item | RefusedItem]:
        yield from self._entries(self._keep_label)
        self.is_complete = True

    def _keep_label(self, value: "Value") -> None:
        if self._label_field is not None:
            self.labels.append(_label(value, self._label_field))


@contextmanager
def feed_of(
    file: str | None,
    texts: Sequence[str],
    source: Mapping[str, str],
    *,
    label_field: str | None = None,
    allow_empty: bool = False,
) -> Iterator[Feed]:
    """Yield the items of a file (`-` is standard input) or of texts.

    `source` has the fields `format`, `id_field` and `text_field` of a FileSource. No labels are
    kept without a `label_field`. Raises InvalidRequest for both or neither of file and texts, and
    InvalidInput for a file that cannot be used.
    """
    if (file is None) == (not texts):
        raise InvalidRequest(
            "a file and texts are both given; give one of the two"
            if texts
            else "there is nothing to work on; give a file, `-` for standard input, or texts"
        )
    if file is None:
        yield Feed(lambda on_record: items_of(texts, allow_empty=allow_empty))
        return
    # What reads files is imported where there is one: a text on the command line needs none.
    from seqd.inputs.reading import read_items

    with _readable(file) as path:
        named = file_source(path, **source)
        yield Feed(
            lambda on_record: read_items(named, allow_empty=allow_empty, on_record=on_record),
            label_field,
        )


def file_source(path: Path, *, format: str = "auto", **fields: str) -> FileSource:  # noqa: A002
    """Return a local file as a source, by its absolute path. Raises InvalidInput."""
    from seqd.inputs.paths import format_of, locate

    wanted = FileFormat(choice("--format", format, [known.value for known in FileFormat]))
    for name, value in fields.items():
        if not 1 <= len(value) <= 128:
            raise InvalidRequest(
                f"--{name.replace('_', '-')} has {len(value)} characters; allowed: 1 to 128"
            )
    real = locate(path)
    return FileSource.model_validate(
        {"path": str(real), "format": format_of(real, wanted)} | fields
    )


def data_of(name: str, **fields: str) -> FileSource | NamedSource:
    """Return training data as the worker that trains finds it: a path, or a plugin's own set.

    A path that is missing here may exist on the worker's machine, if it is absolute and the
    format can be told from its name; the worker has the last word. Raises InvalidInput.
    """
    path = Path(name)
    if _NAMED.fullmatch(name) and not path.exists():
        return NamedSource(name=name)
    if path.is_absolute() and not path.exists() and fields.get("format") != FileFormat.FOLDER:
        return FileSource.model_validate({"path": name} | fields)
    return file_source(path, **fields)


@contextmanager
def dataset_of(file: str, **fields: str) -> "Iterator[FileDataset]":
    """Yield a file (`-` is standard input) as data that is read here."""
    from seqd.inputs.datasets import FileDataset

    with _readable(file) as path:
        yield FileDataset(file_source(path, **fields))


def records_here(
    source: FileSource | NamedSource,
) -> Iterator[Mapping[str, object]] | FileSource | NamedSource:
    """Return the records of a file that is here, to be uploaded; what workers find, as it is."""
    if isinstance(source, FileSource) and Path(source.path).exists():
        return records_of(source)
    return source


def records_of(source: FileSource) -> Iterator[Mapping[str, object]]:
    """Yield the records of training data, to be uploaded; a running text in blocks of lines."""
    from seqd.inputs.datasets import FileDataset

    data = FileDataset(source)
    if source.format is FileFormat.LINES:
        yield from ({"text": block} for block in _blocks(data.text()))
    else:
        yield from ({"text": row.text, "label": row.label} for row in data.records())


def _blocks(text: str) -> Iterator[str]:
    """Yield a text in blocks of whole lines, which joined by newlines are the text again."""
    lines: list[str] = []
    length = 0
    for line in text.split("\n"):
        if length + len(line) > _BLOCK_CHARS and lines:
            yield "\n".join(lines)
            lines, length = [], 0
        lines.append(line)
        length += len(line) + 1
    yield "\n".join(lines)


@contextmanager
def _readable(file: str) -> Iterator[Path]:
    if file != "-":
        yield Path(file)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="seqd-") as folder:
        yield _spooled(Path(folder))


def _spooled(folder: Path) -> Path:
    """Copy standard input into a file, so that it is checked as any file is; return its path.

    Its name says what it looks like: JSON lines begin with a brace or a quote.
    """
    stream = sys.stdin.buffer
    head = stream.read(_COPY_BYTES)
    suffix = ".jsonl" if head.lstrip()[:1] in (b"{", b'"') else ".txt"
    if head.startswith(_GZIP_MAGIC):
        raise InvalidRequest("standard input is compressed; pipe it through `gzip -d` first")
    path = folder / f"stdin{suffix}"
    with path.open("wb") as copy:
        while head:
            copy.write(head)
            head = stream.read(_COPY_BYTES)
    return path


def _label(value: "Value", field: str) -> str | None:
    if not isinstance(value, Mapping):
        return None
    try:
        return label_of(value.get(field))
    except BadEntry:
        return None  # No usable label, and an item needs none.

"""The input of a command: a file, standard input, or texts on the command line.

The command line reads files itself and streams them through the client, so that the daemon
may be on another machine. Training data may be read by workers instead: see `data_of`.
"""

import os
import re
import stat
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING

from seqd.cli.readers import choice
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidInput, InvalidRequest
from seqd.inputs.file_state import FileState, refuse_written
from seqd.inputs.items import BadEntry, ItemRules
from seqd.inputs.paths import check_url, format_of, locate, refuse_url
from seqd.inputs.paths import shown as shown_path
from seqd.inputs.training import label_of
from seqd.objects import is_url
from seqd.validation import shown
from seqd_schemas import FileFormat, FileSource, Item, NamedSource, RefusedItem

if TYPE_CHECKING:
    from seqd.inputs.datasets import FileDataset
    from seqd.inputs.live import LiveText
    from seqd.inputs.local import LocalFormat, LocalInput
    from seqd.inputs.records import Entry, Value

#: How a plugin's own data set is named, such as `keras:imdb`.
_NAMED = re.compile(r"[a-z][a-z0-9_]*:[a-z0-9_]+")

#: Characters of a running text that are sent as one record; such a block is hardly ever blank.
_BLOCK_CHARS = 65_536


class Feed:
    """The items of a job, to be read once by the client; their true labels stay here."""

    def __init__(
        self,
        source: "Texts | LocalInput",
        label_field: str | None = None,
        *,
        live: "LiveText | None" = None,
    ) -> None:
        #: What the items are made of.
        self.source = source
        self._label_field = label_field
        self._live = live
        #: The fields that options name and no record has had so far, by option.
        self.unseen = {
            f"--{field.replace('_', '-')}": name
            for field, name in (
                ("id_field", source.item_rules.id_field),
                ("label_field", label_field),
            )
            if name not in (None, FileSource.model_fields[field].default)
        }
        #: The true label of each item, in order, None where it has none;
        #: empty without a `label_field`. Whoever compares results with them removes them at the
        #: front, so that only a few are held.
        self.labels: deque[str | None] = deque()
        #: True once the last item was read.
        self.is_complete = False
        self._is_closed = False
        #: The thread that waits for the next item, 0 where none does; None before the first.
        self._reader: int | None = None

    def __iter__(self) -> Iterator[Item | RefusedItem]:
        self._reader = get_ident()
        for entry in self.source.items(self._look):
            if self._is_closed:
                raise InvalidInput("the input was not read to its end")
            self._reader = 0
            yield entry
            self._reader = get_ident()
        self._reader = 0
        self.is_complete = True

    @property
    def text_field(self) -> str:
        """The name of the field with the text."""
        return self.source.text_field

    @property
    def name(self) -> str:
        """How messages call the input as a whole."""
        return "the input" if isinstance(self.source, Texts) else shown_path(self.source.path)

    def is_live(self) -> bool:
        """Return True while more may come from a pipe."""
        return self._live is not None and not self.is_complete

    @property
    def is_read_here(self) -> bool:
        """True while this thread reads it, or is about to begin."""
        return self._reader in (None, get_ident())

    def refuse_written(self) -> None:
        """Raise InvalidInput where the file was written to since its reading began."""
        if not isinstance(self.source, Texts):
            refuse_written(self.source.path, self.source.state)

    def close(self) -> None:
        """Have whoever reads the items, or waits for more of a pipe, raise InvalidInput."""
        self._is_closed = True
        if self._live is not None and not self.is_complete:
            self._live.close()

    def _look(self, value: "Value") -> None:
        """Note which fields a record has, and keep its label."""
        if self.unseen and isinstance(value, Mapping):
            self.unseen = {one: name for one, name in self.unseen.items() if name not in value}
        if self._label_field is not None:
            self.labels.append(_label(value, self._label_field))


def say_unseen(screen: Screen, feed: Feed) -> None:
    """Say which fields options name that no record had, once the input is read to its end."""
    without = {
        "--id-field": "Results are named by a field `id`, or by their place, such as row-1.",
        "--label-field": "There is no accuracy to tell.",
    }
    for option, name in feed.unseen.items() if feed.is_complete else ():
        screen.on_stderr().say(
            f"No record of {feed.name} has the field {name!r} ({option}). {without[option]}",
            "yellow",
        )


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts or records of a command line, as an input; a text has one column."""

    texts: Sequence[str | Mapping[str, object]]
    item_rules: ItemRules

    @property
    def text_field(self) -> str:
        """The name of the column of texts."""
        return self.item_rules.text_field

    def items(self, on_record: "Callable[[Value], None]") -> Iterator[Item | RefusedItem]:
        """Yield the items; no record has a label."""
        for number, text in enumerate(self.texts, start=1):
            if isinstance(text, Mapping):
                on_record(text)
            yield self.item_rules.item(text, number)

    def entries(self, columns: Iterable[str] = ()) -> "Iterator[Entry]":
        """Yield the texts as records."""
        from seqd.inputs.records import Entry

        for number, text in enumerate(self.texts, start=1):
            yield Entry(f"row-{number}", f"row {number}", text)

    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return [self.text_field] if self.item_rules.fields is None else [*self.item_rules.fields]


@contextmanager
def feed_of(
    file: str | None,
    texts: Sequence[str | Mapping[str, object]],
    source: Mapping[str, str],
    *,
    rules: ItemRules | None = None,
    beside: Sequence[str] = (),
    label_field: str | None = None,
    is_read_twice: bool = False,
) -> Iterator[Feed]:
    """Yield the items of a file, a pipe (`-` is standard input) or of texts.

    `source` has the fields `format`, `id_field` and `text_field` of a FileSource; `rules` say what
    an item is made of, where that is not a text that is not empty. `beside` are columns that no
    record is to have, as they go to the output. No labels are kept without a `label_field`. The
    items of a pipe are read as they come; one that `is_read_twice` is copied into a temporary file
    first. Raises InvalidRequest for both or neither of file and texts, and InvalidInput for a file
    that cannot be used.
    """
    if (file is None) == (not texts):
        raise InvalidRequest(
            "a file and texts are both given; give one of the two"
            if texts
            else "there is nothing to work on; give a file, `-` for standard input, or texts"
        )
    if file is None:
        text_field, id_field = source.get("text_field", "text"), source.get("id_field", "custom_id")
        rules = rules or ItemRules(text_field=text_field, id_field=id_field)
        yield Feed(Texts(texts, rules), label_field)
        return
    if label_field is not None:
        source = {**source, "label_field": label_field}
    fields = () if rules is None or rules.fields is None else rules.fields
    no_fields = tuple(name for name in beside if name not in fields)
    # What reads files is imported where there is one: a text on the command line needs none.
    if file != "-" and not _is_pipe(file):
        refuse_url(file)  # a Path would drop one of its slashes
        found = replace(local_input(Path(file), **source), rules=rules, beside=no_fields)
        yield Feed(found, label_field)
        return
    with _pipe(file, source, is_read_twice=is_read_twice) as (piped, live):
        source_of_pipe = replace(piped, rules=rules, beside=no_fields)
        feed = Feed(source_of_pipe, label_field, live=live)
        try:
            yield feed
        finally:
            feed.close()


def refuse_text_as_file(file: str | None) -> None:
    """Raise InvalidInput for a text that stands where a file is due: it has a blank in it."""
    if file is not None and " " in file.strip() and not os.path.lexists(file):
        raise InvalidInput(
            f"there is no file {shown(file)}. To give a text, write --text in front of it"
        )


def local_input(path: Path, *, format: str = "auto", **fields: str) -> "LocalInput":  # noqa: A002
    """Return a local file as an input that is read here, always as it is now.

    Raises InvalidInput.
    """
    from seqd.inputs.local import LocalInput, local_format_of

    wanted = _local_format(format)
    _check_fields(fields)
    real = locate(path)
    names = FileSource.model_validate({"path": str(real)} | fields)
    kind = local_format_of(real, wanted)
    return LocalInput(real, kind, names, state=FileState.of(real))


def _local_format(name: str) -> "LocalFormat":
    from seqd.inputs.local import LocalFormat

    return LocalFormat(choice("--format", name, [known.value for known in LocalFormat]))


def _is_pipe(file: str) -> bool:
    """Return True for a named pipe, such as the shell's `<(...)`."""
    try:
        return stat.S_ISFIFO(Path(file).stat().st_mode)
    except (OSError, ValueError):
        return False


@contextmanager
def _pipe(
    file: str, source: Mapping[str, str], *, is_read_twice: bool
) -> "Iterator[tuple[LocalInput, LiveText | None]]":
    from seqd.inputs.live import LiveText
    from seqd.inputs.local import LocalFormat, LocalInput

    fields = {name: value for name, value in source.items() if name != "format"}
    wanted = _local_format(source.get("format", "auto"))
    _check_fields(fields)
    with ExitStack() as stack:
        stream = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
        live = LiveText(stream, "standard input" if file == "-" else file)
        kind = _format_by_head(live.head()) if wanted is LocalFormat.AUTO else wanted
        if not is_read_twice and kind is not LocalFormat.PARQUET:
            names = FileSource.model_validate({"path": "/dev/stdin"} | fields)
            yield LocalInput(live.path, kind, names, live.opener(), live.state), live
            return
        copy = stack.enter_context(_copied(live, f".{kind}"))
        yield local_input(copy, **{**fields, "format": kind}), None


def _format_by_head(head: bytes) -> "LocalFormat":
    """Tell a format by its first bytes: JSON lines begin with a brace or a quote."""
    from seqd.inputs.local import LocalFormat

    if head.startswith(b"PAR1"):
        return LocalFormat.PARQUET
    return LocalFormat.JSONL if head.lstrip()[:1] in (b"{", b'"') else LocalFormat.LINES


@contextmanager
def _copied(live: "LiveText", suffix: str) -> Iterator[Path]:
    """Yield a copy of what comes, which can be read twice, and is checked as any file is."""
    with tempfile.TemporaryDirectory(prefix="seqd-") as folder:
        path = Path(folder) / f"stdin{suffix}"
        try:
            with path.open("wb") as copy:
                for chunk in live.chunks():
                    copy.write(chunk)
        except OSError as error:
            raise InvalidInput(
                f"standard input cannot be copied into a temporary file under {path.parent.parent} "
                f"({error.strerror}). Make room there, or name another folder by TMPDIR"
            ) from error
        yield path


def _check_fields(fields: Mapping[str, str]) -> None:
    for name, value in fields.items():
        if not 1 <= len(value) <= 128:
            raise InvalidRequest(
                f"--{name.replace('_', '-')} has {len(value)} characters; allowed: 1 to 128"
            )


def file_source(path: Path, *, format: str = "auto", **fields: str) -> FileSource:  # noqa: A002
    """Return a local file as a source, by its absolute path. Raises InvalidInput."""
    wanted = FileFormat(choice("--format", format, [known.value for known in FileFormat]))
    _check_fields(fields)
    real = locate(path)
    return FileSource.model_validate(
        {"path": str(real), "format": format_of(real, wanted)} | fields
    )


def data_of(name: str, **fields: str) -> FileSource | NamedSource:
    """Return training data as the worker that trains finds it: a path, or a plugin's own set.

    A path that is missing here may exist on the worker's machine, if it is absolute and the
    format can be told from its name; the worker has the last word, as of a URL. Raises
    InvalidInput.
    """
    path = Path(name)
    if is_url(name):
        check_url(name)
        return FileSource.model_validate({"path": name} | fields)
    if _NAMED.fullmatch(name) and not path.exists():
        return NamedSource(name=name)
    if path.is_absolute() and not path.exists() and fields.get("format") != FileFormat.FOLDER:
        return FileSource.model_validate({"path": name} | fields)
    return file_source(path, **fields)


def refuse_of_files(
    sources: Sequence[FileSource | NamedSource | None],
    fields: Mapping[str, str],
    *,
    uploads: bool | None = None,
) -> None:
    """Raise InvalidRequest for options on files where data sets of the plugin alone are named."""
    named = [one.name for one in sources if isinstance(one, NamedSource)]
    if any(isinstance(one, FileSource) for one in sources):
        return
    given = [
        f"--{name.replace('_', '-')}"
        for name, value in fields.items()
        if value != FileSource.model_fields[name].default
    ]
    given += ["--upload"] if uploads else []
    if given:
        are, them = ("is", "it") if len(given) == 1 else ("are", "them")
        raise InvalidRequest(
            f"{' and '.join(given)} {are} about files, and {named[0]} is a data set of the plugin. "
            f"Leave {them} out"
        )


@contextmanager
def dataset_of(file: str, **fields: str) -> "Iterator[FileDataset]":
    """Yield a file (`-` is standard input) as data that is read here."""
    from seqd.inputs.datasets import FileDataset
    from seqd.inputs.live import LiveText

    if file != "-":
        yield FileDataset(file_source(Path(file), **fields))
        return
    live = LiveText(sys.stdin.buffer, "standard input")
    is_jsonl = _format_by_head(live.head()) == "jsonl"
    with _copied(live, ".jsonl" if is_jsonl else ".txt") as path:
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
        yield from (
            {"text": block} for block in _blocks(segment.text for segment in data.segments())
        )
    else:
        yield from ({"text": row.text, "label": row.label} for row in data.records())


def _blocks(segments: Iterable[str]) -> Iterator[str]:
    """Yield a text in blocks of whole lines, which joined by newlines are the text again."""
    held = ""
    for segment in segments:
        held += segment
        begin = 0
        while (end := held.find("\n", begin + _BLOCK_CHARS)) >= 0:
            yield held[begin:end]
            begin = end + 1
        held = held[begin:]
    yield held


def _label(value: "Value", field: str) -> str | None:
    if not isinstance(value, Mapping):
        return None
    try:
        label = label_of(value.get(field))
        return None if label is None else sys.intern(label)  # few of them, and many items
    except BadEntry:
        return None  # No usable label, and an item needs none.

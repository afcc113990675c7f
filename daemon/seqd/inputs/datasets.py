"""Training data as plugins see it: `seqd.hookspecs.Dataset` over files, lists and names.

Running text is read whole, or in segments where it is larger than memory. Each data set has a
fingerprint: a digest that any change to its texts or labels changes.
"""

import codecs
import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from seqd.errors import InvalidData, InvalidInput
from seqd.hookspecs import LabelledRecord, TextSegment
from seqd.inputs.file_state import FileState, telling_changes
from seqd.inputs.items import BadEntry
from seqd.inputs.paths import format_of, locate, shown
from seqd.inputs.records import reader_of, training_half
from seqd.inputs.streams import TORN, Content, explained, open_text_bytes
from seqd.inputs.training import text_and_label
from seqd_schemas import (
    MAX_CLASSES,
    MAX_LISTED_CLASSES,
    DataFingerprint,
    FileFormat,
    FileSource,
)

#: Length that stands for a label that is not there.
_NO_LABEL = b"\xff" * 8


#: Different labels that are counted one by one, the first in the data.
MAX_COUNTED = MAX_CLASSES


class ClassCounts:
    """How many records are of which class, in memory that no data set can outgrow."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._labelled = 0

    def add(self, label: str | None, records: int = 1) -> None:
        """Count records of a class. Of labels beyond `MAX_COUNTED` the sum alone is kept."""
        if label is None:
            return
        self._labelled += records
        if label in self._counts or len(self._counts) < MAX_COUNTED:
            self._counts[label] += records

    def listed(self) -> dict[str, int]:
        """Return the records of the most frequent classes, the most first, then by name."""
        order = sorted(self._counts.items(), key=lambda one: (-one[1], one[0]))
        return dict(order[:MAX_LISTED_CLASSES])

    def other(self) -> int:
        """Return the labelled records whose class is not among those that are `listed`."""
        return self._labelled - sum(self.listed().values())


class FingerprintTaker:
    """Takes one data set's records in order; `size` is the number of records or characters."""

    def __init__(self, *, counts_characters: bool = False) -> None:
        self._digest = hashlib.sha256()
        #: Of the texts joined by newlines, which are the same however they were parted.
        self._text_digest = hashlib.sha256()
        self._classes = ClassCounts()
        self._counts_characters = counts_characters
        self._is_empty = True
        self.size = 0

    def add(self, record: LabelledRecord) -> None:
        """Take the next record."""
        if record.label is None:
            self._digest.update(_NO_LABEL)
        else:
            self._add(record.label.encode())
        content = record.text.encode()
        self._add(content)
        if not self._is_empty:
            self._text_digest.update(b"\n")
        self._is_empty = False
        self._text_digest.update(content)
        self._classes.add(record.label)
        self.size += len(record.text) if self._counts_characters else 1

    def add_segments(self, size_bytes: int, segments: Iterable[str]) -> None:
        """Take a running text of so many bytes that comes in segments, as `add` would the whole."""
        self._digest.update(_NO_LABEL)
        self._digest.update(size_bytes.to_bytes(8, "big"))
        for segment in segments:
            content = segment.encode()
            self._digest.update(content)
            self._text_digest.update(content)
            self.size += len(segment)

    def fingerprint(self, description: str) -> DataFingerprint:
        """Return the fingerprint of what was taken so far."""
        return DataFingerprint(
            description=description[:512],
            records=self.size,
            sha256=self._digest.hexdigest(),
            text_sha256=self._text_digest.hexdigest(),
            classes=self._classes.listed(),
            other_labelled=self._classes.other(),
        )

    def _add(self, content: bytes) -> None:
        self._digest.update(len(content).to_bytes(8, "big"))
        self._digest.update(content)


#: Longest text that is read whole, in bytes.
MAX_RUNNING_TEXT_BYTES = 2**30

#: How much of a text is in memory at once where it is read in segments.
SEGMENT_BYTES = 2**20


def read_running_text(path: Path, state: FileState, content: Content | None = None) -> str:
    """Read a text file whole. Raises InvalidInput or InvalidData."""
    segments, size_bytes = [], 0
    for segment in read_segments(path, state, content):
        segments.append(segment)
        size_bytes += len(segment.encode())
        if size_bytes > MAX_RUNNING_TEXT_BYTES:
            raise InvalidInput(
                f"{shown(path)} is longer than {MAX_RUNNING_TEXT_BYTES:,} bytes, which is the most "
                "that is learnt from as one text. Split it"
            )
    return "".join(segments)


def read_segments(path: Path, state: FileState, content: Content | None = None) -> Iterator[str]:
    """Yield a text file of any length, SEGMENT_BYTES at a time; raises as `read_running_text`."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 0
    seen = state if content is None else None
    with telling_changes(path, seen), open_text_bytes(path, state, content) as stream:
        block = b"any"
        while block:
            try:
                block = stream.read(SEGMENT_BYTES)
                segment = decoder.decode(block, final=not block)
            except TORN as error:
                raise explained(path, error, "somewhere in its text") from error
            except UnicodeDecodeError as error:
                line = lines + error.object.count(b"\n", 0, error.start) + 1
                raise InvalidData(
                    f"{path.name}, line {line:,}: byte {error.object[error.start]:#04x} is not "
                    "UTF-8. Convert it, as `iconv -f LATIN1 -t UTF-8` does"
                ) from None
            lines += block.count(b"\n")
            if segment:
                yield segment


def fingerprint_of(
    path: Path, description: str, state: FileState, content: Content | None = None
) -> DataFingerprint:
    """Take the fingerprint of a text file of any length; it is read twice."""
    size_bytes = sum(len(segment.encode()) for segment in read_segments(path, state, content))
    taker = FingerprintTaker(counts_characters=True)
    taker.add_segments(size_bytes, read_segments(path, state, content))
    return taker.fingerprint(description)


def stated_fingerprint(
    description: str, records: int, sha256: str, classes: Mapping[str, int] | None
) -> DataFingerprint:
    """Return the fingerprint of data that its plugin alone reads; raises ValidationError."""
    counts = ClassCounts()
    for label, number in (classes or {}).items():
        counts.add(label, number)
    return DataFingerprint(
        description=description,
        records=records,
        sha256=sha256,
        classes=counts.listed(),
        other_labelled=counts.other(),
    )


class RecordDataset(ABC):
    """Data with records. Whoever reads it to its end first takes its fingerprint on the way."""

    def __init__(self, description: str, *, is_running_text: bool = False) -> None:
        self._description = description
        self._is_running_text = is_running_text
        self._fingerprint: DataFingerprint | None = None

    @property
    def description(self) -> str:
        """Where it came from, for people; without a full path."""
        return self._description

    @property
    def named(self) -> str | None:
        """None: it has records of its own."""
        return None

    def records(self) -> Iterator[LabelledRecord]:
        """Read all records in order, from the start at each call.

        Raises InvalidData at the first record that is none, with its place and the reason.
        """
        taker = FingerprintTaker(counts_characters=self._is_running_text)
        for record in self._read():
            taker.add(record)
            yield record
        if not taker.size:
            raise InvalidData(f"{self.description} holds no record; at least one is due")
        if self._fingerprint is None:
            self._fingerprint = taker.fingerprint(self.description)

    def text(self) -> str:
        """Return the texts of all records, joined by newlines; of a running text its content.

        A plain file's content is unchanged but for a byte order mark, line ends included.
        """
        return "\n".join(record.text for record in self.records())

    def segments(self) -> Iterator[TextSegment]:
        """Read all texts in segments."""
        for record in self.records():
            yield TextSegment(record.text, record.label)

    def fingerprint(self) -> DataFingerprint:
        """Return size and digest; reads the data only if nobody has read it to its end yet.

        The size is the number of records, of a running text that of its characters.
        """
        if self._fingerprint is None:
            for _ in self.records():
                pass
        assert self._fingerprint is not None, "records() took it at its end"
        return self._fingerprint

    def fingerprint_if_read(self) -> DataFingerprint | None:
        """Return size and digest where somebody has read the data to its end, else None."""
        return self._fingerprint

    @abstractmethod
    def _read(self) -> Iterator[LabelledRecord]:
        """Read all records in order."""


class ListDataset(RecordDataset):
    """Records in memory: an upload's, or a test's."""

    def __init__(self, records: Sequence[LabelledRecord], description: str) -> None:
        super().__init__(description)
        self._records = records

    def _read(self) -> Iterator[LabelledRecord]:
        return iter(self._records)


class TextDataset(RecordDataset):
    """One running text in memory, such as a test's: `text()` gives it unchanged."""

    def __init__(self, text: str, description: str) -> None:
        super().__init__(description, is_running_text=True)
        self._text = text

    def _read(self) -> Iterator[LabelledRecord]:
        yield LabelledRecord(text=self._text, label=None)


class FileDataset(RecordDataset):
    """Records of a file or folder; of the whole `aclImdb` folder, its training half.

    `path` is the source's real path, checked by `check_path` where the caller is a stranger;
    `content` that of an object. A file of lines is one running text. Raises InvalidInput, at once,
    where the path or its format will not do, and whenever it is read in another state than that of
    now.
    """

    def __init__(
        self, source: FileSource, path: Path | None = None, content: Content | None = None
    ) -> None:
        self._path = locate(source.path) if path is None else path
        self._format = format_of(self._path, source.format)
        is_running_text = self._format is FileFormat.LINES
        super().__init__(self._path.name, is_running_text=is_running_text)
        self._source = source
        if self._format is FileFormat.FOLDER:
            self._path = training_half(self._path)
        self._content = content
        self._state = FileState.of(self._path) if content is None else content.state()

    def segments(self) -> Iterator[TextSegment]:
        """Read all texts in segments; a running text of any length, which `text` would refuse."""
        if self._format is FileFormat.LINES:
            for segment in read_segments(self._path, self._state, self._content):
                yield TextSegment(segment, ends_record=False)
        else:
            yield from super().segments()

    def fingerprint(self) -> DataFingerprint:
        """Return size and digest; a running text that nobody has read whole is read in segments."""
        if self._fingerprint is None and self._format is FileFormat.LINES:
            self._fingerprint = fingerprint_of(
                self._path, self.description, self._state, self._content
            )
        return super().fingerprint()

    def _read(self) -> Iterator[LabelledRecord]:
        if self._format is FileFormat.LINES:
            text = read_running_text(self._path, self._state, self._content)
            yield LabelledRecord(text=text, label=None)
            return
        is_file = self._content is None
        opener = None if is_file else partial(open_text_bytes, content=self._content)
        seen = self._state if is_file else None
        reader = reader_of(self._path, self._format, self._source, opener=opener, state=seen)
        with telling_changes(self._path, seen):
            for entry in reader.entries():
                try:
                    text, label = text_and_label(
                        entry.value, self._source.text_field, self._source.label_field
                    )
                except BadEntry as bad:
                    raise InvalidData(
                        f"{self.description}, {entry.where}: {bad.reason}. Mend it or take it out"
                    ) from None
                yield LabelledRecord(text=text, label=label)


class NamedDataset:
    """Data that the plugin fetches itself and whose fingerprint it states itself."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def description(self) -> str:
        """Its name."""
        return self._name

    @property
    def named(self) -> str | None:
        """Its name, such as `keras:imdb`."""
        return self._name

    def records(self) -> Iterator[LabelledRecord]:
        """Raise InvalidData: there are none."""
        raise InvalidData(f"{self._name} is a plugin's own data set; this plugin cannot read it")

    def text(self) -> str:
        """Raise InvalidData: there is none."""
        raise InvalidData(f"{self._name} is a plugin's own data set; this plugin cannot read it")

    def segments(self) -> Iterator[TextSegment]:
        """Raise InvalidData: there are none."""
        raise InvalidData(f"{self._name} is a plugin's own data set; this plugin cannot read it")

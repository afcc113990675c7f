"""Training data as plugins see it: `seqd.hookspecs.Dataset` over files, lists and names.

The daemon's side of the contract, with the fingerprint that goes into a version's manifest.
Made by workers from a job's source, and by tests; plugins only see the protocol.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from seqd.errors import InvalidData, InvalidInput
from seqd.hookspecs import LabelledRecord
from seqd.inputs.faults import BadEntry
from seqd.inputs.fingerprints import FingerprintTaker
from seqd.inputs.folders import training_half
from seqd.inputs.inflating import TORN
from seqd.inputs.items import check_text, record_of, text_of
from seqd.inputs.labels import label_of
from seqd.inputs.paths import format_of, locate, shown
from seqd.inputs.records import Entry, reader_of
from seqd.inputs.streams import explained, open_text_bytes
from seqd_schemas import DataFingerprint, FileFormat, FileSource

#: Longest running text, in bytes: it is held in memory as a whole.
MAX_RUNNING_TEXT_BYTES = 2**30


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
        """Give the texts of all records, joined by newlines; of a running text its content.

        A plain file's content is unchanged but for a byte order mark, line ends included.
        """
        return "\n".join(record.text for record in self.records())

    def fingerprint(self) -> DataFingerprint:
        """Give size and digest; reads the data only if nobody has read it to its end yet.

        The size is the number of records, of a running text that of its characters.
        """
        if self._fingerprint is None:
            for _ in self.records():
                pass
        assert self._fingerprint is not None, "records() took it at its end"
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

    `path` is the source's real path, checked by `check_path` where the caller is a stranger.
    A file of lines is one running text. Raises InvalidInput, at once, where the path or its
    format will not do.
    """

    def __init__(self, source: FileSource, path: Path | None = None) -> None:
        self._path = locate(source.path) if path is None else path
        self._format = format_of(self._path, source.format)
        is_running_text = self._format is FileFormat.LINES
        super().__init__(self._path.name, is_running_text=is_running_text)
        self._source = source
        if self._format is FileFormat.FOLDER:
            self._path = training_half(self._path)

    def _read(self) -> Iterator[LabelledRecord]:
        if self._format is FileFormat.LINES:
            yield LabelledRecord(text=read_running_text(self._path), label=None)
            return
        for entry in reader_of(self._path, self._format, self._source).entries():
            try:
                yield self._record(entry)
            except BadEntry as bad:
                raise InvalidData(
                    f"{self.description}, {entry.where}: {bad.reason}. Mend it or take it out"
                ) from None

    def _record(self, entry: Entry) -> LabelledRecord:
        value = entry.value
        if isinstance(value, str):
            return LabelledRecord(text=check_text(value), label=None)
        record = record_of(value)
        text = check_text(text_of(record, self._source.text_field))
        return LabelledRecord(text=text, label=label_of(record.get(self._source.label_field)))


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


def read_running_text(path: Path) -> str:
    """Read a text file whole, line ends as they are. Raises InvalidInput or InvalidData."""
    with open_text_bytes(path) as stream:
        try:
            content = stream.read(MAX_RUNNING_TEXT_BYTES + 1)
        except TORN as error:
            raise explained(path, error, "somewhere in its text") from error
    if len(content) > MAX_RUNNING_TEXT_BYTES:
        raise InvalidInput(
            f"{shown(path)} is longer than {MAX_RUNNING_TEXT_BYTES:,} bytes, which is the most "
            "that is learnt from as one text. Split it"
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidData(
            f"{path.name}, line {line:,}: byte {content[error.start]:#04x} is not UTF-8. Convert "
            "it, as `iconv -f LATIN1 -t UTF-8` does"
        ) from None

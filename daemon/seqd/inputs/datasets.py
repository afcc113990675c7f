"""Training data as plugins see it: `seqd.hookspecs.Dataset` over files, lists and names.

The daemon's side of the contract, with the fingerprint that goes into a version's manifest.
Made by workers from a job's source, and by tests; plugins only see the protocol.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from seqd.errors import InvalidData
from seqd.hookspecs import LabelledRecord, TextPiece
from seqd.inputs.faults import BadEntry
from seqd.inputs.fingerprints import FingerprintTaker
from seqd.inputs.folders import training_half
from seqd.inputs.items import check_text, record_of, text_of
from seqd.inputs.labels import label_of
from seqd.inputs.paths import format_of, locate
from seqd.inputs.records import Entry, reader_of
from seqd.inputs.running_text import fingerprint_of, read_pieces, read_running_text
from seqd_schemas import DataFingerprint, FileFormat, FileSource


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

    def pieces(self) -> Iterator[TextPiece]:
        """Read all texts in pieces."""
        for record in self.records():
            yield TextPiece(record.text, record.label)

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

    def pieces(self) -> Iterator[TextPiece]:
        """Read all texts in pieces; a running text of any length, which `text` would refuse."""
        if self._format is FileFormat.LINES:
            for piece in read_pieces(self._path):
                yield TextPiece(piece, ends_record=False)
        else:
            yield from super().pieces()

    def fingerprint(self) -> DataFingerprint:
        """Give size and digest; a running text that nobody has read whole is read in pieces."""
        if self._fingerprint is None and self._format is FileFormat.LINES:
            self._fingerprint = fingerprint_of(self._path, self.description)
        return super().fingerprint()

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

    def pieces(self) -> Iterator[TextPiece]:
        """Raise InvalidData: there are none."""
        raise InvalidData(f"{self._name} is a plugin's own data set; this plugin cannot read it")

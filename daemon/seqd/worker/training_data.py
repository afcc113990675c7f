"""A training's data: opened from the job's source, and its fingerprint for manifest and checkpoint.

Called by `trainings`. Plugins see the data through their context.
"""

from dataclasses import dataclass

from pydantic import ValidationError

from seqd.errors import InvalidData, InvalidInput, PluginFault
from seqd.hookspecs import LabelledRecord
from seqd.inputs import FileDataset, ListDataset, NamedDataset, RecordDataset, check_path
from seqd.ledger.blobs import unpack_texts
from seqd.ledger.jobs import Jobs
from seqd.settings import Settings
from seqd_schemas import DataFingerprint, FileSource, NamedSource, TrainJob, UploadSource

AnyDataset = RecordDataset | NamedDataset


@dataclass(slots=True)
class TrainingData:
    """What a training learns from, and what it validates on."""

    learnt: AnyDataset
    held_out: AnyDataset | None
    _stated: DataFingerprint | None = None

    def state(self, records: int, sha256: str) -> None:
        """Take what a plugin says of a data set that it alone knows."""
        self._stated = DataFingerprint(
            description=self.learnt.description, records=records, sha256=sha256
        )

    def fingerprint(self) -> DataFingerprint:
        """Give size and digest; raises PluginFault where the plugin has stated none."""
        if isinstance(self.learnt, RecordDataset):
            return self.learnt.fingerprint()
        if self._stated is None:
            raise PluginFault(
                f"the plugin trained on {self.learnt.description} and did not state its size and "
                "digest through context.fingerprint()"
            )
        return self._stated

    def sha256(self) -> str | None:
        """Give the digest, None of a data set that the plugin has stated nothing of (yet)."""
        if isinstance(self.learnt, NamedDataset) and self._stated is None:
            return None
        return self.fingerprint().sha256


def open_data(job: TrainJob, job_id: str, jobs: Jobs, settings: Settings) -> TrainingData:
    """Open a job's data; an upload is read from the ledger. Raises InvalidData, InvalidInput."""
    held_out = None if job.held_out is None else _open_source(job.held_out, settings)
    if isinstance(job.source, UploadSource):
        return TrainingData(ListDataset(_uploaded(job_id, jobs), "upload"), held_out)
    return TrainingData(_open_source(job.source, settings), held_out)


def _open_source(source: FileSource | NamedSource, settings: Settings) -> AnyDataset:
    if isinstance(source, NamedSource):
        return NamedDataset(source.name)
    return FileDataset(source, check_path(source.path, settings.input_roots or ()))


def _uploaded(job_id: str, jobs: Jobs) -> list[LabelledRecord]:
    records = []
    for number in range(jobs.input_units(job_id)):
        blob = jobs.inputs(job_id, [number])[0]
        if blob is None:
            raise InvalidData(f"chunk {number} of the upload is gone; send the job again")
        try:
            texts = unpack_texts(blob).texts
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise InvalidInput(f"chunk {number} of the upload is no chunk: {reason}") from None
        records += [LabelledRecord(text=text.text, label=text.label) for text in texts]
    return records

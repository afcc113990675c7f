"""What `--engine ray` refuses before any cluster computes: addresses, and folders of others."""

from pathlib import Path

import pytest

from builders import a_classify_job
from s3_fixtures import Answering, serving
from seqd.batch.on_ray import RayJob
from seqd.errors import InvalidRequest, OutputExists
from seqd.inputs.parts import PartFolder
from seqd_schemas import FileSource

pytestmark = pytest.mark.processes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that may be made, beside a file; without a daemon."""
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "in.jsonl").write_text('{"text": "A wonderful film."}\n')
    return tmp_path / "out"


def job_into(folder: Path) -> RayJob:
    source = FileSource(path=str(folder.parent / "in.jsonl"))
    job = a_classify_job(
        model="imdb_lstm@0", source=source, output_folder=str(folder), format=3, engine="ray"
    )
    return RayJob(job, resumes=False)


class Page(Answering):
    """Answers as a server of pages does."""

    def answered(self) -> tuple[int, bytes]:
        return 404, b""


def test_an_address_where_no_head_listens_is_refused_and_no_folder_is_taken(folder: Path) -> None:
    with serving(Page) as url:
        of_pages = url.removeprefix("http://").rstrip("/")
        told = []
        for address in (of_pages, "127.0.0.1:1"):
            with pytest.raises(InvalidRequest) as raised, job_into(folder).connected(address):
                pass
            told.append(str(raised.value))

    assert f"No cluster of Ray answers at {of_pages} (what listens there is no head" in told[0]
    assert "No cluster of Ray answers at 127.0.0.1:1 (" in told[1]
    assert not folder.exists()


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("j1", "job j1, which a daemon's workers computed. Name a new folder"),
        (f"ray-{'0' * 24}", "another file, model or option. Name a new folder"),
    ],
)
def test_a_folder_of_another_job_is_refused_by_whose_it_is(
    folder: Path, owner: str, said: str
) -> None:
    PartFolder.claim(str(folder), owner, ())

    with pytest.raises(OutputExists) as refused:
        job_into(folder)

    assert str(refused.value) == f"{folder} holds the results of {said}"


@pytest.mark.parametrize(
    ("owner", "manifest", "said"),
    [
        (f"ray-{'0' * 24}", "", "a job that --engine ray computed. Name a new folder"),
        ("j1", '{"errored": 0}', "job j1, which is complete. Name a new folder"),
        ("j1", '{"errored": 2}', "job j1. Name a new folder; or, once that has ended, have done "
         "what it left undone: seqd jobs retry j1"),
    ],
)  # fmt: skip
def test_workers_refuse_a_folder_of_another_job_by_what_can_be_done(
    folder: Path, owner: str, manifest: str, said: str
) -> None:
    PartFolder.claim(str(folder), owner, ())
    if manifest:
        (folder / "manifest.json").write_text(manifest)

    with pytest.raises(OutputExists) as refused:
        PartFolder.claim(str(folder), "j2", ())

    assert str(refused.value) == f"{folder} holds the results of {said}"

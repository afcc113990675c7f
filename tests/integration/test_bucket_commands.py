"""What `seqd doctor` and `seqd plugins try` say of a model store at a URL."""

from pathlib import Path

import pytest

from authoring_builders import write_plugin
from cli_builders import here_in
from s3_fixtures import Bucket
from seqd.doctor.findings import Report
from seqd.doctor.server import run_checks
from seqd.doctor.store import store_checks
from seqd.models.store import ModelStore
from store_builders import publish

pytestmark = pytest.mark.processes


@pytest.fixture
def publisher(bucket: Bucket, tmp_path: Path) -> ModelStore:
    """The store as the host has it that makes it."""
    store = ModelStore.of(bucket.settings(tmp_path / "publisher"), {})
    store.refresh()
    return store


def examined(bucket: Bucket, folder: Path, *, deep: bool = False, **settings: object) -> Report:
    return run_checks(store_checks(bucket.settings(folder, **settings), deep=deep))


def test_an_address_without_a_store_is_a_finding_and_none_is_made_there(
    publisher: ModelStore, bucket: Bucket, tmp_path: Path
) -> None:
    publish(publisher, plugin="echo")
    before = bucket.names()

    report = examined(bucket, tmp_path / "host", store_url=f"s3://{bucket.name}/typo")
    right = examined(bucket, tmp_path / "other")

    (found,) = report.findings
    assert (found.id, found.what) == (
        "store-unreadable",
        f"There is no model store at s3://{bucket.name}/typo.",
    )
    everything = bucket.s3.list_objects_v2(Bucket=bucket.name)["Contents"]
    assert [one["Key"].removeprefix("seqd/") for one in everything] == before
    assert (right.findings, right.not_checked) == ([], [])


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "no address"])
def test_a_store_that_no_address_leads_to_is_a_finding(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)

    report = examined(bucket, tmp_path / "host")

    assert [one.id for one in report.findings] == ["store-unreadable"]
    assert f"{bucket.url} does not answer" in report.findings[0].what
    assert "model store" in report.checked


def test_of_a_store_at_a_url_the_files_of_the_cache_are_read_and_no_other_comes_into_it(
    publisher: ModelStore, bucket: Bucket, tmp_path: Path
) -> None:
    publish(publisher, plugin="echo")
    publish(publisher, plugin="echo", content='{"records": 2}')
    host = ModelStore.of(bucket.settings(tmp_path / "host"), {})
    host.refresh()
    host.open("topics", 1)
    file = host.folder_of("topics") / "1" / "echo.json"
    file.chmod(0o644)
    file.write_text("9" * file.stat().st_size)

    quick = examined(bucket, tmp_path / "host")
    deep = examined(bucket, tmp_path / "host", deep=True)

    assert quick.findings == []
    assert "sizes of files in this host's cache" in quick.checked
    assert [one.what.partition(":")[0] for one in deep.findings] == ["topics@1"]
    assert "hashes of files in this host's cache" in deep.checked
    assert not (host.folder_of("topics") / "2" / "echo.json").exists()


def test_a_version_that_another_host_has_published_is_tried_at_once(
    publisher: ModelStore,
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plugin = write_plugin(tmp_path / "seqd-hello")
    seqd = here_in(tmp_path, capsys, monkeypatch)
    monkeypatch.setenv("SEQD_STORE_URL", bucket.url)
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "host"))
    publish(publisher, plugin="hello")

    ended = seqd("plugins", "try", str(plugin), "classify", "a", "--version", "topics@1")

    assert ended.status == 0, ended.err
    assert "by topics@1, plugin hello" in ended.err

"""A model store at a URL, as two hosts have it: each with a folder of data of its own."""

import multiprocessing
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from checkout import python_path
from cli_builders import here
from s3_fixtures import Answering, Bucket, obliging_server, serving
from seqd.batch import Predictor
from seqd.errors import (
    ArtifactDamaged,
    InvalidSettings,
    LeaseLost,
    OtherFormat,
    StoreUnreachable,
    StoreUnwritable,
    UnknownModel,
)
from seqd.models.store import ModelStore
from seqd.objects import Objects
from store_builders import a_version_draft, files_of, manifests_of, publish, shape_of, train
from tcp_proxy import TcpProxy
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

#: Publishes a version of many files, in a process that may be killed.
PUBLISHER = """
import sys
from pathlib import Path
from seqd.models.store import ModelStore
from seqd.settings import load_settings
from store_builders import a_version_draft

store = ModelStore.of(load_settings(), {})
folder = store.new_folder("topics", "run")
for number in range(60):
    (folder / f"part-{number}.json").write_text(f'"{sys.argv[1]}{number}"' + 50_000 * " ")
store.publish(folder, a_version_draft("topics", "echo"))
"""


def a_host(bucket: Bucket, folder: Path, **settings: object) -> ModelStore:
    store = ModelStore.of(bucket.settings(folder, **settings), {})
    store.refresh()
    return store


@pytest.fixture
def one(bucket: Bucket, tmp_path: Path) -> ModelStore:
    return a_host(bucket, tmp_path / "one")


@pytest.fixture
def other(bucket: Bucket, tmp_path: Path) -> ModelStore:
    return a_host(bucket, tmp_path / "other")


@pytest.fixture
def line(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[TcpProxy]:
    """The way of hosts to the store that are made from now on."""
    with TcpProxy(bucket.server.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        yield proxy


def needed(bucket: Bucket, store: ModelStore) -> list[str]:
    """Return the objects that the versions of a store have."""
    names = []
    for manifest in manifests_of(store, "topics"):
        folder = f"versions/topics/{manifest.version}/"
        names += [f"{folder}{digest.sha256}-{file}" for file, digest in manifest.files.items()]
        names += [one for one in bucket.names(folder) if one.endswith("-manifest.json")]
    return sorted(names)


def before_the_first(
    monkeypatch: pytest.MonkeyPatch, method: str, act: Callable[[], object], of: str = ""
) -> None:
    """Have something happen before the first request of a kind, of an object with `of` in it."""
    real, done = getattr(Objects, method), []

    def asked(objects: Objects, *args: object) -> object:
        if not done and of in f"{args}":
            done.append(True)
            act()
        return real(objects, *args)

    monkeypatch.setattr(Objects, method, asked)


def test_what_one_host_publishes_and_changes_is_so_on_another(
    one: ModelStore, other: ModelStore, bucket: Bucket
) -> None:
    first = publish(one, plugin="echo")
    second = publish(one, plugin="echo", content='{"records": 2}')
    one.set_label("topics", "best", second, by="ann")

    other.refresh()

    artifact = other.open("topics", second)
    assert (artifact.folder / "echo.json").read_text() == '{"records": 2}'
    assert artifact.manifest == one.open("topics", second).manifest
    assert other.plugin_of("topics") == "echo"
    assert other.labels("topics") == {"production": first, "best": second, "latest": second}
    assert shape_of(other) == [(None, first)]
    other.set_label("topics", "production", second, by="bob", why="better")
    one.refresh()
    assert one.history("topics")[-1].by == "bob"
    assert needed(bucket, one) == bucket.names("versions/")


def test_hosts_that_publish_at_once_get_a_version_each_and_no_change_is_lost(
    one: ModelStore, other: ModelStore, bucket: Bucket
) -> None:
    def work(host: ModelStore, name: str) -> None:
        for number in range(4):
            version = publish(host, plugin="echo", content=f'"{name}{number}"')
            host.set_label("topics", f"{name}{number}", version)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (one, other), ("a", "b")))

    one.refresh()
    assert one.numbers("topics") == [*range(1, 9)]
    labels = one.labels("topics")
    for label in labels.keys() - {"production", "latest"}:
        artifact = one.open("topics", labels[label])
        assert (artifact.folder / "echo.json").read_text() == f'"{label}"'
    assert len(labels) == 10
    assert needed(bucket, one) == bucket.names("versions/")


def test_a_version_that_loses_its_number_was_never_seen_on_its_host(
    one: ModelStore,
    other: ModelStore,
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(one, plugin="echo")
    beside = a_host(bucket, tmp_path / "one")
    seen = []

    def overtake() -> None:
        seen.append((beside.numbers("topics"), beside.labels("topics")["latest"]))
        publish(other, plugin="echo", content='"winner"')

    before_the_first(monkeypatch, "upload", overtake)

    assert publish(one, plugin="echo", content='"loser"') == 3

    assert seen == [([1], 1)]
    for version, content in ((2, '"winner"'), (3, '"loser"')):
        assert (beside.open("topics", version).folder / "echo.json").read_text() == content


def test_while_a_version_is_uploaded_its_host_hears_of_other_models(
    one: ModelStore,
    other: ModelStore,
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beside = a_host(bucket, tmp_path / "one")
    seen = []

    def look() -> None:
        publish(other, "sorted", plugin="echo")
        beside.refresh()
        seen.append(beside.labels("sorted"))

    before_the_first(monkeypatch, "upload", look)

    publish(one, "topics", plugin="echo")

    assert seen == [{"production": 1, "latest": 1}]


def test_a_version_that_is_pulled_is_seen_with_its_manifest_alone(
    one: ModelStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = a_host(bucket, tmp_path / "host")
    publish(one, plugin="echo")
    seen = []
    look = lambda: seen.append(host.numbers("topics"))  # noqa: E731
    before_the_first(monkeypatch, "read", look, "manifest")

    a_host(bucket, tmp_path / "host")

    assert seen == [[]]
    assert manifests_of(host, "topics") == manifests_of(one, "topics")


def test_a_manifest_that_is_changed_on_a_host_comes_to_no_other(
    one: ModelStore, other: ModelStore, bucket: Bucket
) -> None:
    publish(one, plugin="echo")
    other.refresh()
    manifest = other.folder_of("topics") / "1" / "manifest.json"
    said = bucket.read("models/topics.json")
    manifest.write_text(manifest.read_text().replace('"plugin_version": "', '"plugin_version": "9'))

    other.set_label("topics", "best", 1)

    one.refresh()
    assert one.labels("topics")["best"] == 1
    (digest,) = re.findall(rb'"versions":({.*?})', said)
    assert digest in bucket.read("models/topics.json")
    assert needed(bucket, one) == bucket.names("versions/")


def test_an_attempt_that_was_overtaken_on_another_host_publishes_nothing(
    one: ModelStore, other: ModelStore
) -> None:
    late = one.new_folder("topics", "job-1")
    (late / "echo.json").write_text("{}")
    one.begin_publish("topics", "job-1", "attempt-0")
    version = train(other, "job-1")

    with pytest.raises(LeaseLost):
        one.publish(late, a_version_draft("topics", "echo", job_id="job-1"), "attempt-0")

    one.refresh()
    assert one.take_over("topics", "job-1") == other.open("topics", version).manifest
    other.finalize("topics", "job-1")
    one.refresh()
    assert (one.begun(), one.numbers("topics")) == ([], [version])


def test_a_publisher_that_is_killed_leaves_a_whole_version_or_none(
    bucket: Bucket, tmp_path: Path, one: ModelStore
) -> None:
    environment = os.environ | {
        "SEQD_DATA_DIR": str(tmp_path / "killed"),
        "SEQD_STORE_URL": bucket.url,
        "PYTHONPATH": python_path(Path(__file__).parent.parent),
    }
    command = [sys.executable, "-c", PUBLISHER, "killed"]
    with subprocess.Popen(command, env=environment) as process:
        wait_until(lambda: bool(bucket.names("versions/")), "the first file is there")
        process.kill()

    one.refresh()
    left = one.numbers("topics")
    assert [manifest.version for manifest in manifests_of(one, "topics")] == left
    assert publish(one, plugin="echo") == len(left) + 1
    assert needed(bucket, one) == bucket.names("versions/")
    # The host of the killed one goes on where the store is.
    again = a_host(bucket, tmp_path / "killed")
    assert manifests_of(again, "topics") == manifests_of(one, "topics")


def test_a_version_that_is_removed_goes_from_all_hosts_and_its_number_with_it(
    one: ModelStore, other: ModelStore, bucket: Bucket
) -> None:
    for content in "123":
        publish(one, plugin="echo", content=content)
    other.refresh()
    other.open("topics", 3)

    one.remove("topics", 3)
    other.refresh()

    assert other.numbers("topics") == [1, 2]
    with pytest.raises(UnknownModel):
        other.open("topics", 3)
    assert bucket.names("versions/topics/3/") == []
    assert publish(other, plugin="echo", content="4") == 4


def test_other_bytes_than_were_published_are_refused_and_named(
    one: ModelStore, other: ModelStore, bucket: Bucket
) -> None:
    publish(one, plugin="echo")
    other.refresh()
    (name,) = (one for one in bucket.names("versions/") if one.endswith("echo.json"))
    content = bucket.read(name)
    bucket.put(name, b'{"records": 9}')

    with pytest.raises(ArtifactDamaged) as caught:
        other.open("topics", 1)

    said = str(caught.value)
    assert said.startswith(f"{bucket.url}/{name} is not the file that was published: it should")
    bucket.put(name, content[:5])
    with pytest.raises(ArtifactDamaged, match="what came has 5 with"):
        other.open("topics", 1)
    bucket.put(name, content)
    path = other.open("topics", 1).folder / "echo.json"
    # So are they in the cache, which is not the store: the file is fetched once more.
    path.chmod(0o644)
    path.write_bytes(b'{"records": 9}')
    assert (other.open("topics", 1).folder / "echo.json").read_bytes() == content


def test_a_manifest_writes_nowhere_else(
    one: ModelStore, other: ModelStore, bucket: Bucket, tmp_path: Path
) -> None:
    publish(one, plugin="echo")
    (name,) = (one for one in bucket.names("versions/") if one.endswith("-manifest.json"))
    manifest = bucket.read(name).replace(b'"echo.json"', b'"../../../../loot.json"')
    digest = sha256(manifest).hexdigest()
    bucket.put(f"versions/topics/1/{digest}-manifest.json", manifest)
    (old,) = re.findall(rb'"versions":{"1":"(\w+)"}', bucket.read("models/topics.json"))
    record = bucket.read("models/topics.json").replace(old, digest.encode())
    bucket.put("models/topics.json", record)

    other.refresh()

    with pytest.raises(ArtifactDamaged, match=r"lists '../../../../loot.json': allowed names"):
        other.open("topics", 1)
    assert not list(tmp_path.rglob("loot.json"))


def test_a_damaged_record_or_manifest_harms_no_other_model(
    one: ModelStore, other: ModelStore, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    publish(one, "topics", plugin="echo")
    publish(one, "sorted", plugin="echo")
    publish(one, "tagged", plugin="echo")
    bucket.put("models/sorted.json", b'{"files": {"../../x": ""}}')
    (name,) = (one for one in bucket.names("versions/tagged/") if "manifest" in one)
    bucket.put(name, b"{}")

    other.refresh()

    assert other.labels("topics") == {"production": 1, "latest": 1}
    assert (other.numbers("sorted"), other.numbers("tagged")) == ([], [1])
    assert f"{bucket.url}/models/sorted.json is no record of a model" in caplog.text
    assert f"tagged@1 cannot be used: {bucket.url}/{name} is damaged" in caplog.text
    with pytest.raises(ArtifactDamaged):
        other.open("tagged", 1)
    # Changed it may be nevertheless, and what is damaged may go.
    publish(other, "tagged", plugin="echo", content="2")
    other.set_label("tagged", "production", 2)
    other.remove("tagged", 1)
    one.refresh()
    assert one.numbers("tagged") == [2]


def test_a_host_with_credentials_for_reading_serves_and_changes_nothing(
    one: ModelStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(one, plugin="echo")
    for name, value in bucket.server.reader.items():
        monkeypatch.setenv(name, value)

    reader = a_host(bucket, tmp_path / "reader")

    assert manifests_of(reader, "topics") == manifests_of(one, "topics")
    assert not reader.may_write("topics")
    before = files_of(reader.folder_of("topics"))
    for change in (
        lambda: reader.set_label("topics", "best", 1),
        lambda: publish(reader, plugin="echo", content="2"),
    ):
        with pytest.raises(StoreUnwritable) as caught:
            change()
        assert type(caught.value) is StoreUnwritable
        assert str(caught.value) == (
            f"the model store {bucket.url} may not be written with the credentials of this host "
            "(AccessDenied): serving needs no more. What trains or changes models needs "
            "s3:PutObject and s3:DeleteObject"
        )
    assert files_of(reader.folder_of("topics")) == before


def test_a_host_that_is_given_the_right_to_write_uses_it(
    one: ModelStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(one, plugin="echo")
    monkeypatch.setattr("seqd.models.shared_store._LOOK_AGAIN_S", 0.0)
    user = bucket.server.a_reader()
    for name, value in user.credentials.items():
        monkeypatch.setenv(name, value)
    host = a_host(bucket, tmp_path / "host")
    assert not host.may_write("topics")

    user.allow(["*"])
    host.refresh()

    assert host.may_write("topics")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": "nobody"}, r"may not be read with the credentials .* \(\w+\)"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, r"may not be read with the credentials .* \(\w+\)"),
        ({"AWS_ENDPOINT_URL_S3": "http://u:secret@127.0.0.1:9"}, r"does not answer \(\w+\)"),
        ({"SEQD_STORE_URL": "s3://no-such-bucket/seqd"}, r"s3://no-such-bucket/seqd has no bucket"),
    ],
)
def test_a_store_that_cannot_be_reached_is_told_with_a_reason(
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, str],
    said: str,
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(StoreUnreachable, match=said):
        a_host(bucket, tmp_path / "host", store_url=changed.get("SEQD_STORE_URL", bucket.url))


class Telling(Answering):
    """Refuses whatever it is asked, and says whose key that was, as Amazon's servers do."""

    def answered(self) -> tuple[int, bytes]:
        key = "AKIA-OF-THE-HOST"
        said = f"<Message>Nobody has {key}</Message><AWSAccessKeyId>{key}</AWSAccessKeyId>"
        return 403, f"<Error><Code>InvalidAccessKeyId</Code>{said}</Error>".encode()


def test_what_a_server_says_of_a_key_is_not_told(
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "seqd")
    with serving(Telling) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        with pytest.raises(StoreUnreachable, match=r"\(InvalidAccessKeyId\)") as caught:
            a_host(bucket, tmp_path / "host")

    assert "may not be written" in caplog.text
    assert "AKIA-OF-THE-HOST" not in f"{caught.value} {caplog.text}"


def test_while_the_store_is_away_a_host_has_what_it_has_and_changes_nothing(
    one: ModelStore, bucket: Bucket, tmp_path: Path, line: TcpProxy
) -> None:
    publish(one, plugin="echo")
    publish(one, plugin="echo", content="2")
    host = a_host(bucket, tmp_path / "host")
    host.open("topics", 1)
    before = files_of(host.folder_of("topics"))

    line.refuse()

    assert host.open("topics", 1).manifest.version == 1
    for asked in (
        host.refresh,
        lambda: host.open("topics", 2),
        lambda: host.set_label("topics", "best", 1),
        lambda: publish(host, plugin="echo", content="3"),
    ):
        with pytest.raises(StoreUnreachable, match=r"does not answer"):
            asked()
    assert files_of(host.folder_of("topics")) == before
    line.accept()
    assert publish(host, plugin="echo", content="3") == 3
    assert host.open("topics", 2).manifest.version == 2


def test_a_command_that_changes_nothing_goes_on_without_the_store(
    one: ModelStore,
    bucket: Bucket,
    tmp_path: Path,
    line: TcpProxy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "host"))
    monkeypatch.setenv("SEQD_STORE_URL", bucket.url)
    monkeypatch.setenv("SEQD_ENABLED_PLUGINS", "light")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "light_plugin"))
    publish(one, "topics", plugin="echo")
    a_host(bucket, tmp_path / "host")

    line.refuse()

    ended = here(capsys, "models", "list", "--local")
    assert (ended.status, "topics" in ended.out) == (0, True)
    assert ended.err.startswith(f"warning: the model store {bucket.url} does not answer (")
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "new"))
    assert here(capsys, "models", "list", "--local").status != 0


@pytest.mark.parametrize(
    "change",
    [
        lambda host: host.remove("topics", 2),
        lambda host: host.rollback("topics", "job-2"),
    ],
    ids=["remove", "rollback"],
)
def test_a_removal_that_does_not_get_through_leaves_the_host_all_it_had(
    one: ModelStore,
    bucket: Bucket,
    tmp_path: Path,
    line: TcpProxy,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[ModelStore], object],
) -> None:
    publish(one, plugin="echo")
    publish(one, plugin="echo", content="2", job_id="job-2")
    host = a_host(bucket, tmp_path / "host")
    host.open("topics", 2)
    before = files_of(host.folder_of("topics"))
    before_the_first(monkeypatch, "put", line.refuse)

    with pytest.raises(StoreUnreachable):
        change(host)

    assert files_of(host.folder_of("topics")) == before
    assert (host.open("topics", 2).folder / "echo.json").read_text() == "2"
    line.accept()
    change(host)
    one.refresh()
    assert one.numbers("topics") == host.numbers("topics") == [1]


def test_a_store_that_says_nothing_is_given_up_and_asked_again(
    one: ModelStore,
    bucket: Bucket,
    tmp_path: Path,
    line: TcpProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("seqd.objects._SILENCE_S", 1)
    publish(one, plugin="echo")
    host = a_host(bucket, tmp_path / "host")
    server = urlsplit(bucket.server.url)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        line.point_to(*silent.getsockname())
        for asked in (
            lambda: host.open("topics", 1),
            lambda: a_host(bucket, tmp_path / "new"),  # which puts first
        ):
            with pytest.raises(StoreUnreachable, match=r"does not answer \(ReadTimeoutError\)"):
                asked()
        line.point_to(str(server.hostname), int(server.port or 0))

    assert host.open("topics", 1).manifest.version == 1


def test_a_change_whose_answer_is_lost_is_made_once(
    one: ModelStore, bucket: Bucket, tmp_path: Path, line: TcpProxy
) -> None:
    publish(one, plugin="echo")
    host = a_host(bucket, tmp_path / "host")
    line.drop_every(5)

    for number in range(5):
        publish(host, plugin="echo", content=f"{number}", job_id=f"job-{number}")

    line.drop_every(0)
    assert line.dropped > 4
    one.refresh()
    assert one.numbers("topics") == [1, 2, 3, 4, 5, 6]
    assert [manifest.job_id for manifest in one.versions("topics")[1:]] == [
        f"job-{number}" for number in range(5)
    ]


def test_what_was_opened_longest_ago_goes_from_a_full_cache_and_comes_back(
    one: ModelStore, bucket: Bucket, tmp_path: Path
) -> None:
    for content in "123":
        publish(one, plugin="echo", content=content * 100)
    host = a_host(bucket, tmp_path / "host", store_cache_bytes=150)

    def cached() -> list[int]:
        folder = host.folder_of("topics")
        return [n for n in host.numbers("topics") if (folder / f"{n}" / "echo.json").exists()]

    host.open("topics", 1)
    host.open("topics", 2)
    assert cached() == [1, 2]  # both are in use
    for number, age_s in ((1, 3_600), (2, 7_200)):
        then = time.time() - age_s
        os.utime(host.folder_of("topics") / f"{number}", (then, then))
    host.open("topics", 3)
    assert cached() == [3]
    assert (host.open("topics", 1).folder / "echo.json").read_text() == "1" * 100


def test_a_mirror_that_a_killed_process_left_in_mid_change_is_as_the_store_is(
    one: ModelStore, bucket: Bucket, tmp_path: Path
) -> None:
    publish(one, plugin="echo")
    folder = one.folder_of("topics")
    before = files_of(folder)
    (folder / ".pulled").unlink()
    (folder / "labels.json").write_text('{"production": 7}')
    (folder / "7").mkdir()

    a_host(bucket, tmp_path / "one")

    assert files_of(folder) == before


def test_a_server_that_keeps_to_no_condition_is_refused(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with obliging_server() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        with pytest.raises(InvalidSettings, match=r"puts an object whatever the condition"):
            a_host(bucket, tmp_path / "host")


def test_another_layout_than_this_release_reads_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("format.json", b"2\n")

    with pytest.raises(OtherFormat, match=r"has layout 2, and this release reads layout 1"):
        a_host(bucket, tmp_path / "host")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_predictor_has_a_version_of_a_bucket_also_in_another_process(
    one: ModelStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "engine"))
    monkeypatch.setenv("SEQD_ENABLED_PLUGINS", "light")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "light_plugin"))
    publish(one, "echo", content='{"records": 1, "prefix": "first "}')
    predictor = Predictor("echo", store=bucket.url)
    assert predictor(["a"])[0].output.label == "first a"
    publish(one, "echo", content='{"records": 1, "prefix": "second "}')
    monkeypatch.setenv("SEQD_STORE_URL", bucket.url)
    later = Predictor("echo@2")

    with multiprocessing.get_context(method).Pool(1) as pool:
        found = pool.map(later, [["a"], ["b"]])

    assert [one.output.label for (one,) in found] == ["second a", "second b"]

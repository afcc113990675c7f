"""The image, built and run for real: what is in it, and that a container of it classifies reviews.

A minute or more for the base and three for the build, most of it for downloads.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

import seqd
from checkout import ROOT
from container_builders import REVISION, Storage, index_url
from redis_fixtures import Server
from worker_fixtures import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(1_800)]

GPU = "localhost/seqd:gpu"
#: Says which image a process is in.
MARKER = "/usr/share/seqd/image"
STATED_BYTES = 570_000_000

#: As an operator closes it: of the file system only the volume and /tmp can be written to.
CLOSED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
REVIEWS = ("A wonderful film, moving and beautifully acted.", "Dull, badly written, a waste.")
LABELS = ("positive", "negative")


def test_it_runs_as_a_user_and_says_what_it_is(storage: Storage, cpu: str):
    known = storage.inspect(cpu)

    config = known["Config"]
    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["seqd"], ["up"])
    assert config["Volumes"] == {"/var/lib/seqd": {}}
    assert config["WorkingDir"] == "/var/lib/seqd"
    labels = {name: text for name, text in config["Labels"].items() if "buildah" not in name}
    assert labels == {
        "io.seqd.sbom": "/usr/share/sbom/seqd.cdx.json",
        "io.seqd.target": "cpu",
        "org.opencontainers.image.description": "A plugin-based batch processing daemon for "
        "sequence models",
        "org.opencontainers.image.revision": REVISION,
        "org.opencontainers.image.title": "seqd",
        "org.opencontainers.image.version": seqd.__version__,
    }
    # By the exec form: no shell takes part.
    assert known["Healthcheck"]["Test"][:2] == ["CMD", "seqd"]
    assert known["Size"] < STATED_BYTES


#: What a shell in the image is asked, all at once.
LOOKS = {
    "of pip": "find / -xdev -name 'pip.conf' -o -xdev -name '*.pip'; env",
    "tools": "for one in gcc cc c++ g++ clang tcc ld as make pip pip3; do command -v $one; done",
    "packages": "ls /opt/seqd/lib/python3*/site-packages",
    "user": "id -u",
    "writable": "find / -xdev -writable -not -path '/proc/*' -not -type l",
    "contents": "cat /usr/share/sbom/seqd.cdx.json",
    "marker": f"cat {MARKER}",
}
HEADING = "--- what comes of the next look ---"


@pytest.fixture(scope="module")
def looked(storage: Storage, cpu: str) -> dict[str, str]:
    """Return what a shell in the image has answered to each look."""
    out = storage.sh(cpu, "\n".join(f"echo '{HEADING}'\n{look}" for look in LOOKS.values())).out
    return dict(zip(LOOKS, out.split(f"{HEADING}\n")[1:], strict=True))


def test_nothing_of_it_names_the_package_index(storage: Storage, cpu: str, looked: dict[str, str]):
    history = storage.podman("history", "--no-trunc", "--format", "json", cpu).out
    known = json.dumps(storage.inspect(cpu))

    assert "org.opencontainers.image.title" in history
    assert "PATH=/opt/seqd/bin" in looked["of pip"]
    for text in (history, known, looked["of pip"]):
        assert index_url() not in text
        assert "PIP_" not in text
        assert "pip.conf" not in text


def test_it_has_no_compiler_no_pip_and_no_tensorflow(looked: dict[str, str]):
    packages = set(looked["packages"].split())

    assert looked["tools"] == ""
    assert {"numba", "safetensors", "seqd", "seqd_imdb_lstm"} <= packages
    assert not {"keras", "tensorflow", "pip", "torch"} & packages


def test_its_user_can_change_nothing_of_the_program(looked: dict[str, str]):
    kept = ("/var/lib/seqd", "/tmp", "/var/tmp", "/run", "/dev")

    strange = [path for path in looked["writable"].splitlines() if not path.startswith(kept)]

    assert looked["user"] == "10001\n"
    assert strange == []


def test_its_list_of_contents_names_seqd_and_its_libraries(looked: dict[str, str]):
    bom = json.loads(looked["contents"])

    assert bom["bomFormat"] == "CycloneDX"
    assert bom["metadata"]["component"]["name"] == "seqd"
    listed = {one["name"]: one["version"] for one in bom["components"]}
    installed = [name for name in looked["packages"].split() if name.endswith(".dist-info")]
    assert {"numba", "numpy", "celery", "redis"} <= set(listed)
    # All that is installed; seqd itself is what the list is of, or is in it.
    assert len(listed) >= len(installed) - 1
    assert looked["marker"] == f"cpu {seqd.__version__}\n"


def test_a_closed_container_classifies_a_mounted_file(
    storage: Storage, cpu: str, redis_server: Server, tmp_path: Path
):
    folder = _readable(tmp_path / "data")
    lines = [{"id": f"r{n}", "text": REVIEWS[n % 2]} for n in range(500)]
    (folder / "reviews.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = [*CLOSED, *_settings(redis_server, "seqd-image"), f"--volume={folder}:/data:ro"]

    with storage.running("closed", cpu, "up", "--slots", "cpu:0", options=options) as log:
        wait_until(lambda: "Ready after" in log.read_text(), "a worker that is ready", 400)
        command = ("classify", "/data/reviews.jsonl", "--out", "/tmp/results.jsonl")
        storage.podman("exec", "closed", "seqd", *command)
        results = storage.podman("exec", "closed", "cat", "/tmp/results.jsonl").out
        health = storage.podman("healthcheck", "run", "closed", check=False)
        storage.podman("stop", "--time", "120", "closed")
        wait_until(lambda: "Stopped." in log.read_text(), "an end in order")

    outcomes = [json.loads(line) for line in results.splitlines()]
    assert [one["custom_id"] for one in outcomes] == [f"r{n}" for n in range(500)]
    assert [one["output"]["label"] for one in outcomes] == list(LABELS) * 250
    assert health.status == 0, health
    assert "warning" not in log.read_text()


def test_without_shared_memory_a_worker_says_what_to_mount(
    storage: Storage, cpu: str, redis_server: Server
):
    options = [*CLOSED, "--read-only-tmpfs=false", *_settings(redis_server, "seqd-image-shm")]

    ended = storage.run(cpu, "worker", "--slot", "cpu:0", options=options)

    assert ended.status == 78, ended
    assert ended.err.splitlines()[-1] == (
        "error[invalid_settings]: No semaphore can be made here (Read-only file system): a "
        "worker's processes share some in /dev/shm. Mount a tmpfs there; Podman does unless told "
        "--read-only-tmpfs=false"
    )


def test_health_fails_while_no_worker_lives(storage: Storage, cpu: str, redis_server: Server):
    options = [*CLOSED, *_settings(redis_server, "seqd-image-idle"), "--entrypoint=sleep"]

    with storage.running("idle", cpu, "600", options=options):
        wait_until(
            lambda: storage.podman("exec", "idle", "true", check=False).status == 0, "it runs"
        )
        health = storage.podman("healthcheck", "run", "idle", check=False)
        probe = ("exec", "--env=SEQD_WORKER=w1", "idle", "seqd-probe", "live")
        probed = storage.podman(*probe, check=False)

    assert health.status == 1
    assert probed.status == 1
    assert "No worker w1 has a heartbeat in /var/lib/seqd/run" in probed.err


def test_a_version_that_is_not_the_sources_is_refused(storage: Storage, cpu: str, tmp_path: Path):
    """By the script alone, in a container that has all but pip: what it installs is there."""
    pip, added = tmp_path / "pip", tmp_path / "added"
    pip.write_text("#!/bin/sh\n")
    pip.chmod(0o755)
    added.mkdir(0o755)
    mounted = {
        ROOT / "docker" / "install_seqd.sh": "/install_seqd.sh:ro",
        pip: "/tools/bin/pip:ro",
        added: "/added",
    }
    volumes = [f"--volume={path}:{place}" for path, place in mounted.items()]

    ended = storage.run(
        cpu, "/install_seqd.sh", "cpu", "9.9", options=["--user=0", "--entrypoint=sh", *volumes]
    )

    assert (ended.status, ended.err) == (
        1,
        f"VERSION is 9.9, and the sources are seqd {seqd.__version__}: leave VERSION away, or mend "
        "it\n",
    )


@pytest.mark.long
def test_the_gpu_target_is_made_by_the_same_steps(storage: Storage, cpu: str):
    # With the libraries of `cpu`: those of a GPU are 5 GB, and there is none here to run them on.
    storage.build("gpu", GPU, GPU_EXTRA="serve")

    config = storage.inspect(GPU)["Config"]
    assert config["User"] == "10001:10001"
    assert config["Labels"]["io.seqd.target"] == "gpu"
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in config["Env"]
    assert not any(one.startswith("NVIDIA_VISIBLE_DEVICES") for one in config["Env"])
    assert storage.sh(GPU, f"cat {MARKER}; seqd --help > /tmp/help; echo $?").out.split() == [
        "gpu",
        seqd.__version__,
        "0",
    ]


def _settings(server: Server, prefix: str) -> list[str]:
    return [f"--env=SEQD_REDIS_URL={server.url}", f"--env=SEQD_PREFIX={prefix}-{os.getpid()}"]


def _readable(folder: Path) -> Path:
    """Return a folder, made so that another user can read it from within a container."""
    folder.mkdir()
    shutil.chown(folder, 10001, 10001)
    return folder

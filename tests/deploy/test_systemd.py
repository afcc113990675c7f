"""The units, as systemd itself reads and rates them."""

import shutil
from pathlib import Path

import pytest

from deploy_files import DOCKER, UNITS, run, tool, unit, values

pytestmark = pytest.mark.slow

FOLDER = DOCKER / "systemd"

#: What `systemd-analyze security` may say at most, times ten: 0 is closed, 100 open.
MOST_EXPOSED = 25

#: A worker ends within this, as its guide says.
DRAIN_S = 35


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with the units and the program that they start, and systemd's own units."""
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for path in UNITS:
        shutil.copy(path, units)
    own = Path("/usr/lib/systemd/system")
    if own.is_dir():
        shutil.copytree(own, tmp_path / "usr/lib/systemd/system", symlinks=True)
    program = tmp_path / "opt" / "seqd" / "bin" / "seqd"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return tmp_path


def left_of(path: Path, drop_in: Path, key: str) -> list[str]:
    """Return the values of a key in a unit with a drop-in: an empty one removes those before it."""
    found = [*values(path, key), *values(drop_in, key)]
    while "" in found:
        found = found[found.index("") + 1 :]
    return found


def for_gpus(root: Path) -> None:
    folder = root / "etc/systemd/system/seqd-worker@.service.d"
    folder.mkdir()
    shutil.copy(FOLDER / "gpu.conf", folder)


@pytest.mark.parametrize(
    "name", ["seqd-worker@train@cpu", r"seqd-worker@gpu\x3aMIG\x2dc6d4", "seqd", "seqd-exporter"]
)
def test_systemd_has_nothing_to_say_of_a_unit(root: Path, name: str) -> None:
    for_gpus(root)

    done = run(tool("systemd-analyze", "systemd"), "verify", f"--root={root}", f"{name}.service")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_with_tls_is_as_systemd_wants_it_and_no_more_exposed(root: Path, path: Path) -> None:
    folder = root / "etc/systemd/system" / f"{path.name}.d"
    folder.mkdir(exist_ok=True)
    shutil.copy(FOLDER / "tls.conf", folder)
    (root / "etc/passwd").write_text("seqd:x:10001:10001:seqd:/var/lib/seqd:/usr/sbin/nologin\n")
    (root / "etc/group").write_text("seqd:x:10001:\n")
    name = path.name.replace("@", "@train@cpu")
    analyze = tool("systemd-analyze", "systemd")

    read = run(analyze, "verify", f"--root={root}", name)
    rated = run(
        analyze, "security", "--offline=true", f"--root={root}",
        f"--threshold={MOST_EXPOSED}", "--no-pager", path.name,
    )  # fmt: skip

    assert (read.returncode, read.stdout, read.stderr) == (0, "", "")
    assert rated.returncode == 0, rated.stdout.strip().splitlines()[-1]
    assert "SEQD_REDIS_CA_FILE=/etc/seqd/tls/ca.pem" in values(FOLDER / "tls.conf", "Environment")


def test_with_its_own_redis_the_unit_names_no_credential_and_no_folder_of_credentials(
    root: Path,
) -> None:
    folder = root / "etc/systemd/system/seqd.service.d"
    folder.mkdir()
    shutil.copy(FOLDER / "embedded.conf", folder)

    read = run(tool("systemd-analyze", "systemd"), "verify", f"--root={root}", "seqd.service")

    assert (read.returncode, read.stdout, read.stderr) == (0, "", "")
    assert left_of(FOLDER / "seqd.service", FOLDER / "embedded.conf", "LoadCredential") == []
    alone = "SEQD_DATA_DIR=/var/lib/seqd"
    assert left_of(FOLDER / "seqd.service", FOLDER / "embedded.conf", "Environment") == [alone]
    page = " ".join((DOCKER / "systemd.md").read_text(encoding="utf-8").split())
    assert "docker/systemd/embedded.conf /etc/systemd/system/seqd.service.d/embedded.conf" in page


def test_systemd_finds_a_word_that_is_none(root: Path) -> None:
    path = root / "etc/systemd/system/seqd.service"
    path.write_text(path.read_text().replace("RestartSec=1", "RestratSec=1"))

    done = run(tool("systemd-analyze", "systemd"), "verify", f"--root={root}", "seqd.service")

    assert "Unknown key 'RestratSec' in section [Service]" in done.stderr


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_exposed_little(root: Path, path: Path) -> None:
    for_gpus(root)

    done = run(
        tool("systemd-analyze", "systemd"), "security", "--offline=true", f"--root={root}",
        f"--threshold={MOST_EXPOSED}", "--no-pager", path.name,
    )  # fmt: skip

    said = done.stdout.strip().splitlines()[-1]
    print(said)
    assert done.returncode == 0, said
    assert "Overall exposure level" in said


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_wrong_configuration_is_not_started_again_and_all_else_is(path: Path) -> None:
    service = unit(path)["Service"]

    assert service["RestartPreventExitStatus"] == "78"
    assert service["Restart"] == "always"
    assert service["Type"] == "exec"
    if path.name != "seqd-exporter.service":
        assert int(service["TimeoutStopSec"]) >= DRAIN_S
        assert service["KillMode"] == "mixed"  # the worker ends its child, not systemd


def test_no_unit_holds_a_password() -> None:
    for path in UNITS:
        (credential,) = values(path, "LoadCredential")
        assert credential.startswith("seqd_redis_url:/etc/seqd/")
        assert "://" not in path.read_text(encoding="utf-8").replace("https://", "")
        assert "SEQD_SECRETS_DIR=%d" in " ".join(values(path, "Environment"))


def test_the_user_of_the_workers_is_one_that_systemd_can_make(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        (tmp_path / "etc" / name).touch()

    done = run(
        tool("systemd-sysusers", "systemd"),
        f"--root={tmp_path}",
        str(FOLDER / "seqd.sysusers.conf"),
    )

    assert done.returncode == 0, done.stderr
    (line,) = [
        one for one in (tmp_path / "etc" / "passwd").read_text().splitlines() if "seqd" in one
    ]
    assert line.startswith("seqd:x:10001:10001:seqd:/var/lib/seqd:")

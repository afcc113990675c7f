"""What `seqd doctor` finds of a machine: its store, disks, GPUs, plugins and stale files."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from threading import Event

import pytest
from redis.exceptions import ResponseError

from checkout import python_path
from fake_gpu_fixtures import LOST
from plugin_folders import install_plugin
from seqd.doctor.devices import _covers, device_checks
from seqd.doctor.findings import Check, Finding, NotChecked, Report, Severity, finding
from seqd.doctor.machine import machine_checks, plugin_checks
from seqd.doctor.server import Running, run_checks
from seqd.doctor.store import store_checks
from seqd.errors import RedisUnreachable
from seqd.models.store import ModelStore
from seqd.settings import Settings
from store_builders import publish


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data")


def kinds(report: Report) -> list[str]:
    return [one.id for one in report.findings]


def a_check(name: str, *found: Finding, error: Exception | None = None) -> Check:
    def run() -> Iterator[Finding]:
        yield from found
        if error is not None:
            raise error

    return Check(name, run)


def test_a_check_that_cannot_look_is_told_of_and_costs_no_other():
    bad = finding("inodes", "a\x1b[2J\nb", "c")

    report = run_checks(
        [
            a_check("first", bad, error=NotChecked("no such figure")),
            a_check("second", error=ResponseError("unknown command 'SLOWLOG', with args")),
            a_check("third", error=PermissionError(13, "Permission denied", "/x")),
            a_check("fourth"),
        ]
    )

    assert report.findings[0].what == r"a\x1b[2J\nb."
    assert report.checked == ["fourth"]
    assert [(one.what, one.why) for one in report.not_checked] == [
        ("first", "no such figure"),
        ("second", "the server does not know the command (unknown command 'SLOWLOG')"),
        ("third", "/x: Permission denied"),
    ]


def test_once_redis_is_gone_no_check_waits_for_it_again():
    report = run_checks([a_check("first", error=RedisUnreachable("no answer.")), a_check("second")])

    assert {one.why for one in report.not_checked} == {"Redis went away meanwhile: no answer"}
    assert report.checked == []


def test_a_check_that_hangs_costs_its_area_the_rest_and_nobody_a_wait():
    begun, ended = Event(), Event()

    def hang() -> Iterator[Finding]:
        yield finding("inodes", "a", "b")
        begun.set()
        ended.wait()

    running = Running([a_check("first"), Check("second", hang), a_check("third")])
    assert begun.wait(120)
    report = running.report(until_s=0)
    ended.set()

    assert (report.checked, [one.id for one in report.findings]) == (["first"], ["inodes"])
    why = "it took too long: a disk, a driver or a plugin hangs"
    assert [(one.what, one.why) for one in report.not_checked] == [("second", why), ("third", why)]


def test_a_damaged_version_is_found_by_its_size_by_its_hash_where_it_is_deep_and_a_lost_one(
    settings,
):
    store = ModelStore(settings.store_dir, {})
    for _ in range(3):
        publish(store)
    folder = settings.store_dir / "topics"
    (folder / "1" / "echo.json").write_text("{}")
    (folder / "2" / "echo.json").write_text('{"records": 2}')  # as many bytes
    (folder / "labels.json").write_text(json.dumps({"production": 7, "candidate": 3}))

    quick = run_checks(store_checks(settings, deep=False))
    deep = run_checks(store_checks(settings, deep=True))

    gone = "topics@7 is in service, and the store has no such version."
    found = [
        sorted(one.what.partition(":")[0] for one in report.findings) for report in (quick, deep)
    ]
    assert found == [["topics@1", gone], ["topics@1", "topics@2", gone]]
    assert {"store-labels"} < set(kinds(quick))
    assert any("has 2 bytes, and its manifest says 14." in one.what for one in quick.findings)


def test_a_machine_without_a_store_says_that_there_was_none_to_look_at(settings):
    report = run_checks(store_checks(settings, deep=False))

    assert {one.why for one in report.not_checked} == {
        f"this machine has no store at {settings.store_dir}"
    }


def test_a_store_at_a_url_without_s3fs_is_a_finding_and_ends_no_other_check(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    at_url = settings.model_copy(update={"store_url": "s3://models/seqd"})

    report = run_checks(store_checks(at_url, deep=False))

    (found,) = report.findings
    assert found.id == "store-unreadable"
    assert "not installed here: pip install 'seqd[s3]'" in found.what
    assert report.checked == ["model store"]
    assert len(report.not_checked) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_disk_that_is_full_or_without_inodes_is_an_error(settings):
    settings.data_dir.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=20", "tmpfs", settings.data_dir]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        (settings.data_dir / "large").write_bytes(b"x" * 1_040_000)
        for number in range(17):
            (settings.data_dir / str(number)).touch()

        found = run_checks(machine_checks(settings)).findings
    finally:
        subprocess.run(["umount", settings.data_dir], check=True)

    ours = [one for one in found if str(settings.data_dir) in one.what]
    assert {one.id for one in ours} == {"disk-full", "inodes"}
    assert ours[0].severity is Severity.ERROR


def test_a_variable_that_is_no_setting_is_found(settings, monkeypatch):
    monkeypatch.setenv("SEQD_LEAS_S", "3")

    found = run_checks(machine_checks(settings)).findings

    assert "SEQD_LEAS_S is no setting and changes nothing. Did you mean 'SEQD_LEASE_S'?" in [
        one.what for one in found
    ]


def test_a_machine_without_a_gpu_is_well(machine, settings):
    report = run_checks(device_checks(settings.model_copy(update={"slots": "cpu:0"})))

    assert (report.findings, report.not_checked) == ([], [])


def test_gpus_that_are_sick_or_lost_are_found_and_the_well_one_is_not(machine, settings):
    machine.add(2)
    machine.change(1, error=LOST)
    well = run_checks(device_checks(settings)[:2])
    machine.say("cuda cuLaunchKernel 719")
    sick = run_checks(device_checks(settings)[:2])

    assert kinds(well) == ["gpu-lost"]
    assert kinds(sick) == ["gpu-lost", "gpu-sick"]
    assert sick.findings[0].page == "docker/RUNBOOK.md#sick-gpu"


@pytest.mark.parametrize(
    ("built_for", "capability", "covered"),
    [
        (["sm_80", "sm_86"], (8, 9), True),
        (["sm_90"], (8, 0), False),
        (["sm_50", "compute_50"], (9, 0), True),
        (["sm_90a"], (9, 0), True),
        (["sm_80"], (12, 0), False),
        (["sm_120"], (12, 0), True),
    ],
)
def test_a_gpu_is_covered_by_a_kernel_of_its_generation_or_by_what_the_driver_compiles(
    built_for, capability, covered
):
    assert _covers(built_for, capability) is covered


@pytest.mark.processes
@pytest.mark.parametrize(
    ("source", "what", "severity", "load_s"),
    [
        (
            "print('noise')\nimport no_such_module",
            "The plugin bad is broken here: ModuleNotFoundError: No module named 'no_such_module'",
            Severity.WARNING,
            60,
        ),
        pytest.param(
            "import time\ntime.sleep(600)",
            "The plugins here were not loaded within 2 s: it stood in seqd_bad.py, line 2",
            Severity.ERROR,
            2,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "import os\nos._exit(3)",
            "A plugin here ended the process that loads plugins, with status 3",
            Severity.ERROR,
            60,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["broken", "hangs", "ends"],
)
def test_a_plugin_that_is_broken_hangs_or_ends_its_process_is_a_finding(
    settings, monkeypatch, tmp_path, source, what, severity, load_s
):
    install_plugin(tmp_path, "bad", source)
    monkeypatch.setenv("PYTHONPATH", python_path(tmp_path))
    monkeypatch.setenv("SEQD_ENABLED_PLUGINS", "bad")

    (found,) = run_checks(plugin_checks(settings, load_s)).findings

    assert found.what.startswith(what)
    assert (found.id, found.severity) == ("plugin-broken", severity)

"""What a bench says of the machine, and what it reads of processes."""

import os
import subprocess
import sys

import pytest

from seqd.bench import usage
from seqd.bench.machine import load_average, processor_of, this_machine, versions_of
from worker_fixtures import wait_until

CPUINFO = """\
processor\t: 0
model name\t: A Processor of 2026 : with a colon
processor\t: 1
model name\t: A Processor of 2026 : with a colon
"""

on_linux = pytest.mark.skipif(not usage.is_counted(), reason="/proc is Linux's")


def test_the_processors_name_is_read_from_the_first_core():
    assert processor_of(CPUINFO) == "A Processor of 2026 : with a colon"


def test_a_processor_without_a_name_has_none():
    assert processor_of("processor\t: 0\nfeatures\t: half\n") == ""


def test_versions_of_what_is_not_installed_are_left_out():
    found = versions_of(["seqd", "there-is-no-such-distribution"])

    assert list(found) == ["seqd"]


def test_this_machine_has_a_processor_cores_memory_and_versions():
    machine = this_machine()

    assert machine.processor
    assert machine.cores >= 1
    assert machine.memory_bytes > 1 << 27
    assert {"seqd", "numpy", "celery"} <= set(machine.versions)
    assert load_average() is None or load_average() >= 0


def test_the_largest_memory_is_read_in_bytes():
    status = "Name:\tsome program\nVmPeak:\t   99 kB\nVmHWM:\t    12 kB\nVmRSS:\t     9 kB\n"

    assert usage.peak_bytes_of(status) == 12 * 1024


def test_a_process_that_has_no_memory_any_more_has_none():
    assert usage.peak_bytes_of("Name:\tzombie\n") == 0


@on_linux
def test_what_this_process_has_used_is_counted():
    found = usage.usage_of([os.getpid()])

    assert found.cpu_s > 0
    assert found.peak_bytes > 1 << 20


@on_linux
def test_a_process_that_has_ended_counts_for_nothing():
    program = subprocess.Popen([sys.executable, "-c", ""])
    program.wait()

    assert usage.usage_of([program.pid]) == usage.Usage(0.0, 0)


@on_linux
def test_a_watch_tells_the_largest_memory_of_a_process_that_has_ended_since():
    size = 64 << 20
    code = f"import sys; taken = b'x' * {size}; print(1, flush=True); sys.stdin.read()"
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with usage.PeakWatch(program.pid) as watch:
        assert program.stdout.readline() == b"1\n"
        wait_until(lambda: watch.peak_bytes >= size, "the watch sees the memory")
        program.communicate()

    assert size <= watch.peak_bytes < 4 * size


@on_linux
def test_descendants_are_the_children_and_theirs():
    code = (
        "import subprocess, sys\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'])\n"
        "print(inner.pid, flush=True)\n"
        "inner.wait()\n"
    )
    outer = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    inner_pid = int(outer.stdout.readline())

    found = usage.descendants_of(os.getpid())
    below = usage.descendants_of(outer.pid)
    outer.communicate()

    assert {outer.pid, inner_pid} <= found
    assert below == {inner_pid}

"""The Dockerfile: sound by its linter, pinned, true to the sources. `tests/images` builds it."""

import re
import subprocess
import sys
from pathlib import Path

import seqd
from readme_blocks import ROOT

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_the_linter_finds_nothing():
    hadolint = Path(sys.executable).parent / "hadolint"

    done = subprocess.run(
        [hadolint, ROOT / "docker" / "Dockerfile"], capture_output=True, text=True, timeout=120
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_pinned_by_its_digest_and_is_an_argument():
    assert re.search(r"^ARG BASE_IMAGE=\S+:\S+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.M)
    outside = [
        base
        for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
        if base not in re.findall(r" AS (\S+)$", DOCKERFILE, re.M)
    ]
    assert set(outside) == {"${BASE_IMAGE}"}


def test_its_version_is_that_of_the_sources():
    assert re.findall(r"^ARG VERSION=(\S+)$", DOCKERFILE, re.M) == [seqd.__version__]


def test_what_it_copies_reaches_the_build_and_is_there():
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M)
        for source in line.split()
    }

    assert {f"!{source}" for source in copied} == {one for one in IGNORED if one.startswith("!")}
    assert all((ROOT / source).exists() for source in copied)

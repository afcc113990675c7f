"""The previous release of seqd, as a wheel that is built from its commit and installed in a folder.

`releases/previous.toml` names it. Its dependencies are those of the environment; nothing is
downloaded.
"""

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from checkout import ROOT, release_python_path
from seqd.settings import Settings

#: Which release it is.
NAMED = Path(__file__).parent / "releases" / "previous.toml"

#: Seconds for `git archive` and `pip`, and for a command of a release.
_BUILD_S, _COMMAND_S = 120.0, 60.0


class NoSuchCommit(Exception):
    """The checkout's history does not go back as far as the release."""


@dataclass(frozen=True)
class Release:
    """A release of seqd without its dependencies, which are those of the environment."""

    version: str
    folder: Path
    #: Its JSON Schemas.
    schemas: Path

    def command(self, settings: Settings, *arguments: str) -> str:
        """Run `seqd …` of this release as a service would, and return what it prints."""
        assert settings.redis_url is not None
        own = {
            "SEQD_REDIS_URL": settings.redis_url,
            "SEQD_PREFIX": settings.prefix,
            "SEQD_DATA_DIR": str(settings.data_dir),
            "PYTHONPATH": release_python_path(self.folder),
        }
        others = {name: value for name, value in os.environ.items() if "SEQD_" not in name}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "seqd", *arguments],
            env={**others, **own},
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def build_previous_release(folder: Path) -> Release:
    """Return the previous release, built and installed in a folder.

    Raises NoSuchCommit in a shallow clone that does not have its commit.
    """
    named = tomllib.loads(NAMED.read_text())
    source, wheels, installed = (folder / name for name in ("source", "wheels", "installed"))
    source.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", named["commit"]],
        capture_output=True,
        timeout=_BUILD_S,
        check=False,
    )
    if archive.returncode != 0:
        raise NoSuchCommit(f"the history has no commit {named['commit']}: {archive.stderr!r}")
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    pip = [sys.executable, "-P", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    building = ["wheel", *offline, "--no-build-isolation", "--wheel-dir", str(wheels), str(source)]
    subprocess.run([*pip, *building], check=True, timeout=_BUILD_S)
    (wheel,) = wheels.glob("*.whl")
    installing = ["install", *offline, "--target", str(installed), str(wheel)]
    subprocess.run([*pip, *installing], check=True, timeout=_BUILD_S)
    return Release(named["version"], installed, source / "schemas" / "json")

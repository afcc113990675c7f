"""Which seqd is tested: the one of the checkout that the tests stand in, in every process.

An editable install points to one checkout. In another one, such as a second clone or a copy that
`tests/mutation` has broken, a test would run the first one's code, and pass. So the checkout's
folders stand in front of what is installed, here and in `PYTHONPATH` of all that is started, which
holds under `-P`, too; and a process that would import another seqd is an error.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Where the packages are, and one package of each.
FOLDERS = {"schemas": "seqd_schemas", "daemon": "seqd", "plugins": "seqd_markov"}

#: What decides which modules an interpreter finds.
VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONNOUSERSITE")

_PROGRAM = """
import sys
from importlib.util import find_spec
for name in sys.argv[1:]:
    spec = find_spec(name)
    print(spec.origin if spec else None)
"""


class AnotherCheckout(Exception):
    """A process imports a package that is not the checkout's."""


def python_path(*folders: Path, after: str = "") -> str:
    """Return a `PYTHONPATH` with some folders, the checkout's packages, and what else there was."""
    ours = [*folders, *(ROOT / folder for folder in FOLDERS)]
    return os.pathsep.join([*map(str, ours), *filter(None, [after])])


def release_python_path(release: Path, *folders: Path) -> str:
    """Return a `PYTHONPATH` with some folders and a release that is installed in another one."""
    return os.pathsep.join([*map(str, folders), str(release)])


def use_checkout() -> None:
    """Have this process and all that it starts import the checkout's packages.

    Raises AnotherCheckout where this one has imported another seqd before.
    """
    ours, given = python_path(), os.environ.get("PYTHONPATH", "")
    sys.path[:0] = ours.split(os.pathsep)
    if ours not in given:
        os.environ["PYTHONPATH"] = python_path(after=given)
    _require([_origin(package) for package in FOLDERS.values()], "this process")


def require_checkout(environment: Mapping[str, str]) -> None:
    """Raise AnotherCheckout where a Python with this environment would import another seqd."""
    variables = tuple((name, environment[name]) for name in VARIABLES if name in environment)
    _require(list(_origins(variables)), "a process that is to be started")


@cache
def _origins(variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return where a Python with these variables finds one package of each folder."""
    found = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM, *FOLDERS.values()],
        env=dict(variables),
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(found.stdout.split("\n")[: len(FOLDERS)])


def _origin(package: str) -> str:
    spec = find_spec(package)
    return str(spec.origin if spec else None)


def _require(origins: list[str], who: str) -> None:
    for (folder, package), origin in zip(FOLDERS.items(), origins, strict=True):
        if not Path(origin).is_relative_to(ROOT / folder):
            raise AnotherCheckout(
                f"{who} imports {package} from {origin}, and the tests stand in {ROOT}. Start it "
                "with PYTHONPATH=checkout.python_path(…), or run the tests of that checkout."
            )

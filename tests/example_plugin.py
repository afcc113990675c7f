"""The examples of plugins of one's own, `plugins/examples/*`, as installing would put them.

They are no part of seqd's wheel. Tests find each by its metadata in a folder of its own.
"""

import atexit
import shutil
import tempfile
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from checkout import ROOT

EXAMPLES = ROOT / "plugins" / "examples"

#: The example with tasks of its own.
EXAMPLE = EXAMPLES / "seqd_embed"

#: The others by their entry points, and what each needs beside seqd.
OTHER_EXAMPLES = {"gru": "keras", "onnx": "onnxruntime", "tfidf": "sklearn"}


@cache
def installed_example(package: str = "seqd_embed") -> Path:
    """Return a folder for `sys.path` with the plugin in it, made once, gone with this process."""
    folder = Path(tempfile.mkdtemp(prefix="seqd-example-"))
    atexit.register(shutil.rmtree, folder)
    for module in (EXAMPLES / package).glob(f"{package}*"):
        (folder / module.name).symlink_to(module)
    write_metadata(EXAMPLES / package / "pyproject.toml", folder)
    return folder


def runnable_examples() -> list[str]:
    """Return the entry points of the others whose library is installed."""
    return [name for name, library in OTHER_EXAMPLES.items() if find_spec(library)]


def write_metadata(pyproject: Path, folder: Path) -> None:
    """Write into a folder what installing a distribution writes of its name and entry points."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
            for group, points in project["entry-points"].items()
        )
    )

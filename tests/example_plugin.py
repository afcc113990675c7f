"""The example of a plugin of one's own, `plugins/examples/seqd_embed`, as installing would put it.

It is no part of seqd's wheel. Tests find it by its metadata in a folder of their own.
"""

import atexit
import shutil
import tempfile
import tomllib
from functools import cache
from pathlib import Path

from checkout import ROOT

EXAMPLE = ROOT / "plugins" / "examples" / "seqd_embed"


@cache
def installed_example() -> Path:
    """Return a folder for `sys.path` with the plugin in it, made once, gone with this process."""
    folder = Path(tempfile.mkdtemp(prefix="seqd-example-"))
    atexit.register(shutil.rmtree, folder)
    (folder / "seqd_embed").symlink_to(EXAMPLE / "seqd_embed")
    write_metadata(EXAMPLE / "pyproject.toml", folder)
    return folder


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

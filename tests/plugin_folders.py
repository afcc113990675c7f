"""Plugins in folders of a test's own, found as an installed distribution's would be."""

from pathlib import Path


def install_plugin(folder: Path, name: str, source: str) -> None:
    """Write the module `seqd_NAME` with its entry point, for a `PYTHONPATH` with the folder."""
    info = folder / f"seqd_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: seqd-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[seqd]\n{name} = seqd_{name}\n")
    (folder / f"seqd_{name}.py").write_text(source)

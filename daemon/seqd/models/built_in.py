"""Version 0 of the models that plugins bring: a starter's folder, or the plugin's code alone."""

import hashlib
import sys
from pathlib import Path

from seqd.hookspecs import Artifact, Model
from seqd.kinds import TRAIN
from seqd.models.registry import Registry
from seqd.models.version_files import digest_of
from seqd_schemas import DataFingerprint, FileDigest, ModelManifest, VersionOrigin

#: Where a built-in version's data came from, in its manifest.
NO_DATA = "none: the code is the model"


def versions_zero(plugins: Registry) -> dict[str, Path | Artifact]:
    """Return version 0 of each model that has one, by name.

    It is the folder of a starter, or an artifact for a model that needs neither training nor files.
    Of a broken starter's folder nothing is known here: opening it says what is wrong.
    """
    found: dict[str, Path | Artifact] = {}
    for name, model in plugins.models.items():
        if (starter := model.starter) is not None:
            found[name] = starter
        elif is_built_in(model):
            found[name] = built_in_version(model, plugins.plugin_of(name).version)
    return found


def is_built_in(model: Model) -> bool:
    """Return True for a model whose version 0 is the plugin's code, without files."""
    return TRAIN not in model.tasks and not model.needs_weights and model.starter is None


def built_in_version(model: Model, plugin_version: str) -> Artifact:
    """Return version 0 of a model that needs no files: the folder and digest of its module.

    The digest is that of the file that defines the model, so that two hosts can be compared.
    """
    path, digest, created_at_ms = _source_of(type(model).__module__)
    manifest = ModelManifest(
        model=model.name,
        version=0,
        plugin_version=plugin_version,
        parameters={},
        metrics={},
        data=DataFingerprint(
            description=NO_DATA, records=0, sha256=hashlib.sha256(b"").hexdigest()
        ),
        libraries={},
        origin=VersionOrigin(is_built_in=True),
        created_at_ms=created_at_ms,
        files={path.name: digest},
    )
    return Artifact(folder=path.parent, manifest=manifest)


def _source_of(module: str) -> tuple[Path, FileDigest, int]:
    """Return a module's file, its digest and when it was written, in ms.

    A module in an archive has no file to read: its digest is that of no bytes.
    """
    path = Path(getattr(sys.modules.get(module), "__file__", None) or f"{module}.py")
    try:
        return path, digest_of(path.resolve()), path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return path, FileDigest(sha256=hashlib.sha256(b"").hexdigest(), size_bytes=0), 0

"""Models: the plugins that bring them, their versions in the store, and trainings' checkpoints.

A broken plugin is listed with its reason, and the others serve. Clients need none of this: they
read the published catalog (`seqd.admission`).
"""

from typing import TYPE_CHECKING

from seqd.deferred import deferred

if TYPE_CHECKING:
    from seqd.models.catalog import VersionSource, catalog_entry
    from seqd.models.checkpoints import (
        CheckpointFolder,
        Content,
        checkpoints_dir,
        decode,
        encode,
        read_state,
    )
    from seqd.models.loading import Candidate
    from seqd.models.registry import Registry
    from seqd.models.store import ModelStore
    from seqd.models.version_files import VersionDraft, open_folder, seal_folder

__all__ = [
    "Candidate",
    "CheckpointFolder",
    "Content",
    "ModelStore",
    "Registry",
    "VersionDraft",
    "VersionSource",
    "catalog_entry",
    "checkpoints_dir",
    "decode",
    "encode",
    "open_folder",
    "read_state",
    "seal_folder",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = deferred(
        globals(),
        {
            "Candidate": "loading",
            "CheckpointFolder": "checkpoints",
            "Content": "checkpoints",
            "ModelStore": "store",
            "Registry": "registry",
            "VersionDraft": "version_files",
            "VersionSource": "catalog",
            "catalog_entry": "catalog",
            "checkpoints_dir": "checkpoints",
            "decode": "checkpoints",
            "encode": "checkpoints",
            "open_folder": "version_files",
            "read_state": "checkpoints",
            "seal_folder": "version_files",
        },
    )

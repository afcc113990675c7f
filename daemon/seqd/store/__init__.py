"""The model store: every trained version of every model, whole, immutable and checked.

`<root>/<name>/<version>/` holds a version's files and its `manifest.json`; version 0 is the
starter that ships with a plugin and is read in place. `versions` finds and opens, `staging`
makes and publishes, `labels` moves names such as `production`, `withdrawals` takes back what
a job published that did not complete, `checking` trusts no file.
Called by workers, by the command line and by `seqd.testing`; imports no Keras.
"""

from seqd.store.checking import open_folder
from seqd.store.manifest_files import VersionDraft, seal_folder
from seqd.store.versions import ModelStore

__all__ = [
    "ModelStore",
    "VersionDraft",
    "open_folder",
    "seal_folder",
]

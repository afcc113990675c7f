"""Whether this is a container of seqd's image, and how it is run otherwise than it is made for."""

import os
from pathlib import Path

#: A file that the image has, and nothing else: docker/install_seqd.sh writes it.
MARKER = Path("/usr/share/seqd/image")

_ROOT = (
    "this container runs as root. It works, but a plugin has more rights than it needs, and the "
    "files in SEQD_DATA_DIR become root's. The image's own user is 10001:10001: leave --user (in "
    "Kubernetes: runAsUser, runAsNonRoot: false) away"
)
_WRITABLE = (
    "the root file system of this container can be written to. It works, but what breaks into a "
    "plugin could change seqd itself. seqd needs to write to SEQD_DATA_DIR and /tmp alone: run it "
    "with --read-only (in Kubernetes: readOnlyRootFilesystem: true)"
)


def departures(
    *, user_id: int | None = None, root: Path = Path("/"), marker: Path = MARKER
) -> list[str]:
    """Return a sentence for each way in which this container is less closed than it could be.

    None outside of the image, where a user knows best. `user_id` is this process's own.
    """
    if not marker.is_file():
        return []
    is_root = (os.geteuid() if user_id is None else user_id) == 0
    is_writable = not os.statvfs(root).f_flag & os.ST_RDONLY
    return [_ROOT] * is_root + [_WRITABLE] * is_writable

"""The folder in which compiled kernels are kept from one start of a worker to the next.

Numba keeps them as pickles, which are code as `__pycache__` is: so a folder is taken only where
nobody but this user may write.
"""

import os
import stat
import tempfile
from pathlib import Path

#: What Numba reads when it is imported: the folder, '' to keep nothing.
VARIABLE = "NUMBA_CACHE_DIR"

#: The folder under that of the data.
FOLDER = "kernels"

_OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def keep_kernels(data_dir: Path) -> str:
    """Return why kernels are not kept, '' where they are: by this process and all that it starts.

    They are kept in `kernels` under `data_dir`, or where NUMBA_CACHE_DIR names a folder. Call it
    before a plugin is imported.
    """
    folder = Path(os.environ.get(VARIABLE) or data_dir / FOLDER).absolute()
    os.environ[VARIABLE] = ""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid():
            return f"{folder} belongs to user {found.st_uid}, and this process is {os.geteuid()}'s"
        if found.st_mode & _OF_OTHERS:
            mode = stat.S_IMODE(found.st_mode)
            return f"others may write to {folder} (mode {mode:04o}); remove it"
        folder.chmod(0o700)
        tempfile.TemporaryFile(dir=folder).close()  # as Numba looks whether it can write
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror}"
    os.environ[VARIABLE] = str(folder)
    return ""

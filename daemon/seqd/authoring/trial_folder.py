"""The folder that a trial training writes into; the command has it, as its child may be killed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seqd.errors import OutputExists, OutputUnwritable


@contextmanager
def folder_for(wanted: str | None) -> Iterator[Path]:
    """Yield an empty folder, which becomes the one that is wanted once the block has ended well.

    Without one that is wanted, and after an exception, it is removed. Raises OutputExists for one
    that is there already, OutputUnwritable.
    """
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="seqd-try-") as thrown_away:
            yield Path(thrown_away)
        return
    target = Path(wanted)
    if target.exists():
        raise OutputExists(f"{target} is there already. Give --out a folder that is not there yet.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise OutputUnwritable(f"{target} cannot be made: {error.strerror}") from None
    try:
        yield staged
        staged.chmod(0o755)
        staged.rename(target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)

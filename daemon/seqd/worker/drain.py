"""The flag by which a node tells its pool child to take no more work: an empty file.

A file, because the two are different programs since `spawn`, and because it must reach the
child while Redis is away. `node` raises it, `runtime` looks at it between units.
"""

from seqd.settings import Settings


class DrainFlag:
    """Raised once, when the node shuts down."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self._path = settings.data_dir / "run" / f"{worker.replace('/', '_')}.draining"

    def raise_(self) -> None:
        """Tell the child."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()

    def is_raised(self) -> bool:
        """True when the worker should take no more work."""
        return self._path.exists()

    def lower(self) -> None:
        """Take the flag away; done at boot and when the node has stopped."""
        self._path.unlink(missing_ok=True)

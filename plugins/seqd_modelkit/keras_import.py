"""Says what to install where a network needs Keras, which few installations have.

`seqd[serve]` has neither Keras nor a backend of it: what can be compiled by Numba needs none.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from seqd.errors import LibraryMissing


@contextmanager
def importing_keras(needed_for: str, *, advice: str) -> Iterator[None]:
    """Raise LibraryMissing where Keras, or its backend, cannot be imported in the block.

    The message says what it is `needed_for`, and ends with the `advice`; both are sentences of the
    caller's, without a full stop.
    """
    try:
        yield
    except ImportError as error:
        raise LibraryMissing(
            f"{needed_for}, and Keras cannot be imported here: {error}. {advice}."
        ) from error

"""The root of seqd's exceptions, and the one that a record of this package raises itself.

All others are in `seqd.errors`, which has these two as well. Imports nothing.
"""


class SeqdError(Exception):
    """Anything that seqd raises on purpose."""

    code: str = "internal"
    exit_status: int = 1
    retryable: bool = False
    #: Seconds to wait before another try, where waiting helps.
    retry_after_s: float | None = None

    def __init_subclass__(
        cls, *, code: str = "", exit_status: int = 0, retryable: bool = False
    ) -> None:
        """Take what the head of a class states; it inherits the rest."""
        cls.code = code or cls.code
        cls.exit_status = exit_status or cls.exit_status
        cls.retryable = retryable or cls.retryable


class ItemFailed(SeqdError, code="item_failed"):
    """An item has no output; `code` is that of its error, as `ItemErrorCode` lists them."""

    def __init__(
        self, code: str, message: str, retryable: bool = False, *, custom_id: str | None = None
    ) -> None:
        super().__init__(message)
        #: Which item of a job it is, where it is one of several.
        self.custom_id = custom_id
        # Its own: what is stable about an item's error is the item's code.
        self.code = str(code)
        self.retryable = retryable

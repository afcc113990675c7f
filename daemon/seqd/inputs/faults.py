"""Why one entry of an input cannot be used, while its neighbours can.

Never leaves `seqd.inputs`: an item stream turns it into a `RefusedItem`, a data set into
InvalidData. What is wrong with a whole file is InvalidInput from the start.
"""

from seqd_schemas import ItemErrorCode


class BadEntry(Exception):
    """One entry is not an item; `reason` is a clause without the entry's place."""

    def __init__(self, code: ItemErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def invalid(reason: str) -> BadEntry:
    """Make the fault of an entry that is not usable as it is."""
    return BadEntry(ItemErrorCode.INVALID_INPUT, reason)


def undecodable(error: UnicodeDecodeError) -> BadEntry:
    """Make the fault of bytes that are not UTF-8, naming the first such byte, counted from 0."""
    byte = error.object[error.start]
    return BadEntry(
        ItemErrorCode.DECODE_ERROR,
        f"byte {byte:#04x} at byte {error.start} is not UTF-8. "
        "Convert the input, as `iconv -f LATIN1 -t UTF-8` does",
    )

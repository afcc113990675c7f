"""The one format of what seqd stores: a number in Redis, and one in the model store.

It is the least format that may work there. Whoever connects, or opens the store, reads it first.
What Redis holds of a queue has another layout since format 2; a store of format 1 is read as ever.
Of format 3 are single jobs alone, those by reference: each says so itself.
"""

from seqd import __version__
from seqd.errors import OtherFormat
from seqd_schemas import FORMAT

#: The layout that a new Redis and a new store state. Of Redis this release reads no older one.
LAYOUT = 2


def refuse_other_format(found: str, place: str, instead: str, least: int = 1) -> None:
    """Raise OtherFormat where a place has a format that this release cannot read.

    '' stands for what has no format at all; `instead` says how to do without the place.
    """
    if not found or (found.isdecimal() and int(found) < least):
        before = "seqd 1.0.0.dev0" if found else "seqd 0.1 or 0.2"
        raise OtherFormat(
            f"{place} holds what {before} has stored, and no later release reads. {instead}."
        )
    if not found.isdecimal() or int(found) > FORMAT:
        raise OtherFormat(
            f"{place} has format {found:.20}, and seqd {__version__}, which is the one here, reads "
            f"formats up to {FORMAT}. Upgrade seqd here. Or {instead[0].lower()}{instead[1:]}."
        )

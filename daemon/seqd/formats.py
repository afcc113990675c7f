"""The one format of what seqd stores: a number in Redis, and one in the model store.

It is the least format that may work there. Whoever connects, or opens the store, reads it first.
"""

from seqd import __version__
from seqd.errors import OtherFormat
from seqd_schemas import FORMAT


def refuse_other_format(found: str, place: str, instead: str) -> None:
    """Raise OtherFormat where a place has a format that this release cannot read.

    '' stands for what has no format at all; `instead` says how to do without the place.
    """
    if not found:
        raise OtherFormat(
            f"{place} holds what seqd 0.1 or 0.2 has stored, and no later release reads. {instead}."
        )
    if not found.isdecimal() or int(found) > FORMAT:
        raise OtherFormat(
            f"{place} has format {found:.20}, and seqd {__version__}, which is the one here, reads "
            f"formats up to {FORMAT}. Upgrade seqd here. Or {instead[0].lower()}{instead[1:]}."
        )

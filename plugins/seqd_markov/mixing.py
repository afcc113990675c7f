"""The model that mixes contexts: what it reads of a text, counts, mixes and learns; compiled.

It predicts a character in binary decisions, from the root of a Huffman tree down. For each of them
16 contexts, such as the last 5 characters, or the word so far and the one before, say how often
either side followed them. Mixers, which are logistic regressions chosen by the place in the text,
make one probability of all that, and maps correct it by what became of such probabilities. This is
the way of PAQ (Mahoney 2005, "Adaptive weighing of context models for lossless data compression"),
over characters and not bytes, and with weights that can be learnt on text whose own counts are
taken out, so that nothing need change while it serves.

In this order: the tree; the place in a text, and its contexts; counts; the parts of a prediction;
loops over a text. `mixture` has the model as other modules see it. Arrays that change while the
model learns are written in place.
"""

import heapq
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from seqd_modelkit.lstm_cell import compiled

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_F = np.float32

#: Kinds of contexts, the first of which are the last 0, 1, ... characters.
CONTEXTS: Final = 16
ORDERS: Final = 7

#: Numbers that a mixer reads: three of each context, a bias, one of the match.
INPUTS: Final = 3 * CONTEXTS + 2
_BIAS: Final = INPUTS - 2
_MATCH: Final = INPUTS - 1

#: Mixers of the first layer, each chosen by something else.
SETS: Final = 5

#: A place in a text: the last ids, the latest first, and what comes after them in the array.
HISTORY: Final = 32
_WORD: Final = HISTORY  # a hash of the letters of the word so far, and of the three words before
_LENGTH: Final = HISTORY + 4  # letters of the word so far
_COLUMN: Final = HISTORY + 5  # characters since the last line break
PLACE: Final = HISTORY + 6
_LAST_COLUMN: Final = 255

#: Characters of the past that a match has at least.
MATCHED: Final = 6

#: Counts of one side, in classes; the class of a count of 31 and less, and its logarithm.
CLASSES: Final = 16
_CLASS_ENDS: Final = (5, 6, 9, 13, 19, 31, 63, 127, 255, 1023, 8191)
LOGARITHMS: Final = 4096

#: Points of a probability map, at logits from -8 to 8.
POINTS: Final = 33
MAP_ROWS: Final = 1 << 14

#: A decision has this probability at least.
_LEAST: Final = _F(1e-6)
_LARGEST_LOGIT: Final = _F(10.0)
_MULTIPLIER: Final = 0x2545F4914F6CDD1D


class Tree(NamedTuple):
    """A Huffman tree: the path of each symbol from the root, node 0; of none, one of depth 0."""

    nodes: Ints  # (symbols, longest path)
    sides: Ints  # (symbols, longest path), 0 or 1
    depths: Ints  # (symbols,)


class Alphabet(NamedTuple):
    """What the contexts know of each symbol."""

    plain: Ints  # (symbols,), the symbol that it counts as: a line break is a space
    letters: Flags  # (symbols,)
    line_ends: Flags  # (symbols,)


class Counts(NamedTuple):
    """The symbols that followed each context, the latest first: a hash table of linked lists."""

    slots: Ints  # (a power of 2, 2): the context's key, and its first entry or -1
    entries: Ints  # (room, 3): symbol, count, next entry or -1
    sizes: Longs  # (2,): contexts and entries so far


class Past(NamedTuple):
    """The text that was read, in which the longest match with the last characters is sought."""

    ids: Ints  # (characters,)
    last: Ints  # (a power of 2,): the last position behind each hash of MATCHED characters, or -1
    before: Ints  # (characters,) or none: the position before with the same hash


class Weights(NamedTuple):
    """All that is learnt but the counts."""

    probabilities: Floats  # (CONTEXTS, CLASSES * CLASSES * 4), of side 1
    logits: Floats  # the same as logits
    seen: Ints  # the same, decisions that each has learnt from
    match_probabilities: Floats  # (HISTORY,), by length: that the match is right
    mixers: Floats  # (rows of all sets, INPUTS)
    joints: Floats  # (nodes, SETS)
    map_by_character: Floats  # (nodes * (symbols + 1), at most MAP_ROWS, POINTS)
    map_by_pair: Floats  # (MAP_ROWS, POINTS)


class Model(NamedTuple):
    """A whole model, as the loops read it."""

    tree: Tree
    alphabet: Alphabet
    counts: Counts
    past: Past
    weights: Weights
    first_rows: Longs  # (SETS,), of `mixers`
    log_counts: Floats  # (LOGARITHMS,): log(n + 0.4)


class Rates(NamedTuple):
    """How fast it learns."""

    mixers: Floats  # (characters,)
    joints: float  # times that of the mixers
    least: float  # of a probability, however often it was seen
    maps: float


class _Scratch(NamedTuple):
    """Room for one prediction."""

    keys: Longs  # (CONTEXTS,)
    counts: Ints  # (CONTEXTS, nodes, 2), of the decisions that are asked for
    latest: Ints  # (CONTEXTS, nodes), the side of the latest symbol
    several: Ints  # (CONTEXTS,), 1 where more than one symbol was seen
    wanted: Ints  # (nodes,), where each node's decision is in the arrays, or -1
    classes: Longs  # (CONTEXTS,), of the current decision, or -1
    inputs: Floats  # (INPUTS,)
    rows: Longs  # (SETS,)
    logits: Floats  # (SETS,)
    chances: Floats  # (nodes,), of side 1


def huffman_tree(counts: Sequence[int], never: int | None) -> Tree:
    """Return the tree of symbols by their counts (Huffman 1952); `never` has no place in it."""
    queue = [(count, symbol) for symbol, count in enumerate(counts) if symbol != never]
    heapq.heapify(queue)
    parents: dict[int, tuple[int, int]] = {}
    last = len(counts)
    while len(queue) > 1:
        (less, one), (more, other) = heapq.heappop(queue), heapq.heappop(queue)
        parents[one], parents[other] = (last, 0), (last, 1)
        heapq.heappush(queue, (less + more, last))
        last += 1
    paths = []
    for symbol in range(len(counts)):
        path, node = [], symbol
        while node in parents:
            node, side = parents[node]
            path.append((last - 1 - node, side))
        paths.append(path[::-1])
    nodes = np.zeros((len(paths), max(map(len, paths))), np.int32)
    sides = np.zeros_like(nodes)
    for symbol, path in enumerate(paths):
        for step, (node, side) in enumerate(path):
            nodes[symbol, step], sides[symbol, step] = node, side
    return Tree(nodes, sides, np.array([len(path) for path in paths], np.int32))


# The place in a text, and its contexts


@compiled
def _mixed(key: int, value: int) -> int:
    """Return a hash of both, which may be small numbers: 64 bits, which overflow."""
    key = (key * 0x9E3779B1 ^ value) * _MULTIPLIER
    return key ^ ((key >> 32) & 0xFFFFFFFF)


@compiled
def read(place: Longs, symbol: int, alphabet: Alphabet) -> None:
    """Move a place on behind a symbol, -1 being an unknown one."""
    for back in range(HISTORY - 1, 0, -1):
        place[back] = place[back - 1]
    place[0] = symbol
    if symbol >= 0 and alphabet.letters[symbol]:
        place[_WORD] = _mixed(place[_WORD], symbol + 1)
        place[_LENGTH] += 1
    elif place[_LENGTH]:
        for word in range(3, 0, -1):
            place[_WORD + word] = place[_WORD + word - 1]
        place[_WORD] = place[_LENGTH] = 0
    if symbol >= 0 and alphabet.line_ends[symbol]:
        place[_COLUMN] = 0
    else:
        place[_COLUMN] = min(place[_COLUMN] + 1, _LAST_COLUMN)


@compiled
def _plain(place: Longs, back: int, alphabet: Alphabet) -> int:
    symbol = place[back]
    return alphabet.plain[symbol] + 2 if symbol >= 0 else 1


@compiled
def _find_keys(place: Longs, alphabet: Alphabet, keys: Longs) -> None:
    """Compute the keys of all contexts of a place: 31 bits, so that few share one."""
    last, length, column = _plain(place, 0, alphabet), place[_LENGTH], place[_COLUMN]
    key = _mixed(0, 1)
    keys[0] = key
    for order in range(1, ORDERS):
        key = _mixed(key, _plain(place, order - 1, alphabet))
        keys[order] = key
    # The word so far, or what stands before it; alone, and with words before.
    word = _mixed(place[_WORD] if length else place[0] + 2, ORDERS)
    keys[7] = word
    keys[8] = _mixed(word, place[_WORD + 1])
    keys[9] = _mixed(keys[8], place[_WORD + 2])
    keys[10] = _mixed(word, place[_WORD + 2])
    keys[11] = _mixed(place[_WORD + 1], last)
    # The last character, the third and the fourth.
    key = _mixed(last, _plain(place, 2, alphabet))
    keys[12] = _mixed(key, _plain(place, 3, alphabet))
    keys[13] = _mixed(column, place[0] + 2)
    keys[14] = _mixed(_mixed(min(length, 15), last), int(column > 50))
    # Characters as they are, and the length of the word.
    key = _mixed(_mixed(place[0] + 2, place[1] + 2), place[2] + 2)
    keys[15] = _mixed(key, min(length, 15))
    for kind in range(CONTEXTS):
        keys[kind] = (_mixed(keys[kind], kind) >> 33) & 0x7FFFFFFF


# Counts


@compiled
def _first_entry(counts: Counts, key: int) -> int:
    """Return the first entry of a context, -1 for one that was never seen."""
    slots = counts.slots
    slot = key & (len(slots) - 1)
    while slots[slot, 1] >= 0 and slots[slot, 0] != key:
        slot = (slot + 1) & (len(slots) - 1)
    return slots[slot, 1]


@compiled
def _count(counts: Counts, key: int, symbol: int) -> None:
    """Count a symbol after a context, and move it to the front of its list."""
    slots, entries, sizes = counts
    slot = key & (len(slots) - 1)
    while slots[slot, 1] >= 0 and slots[slot, 0] != key:
        slot = (slot + 1) & (len(slots) - 1)
    first = slots[slot, 1]
    before, entry = -1, first
    while entry >= 0 and entries[entry, 0] != symbol:
        before, entry = entry, entries[entry, 2]
    if entry < 0:
        entry = sizes[1]
        sizes[1] += 1
        sizes[0] += first < 0
        slots[slot, 0] = key
        entries[entry, 0], entries[entry, 1] = symbol, 0
    elif before >= 0:
        entries[before, 2] = entries[entry, 2]
    entries[entry, 1] += 1
    if entry != first:
        entries[entry, 2], slots[slot, 1] = first, entry


@compiled
def _change(counts: Counts, key: int, symbol: int, by: int) -> None:
    """Change the count of a symbol after a context, and not its place in the list."""
    entry = _first_entry(counts, key)
    while entry >= 0 and counts.entries[entry, 0] != symbol:
        entry = counts.entries[entry, 2]
    if entry >= 0:
        counts.entries[entry, 1] += by


# A prediction


@compiled
def _match(past: Past, place: Longs, first: int, end: int) -> tuple[int, int]:
    """Return the position behind the last match, and its length; 0 where there is none.

    Positions from `first` up to `end` are left out.
    """
    position = past.last[_match_key(past, place)]
    while first <= position < end:
        position = past.before[position]
    length = 0
    while length < HISTORY - 1 and length < position:
        if past.ids[position - 1 - length] != place[length]:
            break
        length += 1
    return (position, length) if length >= MATCHED else (0, 0)


@compiled
def _match_key(past: Past, place: Longs) -> int:
    key = 0
    for back in range(MATCHED):
        key = _mixed(key, place[back] + 2)
    return key & (len(past.last) - 1)


@compiled
def _gather(model: Model, place: Longs, scratch: _Scratch, decisions: int, matched: int) -> None:
    """Sum up what followed each context, by decision, and choose the mixers."""
    tree, longest = model.tree, 0
    for kind in range(CONTEXTS):
        counts, latest = scratch.counts[kind], scratch.latest[kind]
        for at in range(decisions):
            counts[at, 0] = counts[at, 1] = 0
        entry, symbols = _first_entry(model.counts, scratch.keys[kind]), 0
        while entry >= 0:
            symbol, count = model.counts.entries[entry, 0], model.counts.entries[entry, 1]
            entry = model.counts.entries[entry, 2]
            if not count:  # taken out
                continue
            symbols += 1
            for step in range(tree.depths[symbol]):
                at = scratch.wanted[tree.nodes[symbol, step]]
                if at < 0:
                    break
                side = tree.sides[symbol, step]
                if counts[at, 0] + counts[at, 1] == 0:
                    latest[at] = side
                counts[at, side] += count
        scratch.several[kind] = symbols > 1
        if symbols and kind < ORDERS:
            longest = kind
    length_class = (matched > 0) + (matched > 9) + (matched > 17)
    rows, first_rows = scratch.rows, model.first_rows
    rows[1] = first_rows[1] + longest * 4 + length_class
    rows[2] = first_rows[2] + place[0] + 1
    rows[3] = first_rows[3] + min(place[_COLUMN] >> 3, 15) * 8 + min(place[_LENGTH], 7)
    rows[4] = first_rows[4] + place[1] + 1


@compiled
def _class(count: int) -> int:
    if count < 5:
        return count
    found = 5
    while found < CLASSES - 1 and count > _CLASS_ENDS[found - 4]:
        found += 1
    return found


@compiled
def _set_inputs(model: Model, scratch: _Scratch, at: int, likely: int, matched: int) -> None:
    """Set the inputs of a decision; `likely` is the side of the match, -1 where there is none."""
    inputs, weights = scratch.inputs, model.weights
    for kind in range(CONTEXTS):
        zeros, ones = scratch.counts[kind, at, 0], scratch.counts[kind, at, 1]
        if zeros + ones == 0:
            inputs[3 * kind] = inputs[3 * kind + 1] = inputs[3 * kind + 2] = _F(0.0)
            scratch.classes[kind] = -1
            continue
        found = _class(zeros) * CLASSES + _class(ones)
        found = (found * 2 + scratch.latest[kind, at]) * 2 + scratch.several[kind]
        scratch.classes[kind] = found
        odds = model.log_counts[min(ones, LOGARITHMS - 1)]
        odds -= model.log_counts[min(zeros, LOGARITHMS - 1)]
        total = _F(zeros + ones)
        inputs[3 * kind] = weights.logits[kind, found]
        inputs[3 * kind + 1] = _F(4.0) * (weights.probabilities[kind, found] - _F(0.5))
        inputs[3 * kind + 2] = odds * total / (total + _F(1.5))
    inputs[_BIAS] = _F(0.4)
    inputs[_MATCH] = _F(0.0)
    if likely >= 0:
        logit = _logit(weights.match_probabilities[matched])
        inputs[_MATCH] = logit if likely else -logit


@compiled
def _logit(probability: np.float32) -> np.float32:
    bounded = min(max(probability, _F(1 / 4096)), _F(1 - 1 / 4096))
    return _F(math.log(bounded / (_F(1.0) - bounded)))


@compiled
def _sigmoid(logit: np.float32) -> np.float32:
    return _F(1.0) / (_F(1.0) + _F(math.exp(-logit)))


@compiled
def _bounded(logit: np.float32) -> np.float32:
    return min(max(logit, -_LARGEST_LOGIT), _LARGEST_LOGIT)


@compiled
def _mix(model: Model, scratch: _Scratch, node: int) -> np.float32:
    """Return the logit that the mixers make of the inputs."""
    mixers, joints, rows = model.weights.mixers, model.weights.joints, scratch.rows
    a, b, c = mixers[rows[0]], mixers[rows[1]], mixers[rows[2]]
    d, e = mixers[rows[3]], mixers[rows[4]]
    # Five sums side by side, since each waits for its last addition.
    sums = (_F(0.0), _F(0.0), _F(0.0), _F(0.0), _F(0.0))
    for i in range(INPUTS):
        x = scratch.inputs[i]
        sums = (
            sums[0] + a[i] * x,
            sums[1] + b[i] * x,
            sums[2] + c[i] * x,
            sums[3] + d[i] * x,
            sums[4] + e[i] * x,
        )
    total = _F(0.0)
    for of_set in range(SETS):
        scratch.logits[of_set] = _bounded(sums[of_set])
        total += joints[node, of_set] * scratch.logits[of_set]
    return _bounded(total)


@compiled
def _learn(
    model: Model, scratch: _Scratch, node: int, side: int, probability: np.float32,
    rates: Rates, rate: np.float32,
) -> None:  # fmt: skip
    """Correct mixers and probabilities by the side that came: a step down the code length."""
    weights, truth = model.weights, _F(side)
    error = (truth - probability) * rate * _F(rates.joints)
    for of_set in range(SETS):
        logit = scratch.logits[of_set]
        weights.joints[node, of_set] += error * logit
        own = (truth - _sigmoid(logit)) * rate
        mixer = weights.mixers[scratch.rows[of_set]]
        for i in range(INPUTS):
            mixer[i] += own * scratch.inputs[i]
    for kind in range(CONTEXTS):
        found = scratch.classes[kind]
        if found >= 0:
            weights.seen[kind, found] += 1
            share = max(_F(1.0) / (_F(weights.seen[kind, found]) + _F(1.5)), _F(rates.least))
            probabilities = weights.probabilities[kind]
            probabilities[found] += (truth - probabilities[found]) * share
            weights.logits[kind, found] = _logit(probabilities[found])


@compiled
def _decide(
    model: Model, place: Longs, scratch: _Scratch, at: int, node: int, expected: int, matched: int,
    side: int, rates: Rates, rate: np.float32,
) -> None:  # fmt: skip
    """Set the chance of side 1 of a decision, and learn from its `side` if that is not -1."""
    weights, likely = model.weights, -1
    if matched:
        for step in range(model.tree.depths[expected]):
            if model.tree.nodes[expected, step] == node:
                likely = model.tree.sides[expected, step]
    _set_inputs(model, scratch, at, likely, matched)
    scratch.rows[0] = node
    logit = _mix(model, scratch, node)
    probability = _sigmoid(logit)
    # The maps, between two of their points.
    point = min(max((logit + _F(8.0)) * _F(2.0), _F(0.0)), _F(POINTS - 1.001))
    low = int(point)
    above = point - _F(low)
    pair = node * (len(model.tree.depths) + 1) + place[0] + 1
    by_character = weights.map_by_character[pair % len(weights.map_by_character)]
    by_pair = weights.map_by_pair[_mixed(scratch.keys[2], node) & (MAP_ROWS - 1)]
    mapped = (by_character[low] + by_pair[low]) * (_F(1.0) - above)
    mapped += (by_character[low + 1] + by_pair[low + 1]) * above
    chance = _F(0.5) * probability + _F(0.25) * mapped
    scratch.chances[at] = min(max(chance, _LEAST), _F(1.0) - _LEAST)
    if side < 0:
        return
    _learn(model, scratch, node, side, probability, rates, rate)
    nearest = low + int(above > _F(0.5))
    by_character[nearest] += (_F(side) - by_character[nearest]) * _F(rates.maps)
    by_pair[nearest] += (_F(side) - by_pair[nearest]) * _F(rates.maps)
    if likely >= 0:
        right = _F(1.0) if likely == side else _F(0.0)
        weights.match_probabilities[matched] += (right - weights.match_probabilities[matched]) * _F(
            0.002
        )


@compiled
def _scratch(nodes: int) -> _Scratch:
    return _Scratch(
        np.zeros(CONTEXTS, np.int64),
        np.zeros((CONTEXTS, nodes, 2), np.int32),
        np.zeros((CONTEXTS, nodes), np.int32),
        np.zeros(CONTEXTS, np.int32),
        np.full(nodes, -1, np.int32),
        np.zeros(CONTEXTS, np.int64),
        np.zeros(INPUTS, np.float32),
        np.zeros(SETS, np.int64),
        np.zeros(SETS, np.float32),
        np.zeros(nodes, np.float32),
    )


# Loops over a text


def _count_all(model: Model, place: Longs, ids: Ints, by: int) -> None:
    """Count a text that goes on from a place; with `by` -1 take it out, with 1 put it back."""
    keys = np.zeros(CONTEXTS, np.int64)
    for symbol in ids:
        if symbol >= 0 and model.tree.depths[symbol]:
            _find_keys(place, model.alphabet, keys)
            for kind in range(CONTEXTS):
                if by:
                    _change(model.counts, keys[kind], symbol, by)
                else:
                    _count(model.counts, keys[kind], symbol)
        read(place, symbol, model.alphabet)


def _rehash(old: Ints, new: Ints) -> None:
    """Move the contexts of one table into a larger one, which is empty."""
    for key, first in old:
        if first >= 0:
            slot = key & (len(new) - 1)
            while new[slot, 1] >= 0:
                slot = (slot + 1) & (len(new) - 1)
            new[slot, 0], new[slot, 1] = key, first


def _index(past: Past, place: Longs, alphabet: Alphabet) -> None:
    """Note where each match of the text ends."""
    for position, symbol in enumerate(past.ids):
        key = _match_key(past, place)
        if len(past.before):
            past.before[position] = past.last[key]
        past.last[key] = position
        read(place, symbol, alphabet)


def _read_all(place: Longs, ids: Ints, alphabet: Alphabet) -> None:
    """Move a place on behind some symbols."""
    for symbol in ids:
        read(place, symbol, alphabet)


def _predict(
    model: Model, place: Longs, ids: Ints, first: int, end: int, learns: bool, adapts: bool,
    rates: Rates, logs: npt.NDArray[np.float64],
) -> None:  # fmt: skip
    """Compute the log-probability of each symbol of a text that goes on from a place.

    What is unknown or never predicted has none, and stays as it is. No match is sought in the past
    from `first` up to `end`. A model that `learns` changes its weights. One that `adapts` counts
    too, and writes the text into its past from `end` on.
    """
    tree, past = model.tree, model.past
    scratch = _scratch(len(model.weights.joints))
    for at in range(len(ids)):
        symbol = ids[at]
        if symbol >= 0 and tree.depths[symbol]:
            position, matched = _match(past, place, first, end)
            expected = past.ids[position] if matched else 0
            if expected < 0:
                matched = expected = 0
            _find_keys(place, model.alphabet, scratch.keys)
            decisions = tree.depths[symbol]
            for step in range(decisions):
                scratch.wanted[tree.nodes[symbol, step]] = step
            _gather(model, place, scratch, decisions, matched)
            total = 0.0
            for step in range(decisions):
                node, side = tree.nodes[symbol, step], tree.sides[symbol, step]
                scratch.wanted[node] = -1
                learnt, rate = side if learns else -1, rates.mixers[at] if learns else _F(0.0)
                _decide(model, place, scratch, step, node, expected, matched, learnt, rates, rate)
                chance = np.float64(scratch.chances[step])
                total += math.log(chance if side else 1.0 - chance)
            logs[at] = total
            if adapts:
                for kind in range(CONTEXTS):
                    _count(model.counts, scratch.keys[kind], symbol)
        if adapts:
            past.ids[end + at] = symbol
            past.last[_match_key(past, place)] = end + at
        read(place, symbol, model.alphabet)


@compiled
def _distribute(
    model: Model, place: Longs, scratch: _Scratch, chances: npt.NDArray[np.float64]
) -> None:
    """Compute the probability of every symbol behind a place: (symbols,), which add up to 1."""
    tree, nodes, past = model.tree, len(model.weights.joints), model.past
    position, matched = _match(past, place, 0, 0)
    expected = past.ids[position] if matched else 0
    if expected < 0:
        matched = expected = 0
    _find_keys(place, model.alphabet, scratch.keys)
    for node in range(nodes):
        scratch.wanted[node] = node
    _gather(model, place, scratch, nodes, matched)
    rates = Rates(scratch.inputs, 0.0, 0.0, 0.0)
    for node in range(nodes):
        _decide(model, place, scratch, node, node, expected, matched, -1, rates, _F(0.0))
    for symbol in range(len(chances)):
        chance = 1.0 if tree.depths[symbol] else 0.0
        for step in range(tree.depths[symbol]):
            of_one = np.float64(scratch.chances[tree.nodes[symbol, step]])
            chance *= of_one if tree.sides[symbol, step] else 1.0 - of_one
        chances[symbol] = chance


@compiled
def _drawn(
    chances: npt.NDArray[np.float64], number: float, temperature: float, top_k: int, top_p: float
) -> int:
    """Return a symbol: at the temperature, of the `top_k` best, of the fewest with `top_p`."""
    best = int(np.argmax(chances))
    if temperature == 0.0:
        return best
    weights = chances / chances[best]
    if temperature != 1.0:
        weights = weights ** (1.0 / temperature)
    if top_k or top_p < 1.0:
        order = np.argsort(-weights, kind="mergesort")
        kept = min(top_k, len(order)) if top_k else len(order)
        total, covered = weights[order[:kept]].sum(), 0.0
        for rank in range(len(order)):
            if rank >= kept or (rank and covered >= top_p * total):
                weights[order[rank]] = 0.0
            covered += weights[order[rank]]
    left, last = number * weights.sum(), best
    for symbol in range(len(weights)):
        if weights[symbol] > 0.0:
            left -= weights[symbol]
            last = symbol
            if left < 0.0:
                break
    return last


def _write(
    model: Model, place: Longs, numbers: npt.NDArray[np.float64], temperature: float, top_k: int,
    top_p: float, end: int, symbols: Longs, logs: npt.NDArray[np.float64],
) -> None:  # fmt: skip
    """Draw a symbol for each number below 1, and read it; after `end` its next one is begun."""
    scratch = _scratch(len(model.weights.joints))
    chances = np.zeros(len(model.tree.depths))
    for at in range(len(numbers)):
        _distribute(model, place, scratch, chances)
        symbol = _drawn(chances, numbers[at], temperature, top_k, top_p)
        symbols[at], logs[at] = symbol, math.log(chances[symbol])
        read(place, symbol, model.alphabet)
        if symbol == end:
            read(place, end - 1, model.alphabet)


count_all = compiled(_count_all, called_from_python=True)
rehash = compiled(_rehash, called_from_python=True)
index = compiled(_index, called_from_python=True)
read_all = compiled(_read_all, called_from_python=True)
predict = compiled(_predict, called_from_python=True)
write = compiled(_write, called_from_python=True)

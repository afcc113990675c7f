"""The model that mixes contexts: what it reads of a text, counts, mixes and learns; compiled.

It predicts a character in binary decisions, from the root of a Huffman tree down. For each of them
16 contexts, such as the last 5 characters, or the word so far and the one before, say how often
either side followed them. Mixers, which are logistic regressions chosen by the place in the text,
make one probability of all that, and maps correct it by what became of such probabilities. This is
the way of PAQ (Mahoney 2005, "Adaptive weighing of context models for lossless data compression"),
over characters and not bytes, and with weights that can be learnt on text whose own counts are
taken out, so that nothing need change while it serves.

In this order: the tree; the place in a text, and its contexts; counts; a decision; learning; the
model beside a network; drawing; loops over a text, which are all that is called from Python.
`model` has the model as other modules see it. Arrays that change while the model learns are written
in place.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from seqd_modelkit.lstm_cell import compiled

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_Function = TypeVar("_Function", bound=Callable[..., object])
_F = np.float32

#: Kinds of contexts, the first of which are the last 0, 1, ... characters.
CONTEXTS: Final = 16
ORDERS: Final = 7

#: Numbers that a mixer reads: three of each context, a bias, one of the match.
INPUTS: Final = 3 * CONTEXTS + 2
_BIAS: Final = INPUTS - 2
_MATCH: Final = INPUTS - 1

#: Mixers that answer each decision, and rows of those that are not chosen by a symbol or a node.
SETS: Final = 6
_BY_LENGTHS: Final = ORDERS * 4
_BY_COLUMN: Final = 16 * 8
_BY_PAIR: Final = 1024

#: A place in a text: the last ids, the latest first, and what comes after them in the array.
HISTORY: Final = 32
_WORD: Final = HISTORY  # a hash of the letters of the word so far, and of the three words before
_LENGTH: Final = HISTORY + 4  # letters of the word so far
_COLUMN: Final = HISTORY + 5  # characters since the last line break
PLACE: Final = HISTORY + 6
_LAST_COLUMN: Final = 255

#: Characters of the past that a match has at least.
_MATCHED: Final = 6

#: The class of a count, and log(n + 0.4): arrays by counts, of which larger ones are as the last.
CLASSES: Final = 16
_CLASS_ENDS: Final = (0, 1, 2, 3, 4, 6, 9, 13, 19, 31, 63, 127, 255, 1023, 8191)
_LAST_COUNT: Final = _CLASS_ENDS[-1] + 1
_CLASS_OF: Final = np.searchsorted(_CLASS_ENDS, np.arange(_LAST_COUNT + 1)).astype(np.int32)
_LOG_OF: Final = np.log(np.arange(_LAST_COUNT + 1) + 0.4).astype(np.float32)

#: Points of a probability map, at logits from -8 to 8, and rows of one.
POINTS: Final = 33
MAP_ROWS: Final = 1 << 14

#: A decision has this probability at least.
_LEAST: Final = _F(1e-6)
_LARGEST_LOGIT: Final = _F(10.0)

#: Learning of the joints in relation to the mixers; of a probability that was seen often, of a map,
#: and of the probability of a match.
_JOINTS: Final = _F(3.0)
_LEAST_SHARE: Final = _F(0.0003)
_MAPS: Final = _F(0.01)
_MATCHES: Final = _F(0.002)

#: What the logits of this model and of a network beside it are multiplied by before they are added:
#: chosen on another part of the text than what the figures in READMEs are of.
MIXING_SHARE: Final = 0.55
NETWORK_SHARE: Final = 0.45
_LEAST_MASS: Final = 1e-300

_MULTIPLIER: Final = 0x2545F4914F6CDD1D


class Tree(NamedTuple):
    """A Huffman tree of symbols; the root is node 0, and each node comes before those below it."""

    nodes: Ints  # (symbols, longest path), from the root
    sides: Ints  # (symbols, longest path), 0 or 1
    depths: Ints  # (symbols,), steps of each path
    below: Ints  # (nodes, 2), the node on either side, or -1 - symbol


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
    last: Ints  # (a power of 2,): the last position behind each hash of a match's end, or -1


class Weights(NamedTuple):
    """All that is learnt but the counts."""

    probabilities: Floats  # (CONTEXTS, CLASSES * CLASSES * 4), of side 1
    logits: Floats  # the same as logits
    seen: Ints  # the same, decisions that each has learnt from
    match_probabilities: Floats  # (HISTORY,), by length: that the match is right
    mixers: Floats  # (rows of all sets, INPUTS)
    joints: Floats  # (nodes, SETS), which mix what the mixers say
    map_by_character: Floats  # (nodes * (symbols + 1), at most MAP_ROWS, POINTS)
    map_by_pair: Floats  # (MAP_ROWS, POINTS)


class Model(NamedTuple):
    """A whole model."""

    tree: Tree
    alphabet: Alphabet
    counts: Counts
    past: Past
    weights: Weights


class Scratch(NamedTuple):
    """Room for one prediction."""

    keys: Longs  # (CONTEXTS,)
    wanted: Ints  # (nodes,), where a node's decision is in the next three, or -1
    counts: Ints  # (nodes, CONTEXTS, 2)
    latest: Ints  # (nodes, CONTEXTS), the side of the latest symbol
    likely: Ints  # (nodes,), the side of the symbol behind the match, or -1
    several: Ints  # (CONTEXTS,), 1 where more than one symbol was seen
    classes: Longs  # (CONTEXTS,), of the current decision, or -1
    inputs: Floats  # (INPUTS,)
    rows: Longs  # (SETS,), the mixers
    logits: Floats  # (SETS,)
    sums: Floats  # (CONTEXTS,)
    of_ones: Floats  # (nodes,), the probability of side 1 of each decision
    probability: Floats  # (1,), the last of these, by the mixers alone
    cells: Longs  # (3,), and where it stands in the maps: a row of either, and the nearest point


def rows_of_mixers(symbols: int) -> int:
    """Return the rows of all sets of mixers."""
    by_node = ORDERS * (symbols - 1)
    return _BY_LENGTHS + _BY_COLUMN + _BY_PAIR + 2 * (symbols + 1) + by_node


def huffman_tree(counts: Sequence[int]) -> Tree:
    """Return the tree of two symbols or more by their counts (Huffman 1952)."""
    queue = [(count, symbol) for symbol, count in enumerate(counts)]
    heapq.heapify(queue)
    parents: dict[int, tuple[int, int]] = {}
    root = 2 * len(counts) - 2
    below = np.zeros((len(counts) - 1, 2), np.int32)
    for joined in range(len(counts), root + 1):
        (less, one), (more, other) = heapq.heappop(queue), heapq.heappop(queue)
        for side, child in enumerate((one, other)):
            parents[child] = (joined, side)
            below[root - joined, side] = root - child if child >= len(counts) else -1 - child
        heapq.heappush(queue, (less + more, joined))
    paths = []
    for symbol in range(len(counts)):
        path, node = [], symbol
        while node != root:
            node, side = parents[node]
            path.append((root - node, side))
        paths.append(path[::-1])
    depths = np.array([len(path) for path in paths], np.int32)
    steps = np.zeros((2, len(paths), depths.max()), np.int32)
    for symbol, path in enumerate(paths):
        steps[:, symbol, : len(path)] = np.array(path).T
    return Tree(steps[0], steps[1], depths, below)


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
def _slot(slots: Ints, key: int) -> int:
    """Return the slot of a context, which is empty where it was never seen."""
    slot = key & (len(slots) - 1)
    while slots[slot, 1] >= 0 and slots[slot, 0] != key:
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@compiled
def _count(counts: Counts, key: int, symbol: int) -> None:
    """Count a symbol after a context, and move it to the front of its list."""
    slots, entries, sizes = counts
    slot = _slot(slots, key)
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
    entry = counts.slots[_slot(counts.slots, key), 1]
    while entry >= 0 and counts.entries[entry, 0] != symbol:
        entry = counts.entries[entry, 2]
    if entry >= 0:
        counts.entries[entry, 1] += by


# A decision


@compiled
def _match_key(past: Past, place: Longs) -> int:
    key = 0
    for back in range(_MATCHED):
        key = _mixed(key, place[back] + 2)
    return key & (len(past.last) - 1)


@compiled
def _match(past: Past, place: Longs) -> tuple[int, int]:
    """Return the symbol behind the last match, and the match's length; 0 where there is none."""
    position, length = past.last[_match_key(past, place)], 0
    while length < HISTORY - 1 and length < position:
        if past.ids[position - 1 - length] != place[length]:
            break
        length += 1
    if length < _MATCHED or past.ids[position] < 0:
        return 0, 0
    return past.ids[position], length


@compiled
def _prepare(model: Model, place: Longs, scratch: Scratch, decisions: int) -> int:
    """Sum up what followed each context, by wanted decision, and choose the mixers.

    Return the length of the match.
    """
    tree, longest = model.tree, 0
    expected, matched = _match(model.past, place)
    scratch.likely[:] = -1
    if matched:
        for step in range(tree.depths[expected]):
            scratch.likely[tree.nodes[expected, step]] = tree.sides[expected, step]
    _find_keys(place, model.alphabet, scratch.keys)
    slots, entries = model.counts.slots, model.counts.entries
    counts, latest = scratch.counts, scratch.latest
    counts[:decisions] = 0
    for kind in range(CONTEXTS):
        entry, symbols = slots[_slot(slots, scratch.keys[kind]), 1], 0
        while entry >= 0:
            symbol, count = entries[entry, 0], entries[entry, 1]
            entry = entries[entry, 2]
            if not count:  # taken out
                continue
            symbols += 1
            for step in range(tree.depths[symbol]):
                at = scratch.wanted[tree.nodes[symbol, step]]
                if at < 0:
                    break
                side = tree.sides[symbol, step]
                if counts[at, kind, 0] + counts[at, kind, 1] == 0:
                    latest[at, kind] = side
                counts[at, kind, side] += count
        scratch.several[kind] = symbols > 1
        if symbols and kind < ORDERS:
            longest = kind
    # Mixers by what is known; by the place in line and word; by the last two characters, each of
    # the two, and (see `_decide`) the node and the longest order.
    rows = scratch.rows
    rows[0] = longest * 4 + (matched > 0) + (matched > 9) + (matched > 17)
    first = _BY_LENGTHS
    rows[1] = first + min(place[_COLUMN] >> 3, 15) * 8 + min(place[_LENGTH], 7)
    first += _BY_COLUMN
    rows[2] = first + (scratch.keys[2] & (_BY_PAIR - 1))
    first += _BY_PAIR
    rows[3] = first + place[0] + 1
    rows[4] = first + len(tree.depths) + 1 + place[1] + 1
    return matched


@partial(compiled, inlined=True)
def _set_inputs(model: Model, scratch: Scratch, at: int, node: int, matched: int) -> None:
    """Set the inputs of a decision; of a context that was not seen they are 0."""
    inputs, weights = scratch.inputs, model.weights
    for kind in range(CONTEXTS):
        zeros, ones = scratch.counts[at, kind, 0], scratch.counts[at, kind, 1]
        if zeros + ones == 0:
            inputs[3 * kind] = inputs[3 * kind + 1] = inputs[3 * kind + 2] = _F(0.0)
            scratch.classes[kind] = -1
            continue
        total = _F(zeros + ones)
        zeros, ones = min(zeros, _LAST_COUNT), min(ones, _LAST_COUNT)
        odds = _LOG_OF[ones] - _LOG_OF[zeros]
        found = _CLASS_OF[zeros] * CLASSES + _CLASS_OF[ones]
        found = (found * 2 + scratch.latest[at, kind]) * 2 + scratch.several[kind]
        scratch.classes[kind] = found
        inputs[3 * kind] = weights.logits[kind, found]
        inputs[3 * kind + 1] = _F(4.0) * (weights.probabilities[kind, found] - _F(0.5))
        inputs[3 * kind + 2] = odds * total / (total + _F(1.5))
    inputs[_BIAS] = _F(0.4)
    inputs[_MATCH] = _F(0.0)
    if scratch.likely[node] >= 0:
        logit = _logit(weights.match_probabilities[matched])
        inputs[_MATCH] = logit if scratch.likely[node] else -logit


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


@partial(compiled, inlined=True)
def _mix(model: Model, scratch: Scratch, node: int) -> np.float32:
    """Return the logit that the mixers make of the inputs."""
    mixers, joints = model.weights.mixers, model.weights.joints
    inputs, rows, sums = scratch.inputs, scratch.rows, scratch.sums
    total = _F(0.0)
    for of_set in range(SETS):
        mixer = mixers[rows[of_set]]
        # Three vectors of as many numbers as there are contexts, halved until one is left.
        for i in range(CONTEXTS):
            first = mixer[i] * inputs[i] + mixer[i + CONTEXTS] * inputs[i + CONTEXTS]
            sums[i] = first + mixer[i + 2 * CONTEXTS] * inputs[i + 2 * CONTEXTS]
        for i in range(8):
            sums[i] += sums[i + 8]
        for i in range(4):
            sums[i] += sums[i + 4]
        logit = (sums[0] + sums[2]) + (sums[1] + sums[3])
        logit += mixer[_BIAS] * inputs[_BIAS] + mixer[_MATCH] * inputs[_MATCH]
        scratch.logits[of_set] = _bounded(logit)
        total += joints[node, of_set] * scratch.logits[of_set]
    return _bounded(total)


@compiled
def _decide(
    model: Model, place: Longs, scratch: Scratch, nodes: Ints, first: int, end: int, matched: int
) -> None:
    """Compute the probability of side 1 of some decisions, at `nodes[first:end]`.

    A loop, since a call takes as long as a decision. `scratch` then has what `_learn` needs.
    """
    weights, of_ones, cells = model.weights, scratch.of_ones, scratch.cells
    by_character, by_pair = weights.map_by_character, weights.map_by_pair
    rows, last_row, pair = scratch.rows, len(weights.mixers) - 1, scratch.keys[2]
    symbols, by_longest = len(model.tree.depths), scratch.rows[0] // 4
    for at in range(first, end):
        node = nodes[at]
        _set_inputs(model, scratch, at, node, matched)
        rows[5] = last_row - node * ORDERS - by_longest
        logit = _mix(model, scratch, node)
        probability = _sigmoid(logit)
        # The maps, between two of their points.
        point = min(max((logit + _F(8.0)) * _F(2.0), _F(0.0)), _F(POINTS - 1.001))
        low = int(point)
        above = point - _F(low)
        one = (node * (symbols + 1) + place[0] + 1) % len(by_character)
        other = _mixed(pair, node) & (MAP_ROWS - 1)
        mapped = (by_character[one, low] + by_pair[other, low]) * (_F(1.0) - above)
        mapped += (by_character[one, low + 1] + by_pair[other, low + 1]) * above
        chance = _F(0.5) * probability + _F(0.25) * mapped
        of_ones[at] = min(max(chance, _LEAST), _F(1.0) - _LEAST)
        scratch.probability[0] = probability
        cells[0], cells[1], cells[2] = one, other, low + int(above > _F(0.5))


@compiled
def _learn(
    model: Model, scratch: Scratch, node: int, side: int, matched: int, rate: np.float32
) -> None:
    """Correct mixers, probabilities and maps by the side that came: a step down the code length."""
    weights, truth = model.weights, _F(side)
    error = (truth - scratch.probability[0]) * rate * _JOINTS
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
            share = max(_F(1.0) / (_F(weights.seen[kind, found]) + _F(1.5)), _LEAST_SHARE)
            probabilities = weights.probabilities[kind]
            probabilities[found] += (truth - probabilities[found]) * share
            weights.logits[kind, found] = _logit(probabilities[found])
    one, other, nearest = scratch.cells[0], scratch.cells[1], scratch.cells[2]
    by_character, by_pair = weights.map_by_character, weights.map_by_pair
    by_character[one, nearest] += (truth - by_character[one, nearest]) * _MAPS
    by_pair[other, nearest] += (truth - by_pair[other, nearest]) * _MAPS
    if scratch.likely[node] >= 0:
        right = _F(1.0) if scratch.likely[node] == side else _F(0.0)
        matches = weights.match_probabilities
        matches[matched] += (right - matches[matched]) * _MATCHES


def new_scratch(nodes: int) -> Scratch:
    """Return room for predictions of a tree with so many nodes."""
    return Scratch(
        np.zeros(CONTEXTS, np.int64),
        np.full(nodes, -1, np.int32),
        np.zeros((nodes, CONTEXTS, 2), np.int32),
        np.zeros((nodes, CONTEXTS), np.int32),
        np.full(nodes, -1, np.int32),
        np.zeros(CONTEXTS, np.int32),
        np.zeros(CONTEXTS, np.int64),
        np.zeros(INPUTS, np.float32),
        np.zeros(SETS, np.int64),
        np.zeros(SETS, np.float32),
        np.zeros(CONTEXTS, np.float32),
        np.zeros(nodes, np.float32),
        np.zeros(1, np.float32),
        np.zeros(3, np.int64),
    )


_scratch = compiled(new_scratch)


# Beside a network


class Beside(NamedTuple):
    """A model that predicts together with a network, and room for one prediction."""

    model: Model
    scratch: Scratch
    masses: Doubles  # (nodes, 2), the network's probability of what is on either side
    chances: Doubles  # (nodes,), the probability of a node by both


def beside_network(model: Model) -> Beside:
    """Return a model to predict with beside a network, with room for one thread."""
    nodes = len(model.tree.below)
    scratch = new_scratch(nodes)
    scratch.wanted[:] = np.arange(nodes)
    return Beside(model, scratch, np.zeros((nodes, 2)), np.zeros(nodes))


@partial(compiled, all_finite=False)
def add_mixing(beside: Beside, place: Longs, own: Doubles) -> None:
    """Turn a network's log-probabilities (symbols,) into those of both.

    At each node the logits of both are added, `NETWORK_SHARE` of the network's and `MIXING_SHARE`
    of this model's. A weighted mean of probabilities is worse by 0.01 bits a character.
    """
    model, scratch, masses, chances = beside
    matched = _prepare(model, place, scratch, len(masses))
    below = model.tree.below
    for node in range(len(masses) - 1, -1, -1):
        for side in range(2):
            child = below[node, side]
            mass = masses[child, 0] + masses[child, 1] if child >= 0 else math.exp(own[-1 - child])
            masses[node, side] = max(mass, _LEAST_MASS)
    _decide(model, place, scratch, scratch.wanted, 0, len(masses), matched)
    chances[0] = 1.0
    for node in range(len(masses)):
        of_one = np.float64(scratch.of_ones[node])
        logit = MIXING_SHARE * math.log(of_one / (1.0 - of_one))
        logit += NETWORK_SHARE * math.log(masses[node, 1] / masses[node, 0])
        odds = math.exp(logit)  # at most 1e140
        for side in range(2):
            chance = max(chances[node] * (odds if side else 1.0) / (1.0 + odds), _LEAST_MASS)
            child = below[node, side]
            if child >= 0:
                chances[child] = chance
            else:
                own[-1 - child] = math.log(chance)


# Drawing


@compiled
def _descend(
    model: Model, place: Longs, scratch: Scratch, matched: int, number: float
) -> tuple[int, float]:
    """Return a symbol drawn by a number below 1, and its probability: the decisions on its path."""
    node, chance = 0, 1.0
    while node >= 0:
        _decide(model, place, scratch, scratch.wanted, node, node + 1, matched)
        of_one = np.float64(scratch.of_ones[node])
        side = int(number >= 1.0 - of_one)
        share = of_one if side else 1.0 - of_one
        number = (number - (1.0 - of_one)) / share if side else number / share
        chance *= share
        node = model.tree.below[node, side]
    return -1 - node, chance


@compiled
def _distribute(
    model: Model, place: Longs, scratch: Scratch, matched: int, masses: Doubles, chances: Doubles
) -> None:
    """Compute the probability of every symbol, by that of every node: all decisions."""
    _decide(model, place, scratch, scratch.wanted, 0, len(masses), matched)
    masses[0] = 1.0
    for node in range(len(masses)):
        of_one = np.float64(scratch.of_ones[node])
        for side in range(2):
            mass = masses[node] * (of_one if side else 1.0 - of_one)
            child = model.tree.below[node, side]
            if child >= 0:
                masses[child] = mass
            else:
                chances[-1 - child] = mass


@compiled
def _drawn(chances: Doubles, number: float, temperature: float, top_k: int, top_p: float) -> int:
    """Return a symbol: at the temperature, of the `top_k` best, of the fewest with `top_p`."""
    last = int(np.argmax(chances))
    if temperature == 0.0:
        return last
    weights, total = np.empty(len(chances)), 0.0
    for symbol in range(len(chances)):
        weights[symbol] = (chances[symbol] / chances[last]) ** (1.0 / temperature)
        total += weights[symbol]
    least, of_least = 0.0, 0
    if top_k or top_p < 1.0:
        total, least, of_least = _cut(weights, min(top_k or len(weights), len(weights)), top_p)
    left = number * total
    for symbol in range(len(weights)):
        of_least -= weights[symbol] == least
        if weights[symbol] > least or (weights[symbol] == least and of_least >= 0):
            left -= weights[symbol]
            last = symbol
            if left < 0.0:
                break
    return last


@compiled
def _cut(weights: Doubles, most: int, top_p: float) -> tuple[float, float, int]:
    """Return the sum of those weights that are kept, the least of them, and how many equal it."""
    ordered, total, covered, kept = np.sort(weights)[::-1], 0.0, 0.0, 0
    for rank in range(most):
        total += ordered[rank]
    while kept < most and (kept == 0 or covered < top_p * total):
        covered += ordered[kept]
        kept += 1
    least, of_least = ordered[kept - 1], 0
    for rank in range(kept):
        of_least += ordered[rank] == least
    return covered, least, of_least


# Loops over a text


def _kernel(function: _Function) -> _Function:
    return compiled(function, called_from_python=True)


@_kernel
def read_all(place: Longs, ids: Ints, alphabet: Alphabet) -> None:
    """Move a place on behind some symbols."""
    for symbol in ids:
        read(place, symbol, alphabet)


@_kernel
def count_all(model: Model, place: Longs, ids: Ints, by: int) -> None:
    """Count a text that goes on from a place; with `by` -1 take it out, with 1 put it back."""
    keys = np.zeros(CONTEXTS, np.int64)
    for symbol in ids:
        _find_keys(place, model.alphabet, keys)
        for kind in range(CONTEXTS):
            if by:
                _change(model.counts, keys[kind], symbol, by)
            else:
                _count(model.counts, keys[kind], symbol)
        read(place, symbol, model.alphabet)


@_kernel
def put_into(slots: Ints, keys: Ints, firsts: Ints) -> None:
    """Put contexts with their first entries into a table in which they have none."""
    for at in range(len(keys)):
        if firsts[at] >= 0:
            slot = _slot(slots, keys[at])
            slots[slot, 0], slots[slot, 1] = keys[at], firsts[at]


@_kernel
def list_all(counts: Counts, keys: Ints, sizes: Ints, listed: Ints) -> None:
    """List all contexts, with the number of symbols of each; and these with their counts."""
    context = at = 0
    for key, entry in counts.slots:
        if entry >= 0:
            keys[context], sizes[context] = key, at
            while entry >= 0:
                listed[0, at], listed[1, at] = counts.entries[entry, 0], counts.entries[entry, 1]
                entry = counts.entries[entry, 2]
                at += 1
            sizes[context] = at - sizes[context]
            context += 1


@_kernel
def index(past: Past, place: Longs, alphabet: Alphabet, first: int, end: int) -> None:
    """Note where each match of the text ends, but for what goes on between two positions."""
    past.last[:] = -1
    for position, symbol in enumerate(past.ids):
        if not first <= position < end:
            past.last[_match_key(past, place)] = position
        read(place, symbol, alphabet)


@_kernel
def predict(model: Model, place: Longs, ids: Ints, rate: float, since: int, logs: Doubles) -> None:
    """Compute the log-probability of each symbol of a text that goes on from a place.

    An unknown one has none, and stays as it is. Above a rate of 0 the weights learn. With `since` 0
    or more the model counts as well, and writes the text into its past from there on.
    """
    tree, past = model.tree, model.past
    scratch = _scratch(len(tree.below))
    for at, symbol in enumerate(ids):
        if symbol >= 0:
            decisions = tree.depths[symbol]
            for step in range(decisions):
                scratch.wanted[tree.nodes[symbol, step]] = step
            matched = _prepare(model, place, scratch, decisions)
            total = 0.0
            for step in range(decisions):
                node, side = tree.nodes[symbol, step], tree.sides[symbol, step]
                scratch.wanted[node] = -1
                _decide(model, place, scratch, tree.nodes[symbol], step, step + 1, matched)
                of_one = scratch.of_ones[step]
                if rate > 0.0:
                    _learn(model, scratch, node, side, matched, _F(rate))
                total += math.log(np.float64(of_one) if side else 1.0 - np.float64(of_one))
            logs[at] = total
            if since >= 0:
                for kind in range(CONTEXTS):
                    _count(model.counts, scratch.keys[kind], symbol)
        if since >= 0:
            past.ids[since + at] = symbol
            past.last[_match_key(past, place)] = since + at
        read(place, symbol, model.alphabet)


@_kernel
def write(
    model: Model, place: Longs, numbers: Doubles, temperature: float, top_k: int, top_p: float,
    symbols: Longs, logs: Doubles,
) -> None:  # fmt: skip
    """Draw a symbol for each number below 1, and read it; with its own log-probability."""
    nodes = len(model.tree.below)
    is_whole = temperature == 1.0 and top_p >= 1.0 and not 0 < top_k <= nodes
    scratch = _scratch(nodes)
    scratch.wanted[:] = np.arange(nodes)
    masses, chances = np.zeros(nodes), np.zeros(nodes + 1)
    for at in range(len(numbers)):
        matched = _prepare(model, place, scratch, nodes)
        if is_whole:
            symbol, chance = _descend(model, place, scratch, matched, numbers[at])
        else:
            _distribute(model, place, scratch, matched, masses, chances)
            symbol = _drawn(chances, numbers[at], temperature, top_k, top_p)
            chance = chances[symbol]
        symbols[at], logs[at] = symbol, math.log(chance)
        read(place, symbol, model.alphabet)

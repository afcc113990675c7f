"""Strategies for hostile input, and how many cases of it a run makes; used by `tests/hostile`.

`@hostile` counts what it runs: FEW cases a test in `make test`, HOSTILE_CASES of them in `make
test-all` and `make hostile`, which prints the sum. Pure; nothing here knows what is under test.
"""

import functools
import json
import os
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

#: Cases of each test where nobody asks for more.
FEW = 20
CASES = int(os.environ.get("HOSTILE_CASES", str(FEW)))
#: The same cases in each run, so that no run of the suite fails by chance; `make hostile` draws
#: new ones each time.
ARE_NEW = os.environ.get("HOSTILE_NEW") == "1"


class Count:
    """How many cases this run has made."""

    cases = 0


def hostile(
    *strategies: st.SearchStrategy, share: float = 1.0, **named: st.SearchStrategy
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a property test on as many cases as are asked for, and count them.

    `share` is for a test whose cases are slow.
    """
    suppressed = [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
        HealthCheck.filter_too_much,
    ]
    cases = max(5, int(CASES * share))
    limits = settings(
        max_examples=cases, deadline=None, derandomize=not ARE_NEW, suppress_health_check=suppressed
    )

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def counted(*args: object, **kwargs: object) -> None:
            Count.cases += 1
            test(*args, **kwargs)

        return given(*strategies, **named)(limits(counted))

    return decorate


#: Any text that Python can hold, lone surrogates and NULs included.
texts = st.one_of(
    st.text(max_size=60),
    st.text(st.characters(exclude_categories=()), max_size=20),
    st.sampled_from(
        [
            "",
            " \t\n",
            "\0",
            "\ud800",
            "a\udfffb",
            "‮right to left",
            "👩‍👩‍👧‍👦" * 3,
            "e" + "́" * 500,
            "a\r\nb",
            "x" * 20_000,
            "%s%n{}{0}",
            "../../etc/passwd",
            "__proto__",
        ]
    ),
)

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**53, 2**64, -(2**63), 10**400, 10**4_299, -1, 0]),
    st.floats(),
    texts,
)


def _deep(levels: int) -> object:
    value: object = 0
    for _ in range(levels):
        value = [value]
    return value


#: Anything that JSON can hold, and a little more: NaN, infinity, lone surrogates.
wild = st.one_of(
    st.recursive(
        _scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)
        ),
        max_leaves=8,
    ),
    st.builds(_deep, st.sampled_from([50, 300])),
)

#: The same, and what only Python has.
wild_python = st.one_of(
    wild,
    st.binary(max_size=10),
    st.sets(st.integers(), max_size=2),
    st.just(10**5_000),
    st.just(object()),
    st.builds(lambda value: {1: value}, wild),
)


@st.composite
def mutated(draw: st.DrawFn, sound: st.SearchStrategy[dict[str, object]]) -> dict[str, object]:
    """A sound record with up to three faults anywhere in it; sometimes with none."""
    record = json.loads(json.dumps(draw(sound)))
    for _ in range(draw(st.integers(0, 3))):
        place = _place(draw, record)
        fault = draw(st.sampled_from(["replace", "drop", "add", "swap"]))
        names = list(place)
        if fault == "add" or not names:
            place[draw(texts)] = draw(wild)
        elif fault == "drop":
            del place[draw(st.sampled_from(names))]
        elif fault == "replace":
            place[draw(st.sampled_from(names))] = draw(wild)
        else:
            one, other = draw(st.sampled_from(names)), draw(st.sampled_from(names))
            place[one], place[other] = place[other], place[one]
    return record


def _place(draw: st.DrawFn, record: dict[str, object]) -> dict[str, object]:
    """Choose an object in a record, the record itself or one inside it."""
    place = record
    while draw(st.booleans()):
        inner = [value for value in place.values() if isinstance(value, dict)]
        inner += [
            entry
            for value in place.values()
            if isinstance(value, list)
            for entry in value[:3]
            if isinstance(entry, dict)
        ]
        if not inner:
            break
        place = draw(st.sampled_from(inner))
    return place


@st.composite
def as_json(draw: st.DrawFn, records: st.SearchStrategy[dict[str, object]]) -> bytes:
    """A record as JSON, sometimes cut off, with a byte changed, a key doubled, or nested deep."""
    record = draw(records)
    text = json.dumps(record).encode()
    fault = draw(st.sampled_from(["none", "none", "none", "cut", "byte", "double", "deep", "tail"]))
    if fault == "cut":
        return text[: draw(st.integers(0, len(text)))]
    if fault == "byte":
        at = draw(st.integers(0, len(text) - 1))
        return text[:at] + bytes([draw(st.integers(0, 255))]) + text[at + 1 :]
    if fault == "double" and record:
        name = json.dumps(draw(st.sampled_from(list(record))))
        return text[:-1] + f", {name}: {json.dumps(draw(wild))}}}".encode()
    if fault == "deep":
        return text[:-1] + b', "deep": ' + b"[" * draw(st.sampled_from([100, 100_000])) + b"}"
    return text + draw(st.binary(max_size=5)) if fault == "tail" else text


_names = st.from_regex(r"\A[a-z][a-z0-9_]{0,10}\Z")
_counts = st.integers(0, 2**53)
_parameters = st.dictionaries(
    _names, st.one_of(st.booleans(), st.integers(), st.none(), st.just([1, "a"])), max_size=3
)
_items = st.lists(
    st.builds(lambda name, text: {"custom_id": name, "text": text}, _names, st.text(max_size=30)),
    min_size=1,
    max_size=3,
)
_file_sources = st.builds(
    lambda path, kind: {"type": "file", "path": f"/{path}", "format": kind},
    _names,
    st.sampled_from(["auto", "jsonl", "csv", "lines", "folder"]),
)
_uploads = st.builds(lambda count: {"type": "upload", "expected_items": count}, _counts)
_item_sources = st.one_of(
    _items.map(lambda items: {"type": "inline", "items": items}), _file_sources, _uploads
)
_data_sources = st.one_of(_file_sources, _uploads, st.just({"type": "named", "name": "keras:imdb"}))


def _job(kind: str, sources: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy:
    optional = {
        "parameters": _parameters,
        "priority": st.sampled_from(["interactive", "normal", "bulk"]),
        "tenant": _names,
        "idempotency_key": _names,
        "metadata": st.dictionaries(_names, st.text(max_size=10), max_size=2),
        "results_ttl_s": st.integers(60, 10**6),
        "expires_in_s": st.integers(1, 10**6),
        "max_running_units": st.integers(1, 100),
        "continues": _names,
    }
    if kind == "train":
        optional |= {"labels": st.lists(_names, max_size=2), "preset": _names}
    if kind == "classify":
        optional |= {
            "min_score": st.floats(0, 1),
            "label_map": st.dictionaries(_names, _names, max_size=2),
        }
    models = st.sampled_from(["echo", "imdb_lstm", "markov"])
    required = {"kind": st.just(kind), "model": models, "source": sources}
    return st.fixed_dictionaries(required, optional=optional)


#: Sound jobs of every kind, as the objects that their JSON holds.
sound_jobs = st.one_of(
    _job("classify", _item_sources), _job("generate", _item_sources), _job("train", _data_sources)
)

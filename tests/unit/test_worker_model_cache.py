"""Which loaded models a worker keeps when their memory exceeds its budget."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from seqd.hookspecs import Needs
from seqd.testing import CPU
from seqd.worker.context import ModelCache


class Shelf:
    """Stands for the registry and the store: models of a given size, and the order of loading."""

    def __init__(self, **sizes_bytes: int) -> None:
        self.loads: list[str] = []
        #: Raised by the next loads, last first.
        self.errors: list[Exception] = []
        self._sizes_bytes = sizes_bytes
        #: Memory that the descriptions state, where they do.
        self.needs_bytes: dict[str, int] = {}
        self.held_at_load: list[tuple[str, ...]] = []
        self.cache: ModelCache | None = None

    def open(self, name: str, version: int) -> str:
        return f"{name}@{version}"

    def plugin_of(self, name: str) -> str:
        return name

    def model(self, name: str) -> Any:
        def load(ref: str, device: object) -> Any:
            self.loads.append(ref)
            self.held_at_load.append(self.cache.names() if self.cache else ())
            if self.errors:
                raise self.errors.pop()
            return SimpleNamespace(
                ref=ref, memory_bytes=self._sizes_bytes[name], warm_up=lambda: None
            )

        needs = Needs(memory_bytes=self.needs_bytes.get(name, 0))
        return SimpleNamespace(load=load, needs=needs)


def a_cache(shelf: Shelf, budget_bytes: int) -> ModelCache:
    shelf.cache = ModelCache(shelf, shelf, CPU, budget_bytes)
    return shelf.cache


#: What is loaded in turn with a budget of 100, as name, version and size, and what is kept then.
COURSES = [
    ("a1", "a1"),
    ("a1 a2", "a1 a2"),
    ("a1 b1 a1 c1", "a1 c1"),  # the least recently used goes
    ("b1 d1 c1", "d1 c1"),  # no more go than must
    ("d1 e1", "e1"),  # larger than the budget: alone
]


@pytest.mark.parametrize(("course", "kept"), COURSES)
def test_a_model_is_loaded_once_and_the_least_recently_used_go_when_the_budget_is_exceeded(
    course, kept
):
    shelf = Shelf(a=40, b=40, c=40, d=30, e=1_000)
    cache = a_cache(shelf, 100)

    loaded = [cache.get(one[0], int(one[1])) for one in course.split()]

    assert cache.names() == tuple(f"{one[0]}@{one[1]}" for one in kept.split())
    assert len({id(one) for one in loaded}) == len(set(course.split())) == len(shelf.loads)


def test_room_is_made_before_a_model_is_loaded_whose_description_says_what_it_needs():
    shelf = Shelf(a=60, b=60)
    shelf.needs_bytes = {"b": 60}
    cache = a_cache(shelf, 100)
    cache.get("a", 1)

    cache.get("b", 1)

    assert shelf.held_at_load == [(), ()]
    assert cache.names() == ("b@1",)


def test_where_memory_is_short_all_others_go_and_it_is_loaded_once_more():
    shelf = Shelf(a=10, b=10)
    cache = a_cache(shelf, 100)
    cache.get("a", 1)
    shelf.errors = [MemoryError()]

    cache.get("b", 1)

    assert cache.names() == ("b@1",)
    assert shelf.loads == ["a@1", "b@1", "b@1"]
    shelf.errors = [MemoryError("none")]
    with pytest.raises(MemoryError):  # nothing else is there that could go
        a_cache(shelf, 100).get("a", 1)
    assert shelf.loads[3:] == ["a@1"]


def test_a_model_that_ends_its_worker_while_it_loads_is_the_last_line_of_its_log(caplog):
    shelf = Shelf(a=10)
    shelf.errors = [RuntimeError("It ends here.")]
    caplog.set_level(logging.INFO)

    with pytest.raises(RuntimeError):
        a_cache(shelf, 100).get("a", 1)

    assert caplog.messages == ["loading model=a@1"]


def test_what_is_required_is_unloaded_when_nothing_else_is_left_to_go():
    shelf = Shelf(must=40, a=30, b=30, c=70)
    cache = shelf.cache = ModelCache(
        shelf,
        shelf,
        CPU,
        100,
        is_kept=lambda name: name == "must",
    )

    for name in ("must", "a", "b"):
        cache.get(name, 1)
    assert cache.names() == ("must@1", "a@1", "b@1")

    cache.get("must", 2)
    assert cache.names() == ("must@1", "must@2")
    cache.get("c", 1)
    assert cache.names() == ("c@1",)


def test_it_says_what_each_version_takes_and_is_expected_to_take():
    shelf = Shelf(a=40, b=30, c=50)
    shelf.needs_bytes = {"c": 7}
    cache = a_cache(shelf, 75)
    expected_at_first = cache.expected_bytes("c", 1)
    cache.get("a", 1)
    cache.get("b", 1)

    assert expected_at_first == 7
    assert cache.loaded_bytes() == {"a@1": 40, "b@1": 30}
    assert (cache.expected_bytes("a", 1), cache.expected_bytes("a", 2)) == (40, 40)
    assert (cache.has_room_for(5), cache.has_room_for(6)) == (True, False)
    cache.get("c", 1)  # a is unloaded, and known still
    assert (cache.names(), cache.expected_bytes("a", 1), cache.loads) == (("c@1",), 40, 3)

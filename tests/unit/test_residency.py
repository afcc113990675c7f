"""What a worker with too little memory leaves to others; for how long is `test_ledger_fairness`."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from builders import a_worker_status
from clock_fixtures import HeldClock
from seqd.ledger.work import LeftQueues
from seqd.worker.residency import Residency, held_by
from seqd_schemas import Cordon, WorkerState

WAIT_S = 2.0

QUEUES = tuple(f"classify.echo:{name}@1" for name in "abcd")
A, B, C, D = QUEUES


class Memory:
    """Room for so many models, each of one byte, as the cache of models counts them."""

    def __init__(self, room: int, *loaded: str) -> None:
        self.room = room
        self.loaded = list(loaded)
        self.last_load_s, self.loads = 0.1, 0
        self.elsewhere: Any = ()

    def holds(self, name: str, version: int) -> bool:
        return name in self.loaded

    def expected_bytes(self, name: str, version: int) -> int:
        return 1

    def has_room_for(self, wanted_bytes: int) -> bool:
        return len(self.loaded) + wanted_bytes <= self.room


class World:
    """One worker, what the others publish, and the time."""

    def __init__(self, memory: Memory) -> None:
        self.clock = HeldClock()
        self.memory = memory
        self.others = [a_worker_status(worker="w1")]
        self.kept: set[str] = set()
        ledger: Any = SimpleNamespace(fleet=SimpleNamespace(workers=lambda: self.others))
        self.residency = Residency(
            memory, ledger, "w1", lambda name: name in self.kept, WAIT_S, clock=self.clock
        )

    def hold(self, *names: str) -> None:
        """Have another worker publish that it has these in memory."""
        loaded = tuple(f"{name}@1" for name in names)
        versions: Any = dict.fromkeys("abcd", (1,))
        self.others = [
            a_worker_status(
                worker="w2", tasks=("classify",), versions=versions, models_loaded=loaded
            )
        ]

    def divide(
        self, queues: Sequence[str] = QUEUES, after_s: float = 0.0
    ) -> tuple[Sequence[str], LeftQueues]:
        self.clock.now_s += after_s
        return self.residency.divide(queues)


@pytest.fixture
def world():
    """A worker with `a` and `b` in memory, and no room for more."""
    return World(Memory(2, "a", "b"))


def test_what_is_not_in_memory_is_left_apart_by_whether_another_worker_has_it(world):
    world.hold("a", "c")

    assert world.divide() == ([A, B], LeftQueues([D], [C], WAIT_S, WAIT_S))
    assert world.memory.elsewhere == {("a", 1), ("c", 1)}


def test_what_is_kept_here_trainings_and_jobs_without_a_version_are_never_left(world):
    world.kept = {"c"}

    others, left = world.divide(("classify.echo", "train.echo", C, D))

    assert (list(others), left.cold) == (["classify.echo", "train.echo", C], [D])


@pytest.mark.parametrize(
    "fields",
    [
        {"state": WorkerState.DRAINING},
        {"state": WorkerState.DRAINING, "cordon": Cordon(phase="cordoned", since_ms=1)},
        {"left_out": ("c",)},
        {"tasks": ("train",)},
    ],
    ids=["it drains", "it is cordoned", "it is placed elsewhere", "it trains alone"],
)
def test_a_worker_that_claims_nothing_of_a_model_holds_it_for_nobody(fields):
    known = {"tasks": ("classify",), "versions": {"c": (1,)}, "models_loaded": ("c@1",)}

    assert held_by([a_worker_status(**known, loaded_bytes={"c@1": 5})]) == {("c", 1): 5}
    assert held_by([a_worker_status(**known | fields)]) == {}

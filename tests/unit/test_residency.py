"""What a worker with too little memory leaves to others, and for how long."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_worker_status
from seqd.ledger.work import WaitingQueue
from seqd.worker import residency as module
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

    def load(self, name: str) -> None:
        self.loaded = [*self.loaded, name][-self.room :]
        self.loads += 1


class World:
    """One worker, what the others publish, the queues with work, and the time."""

    def __init__(self, memory: Memory, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
        self.now_s = 1_000.0
        self.memory = memory
        self.others = [a_worker_status(worker="w1")]
        #: By queue with work, how often it was claimed from, and when its next job was made.
        self.work: dict[str, int] = {}
        self.made_s: dict[str, float] = {}
        self.kept: set[str] = set()
        ledger = SimpleNamespace(
            fleet=SimpleNamespace(workers=lambda: self.others),
            work=SimpleNamespace(
                waiting_queues=lambda queues: {
                    queue: WaitingQueue(
                        str(self.work[queue]), self.now_s - self.made_s.get(queue, self.now_s)
                    )
                    for queue in queues
                    if queue in self.work
                }
            ),
        )
        self.residency = Residency(
            memory,
            ledger,  # type: ignore[arg-type]
            "w1",
            lambda name: name in self.kept,
            WAIT_S,
        )

    def hold(self, *names: str, **fields: object) -> None:
        """Have another worker publish that it has these in memory."""
        self.others = [
            a_worker_status(
                worker="w2",
                tasks=("classify",),
                versions=dict.fromkeys("abcd", (1,)),
                models_loaded=tuple(f"{name}@1" for name in names),
                **fields,
            )
        ]

    def choose(self, after_s: float = 0.0) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Look twice a second until so much time has passed; return what is chosen then."""
        ends_at_s = self.now_s + after_s
        while self.now_s + module.LOOK_S < ends_at_s:
            self.now_s += module.LOOK_S
            self.residency.first(QUEUES)
        self.now_s = ends_at_s
        return self.residency.first(QUEUES), self.residency.when_idle(QUEUES)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A worker with `a` and `b` in memory, and no room for more."""
    world = World(Memory(2, "a", "b"))
    monkeypatch.setattr(module, "monotonic", lambda: world.now_s)
    return world


def test_what_nobody_has_is_loaded_beside_other_work_after_a_wait_and_at_once_without(
    world: World,
):
    world.work = {C: 0}

    at_once = world.choose()
    later = world.choose(after_s=WAIT_S)

    assert at_once == ((A, B), (A, B, C))
    assert later == ((A, B, C), (A, B, C))


def test_of_several_that_wait_the_longest_is_loaded_alone_and_then_there_is_a_pause(world: World):
    world.memory.last_load_s = 1.0
    world.work = {D: 0}
    world.choose(after_s=0.5)
    world.work = {C: 0, D: 0}

    due = world.choose(after_s=2 * WAIT_S)
    world.memory.loaded, world.memory.loads = ["b", "d"], 1
    paused = world.choose(after_s=0.5)
    after = world.choose(after_s=5.0)

    assert due[0] == (A, B, D)
    assert paused[0] == (B, D)
    assert after[0] == (B, C, D)


def test_what_another_worker_has_is_left_to_it_while_it_works_on_it(world: World):
    world.hold("c", "d")
    world.work = {C: 0}

    chosen = []
    for _ in range(40):
        world.work[C] += 1
        chosen.append(world.choose(after_s=0.5)[0])

    assert set(chosen) == {(A, B)}


def test_a_worker_without_other_work_helps_after_a_wait_and_then_pauses(world: World):
    world.hold("c", "d")
    world.work = {C: 0, D: 0}

    at_once = world.choose()
    after_a_wait = world.choose(after_s=WAIT_S)
    world.residency.note_claim("c", 1)
    world.memory.loaded = ["b", "c"]
    world.made_s[D] = world.now_s
    later = []
    for _ in range(42):  # w2 goes on with a long job meanwhile
        world.work[D] += 1
        later.append(world.choose(after_s=0.5))

    assert at_once == ((A, B), ())
    assert after_a_wait == ((A, B), (A, B, C, D))
    assert set(later[:-3]) == {((B, C), ())}
    assert later[-1] == ((B, C), (B, C, D))


def test_what_nobody_claims_from_goes_first_whoever_has_it(world: World):
    world.hold("c", "d")
    world.work = {C: 7}
    world.choose()

    assert world.choose(after_s=4 * WAIT_S)[0] == (A, B)
    assert world.choose(after_s=2 * WAIT_S)[0] == (A, B, C)


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


@given(
    steps=st.lists(
        st.tuples(
            st.lists(st.sampled_from("abcd"), unique=True),
            st.lists(st.sampled_from(QUEUES), unique=True),
        ),
        min_size=1,
        max_size=30,
    ),
    queue=st.sampled_from(QUEUES),
)
@settings(max_examples=60, deadline=None)
def test_work_that_nobody_claims_is_chosen_in_bounded_time_whatever_the_others_do(steps, queue):
    with pytest.MonkeyPatch.context() as patch:
        world = World(Memory(2, "a", "b"))
        patch.setattr(module, "monotonic", lambda: world.now_s)
        for held, with_work in steps:
            world.hold(*held)
            world.work = dict.fromkeys({*with_work, queue}, 0)
            world.choose(after_s=0.5)
        world.work = {queue: 0}

        first, _ = world.choose(after_s=(module.UNSERVED_TIMES + 1) * WAIT_S)

        assert queue in first


def test_what_is_kept_here_trainings_and_jobs_without_a_version_are_never_left(world: World):
    world.hold("c", "d")
    world.kept = {"c"}
    queues = ("classify.echo", "train.echo", D)

    assert world.choose() == ((A, B, C), ())
    assert world.residency.first(queues) == queues[:2]

"""Classes as plugins: their tasks, what they learn from, their files, and the faults of authors."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

import pytest
from pydantic import Field

from decorated_builders import items_of, label_file, loaded, model_of, outcomes_of
from seqd.errors import PluginFault, Stopped
from seqd.hookspecs import Inspection
from seqd.inputs.datasets import ListDataset, TextDataset
from seqd.models.built_in import is_built_in
from seqd.plugin import (
    BadItem,
    Dataset,
    Device,
    InvalidData,
    Label,
    LabelledRecord,
    Score,
    TrainContext,
    model,
    task,
)
from seqd.testing import CPU, MemoryRunContext, MemoryTrainContext, train_to_artifact
from seqd_schemas import ItemError

RECORDS = [LabelledRecord("aa", "short"), LabelledRecord("a" * 10, "long")]
DATA = ListDataset(RECORDS, "two texts")


@model("learner", presets={"sharp": {"shift": 2}}, libraries=["pydantic"])
class Learner:
    """Tells texts apart by their length."""

    def __init__(self, middle: float) -> None:
        self.middle = middle
        self.metrics = {"middle": middle}
        self.classes = ["long", "short"]
        self.memory_bytes = 4_000_000

    @classmethod
    def train(
        cls,
        records: list[LabelledRecord],
        context: TrainContext,
        device: Device,
        held_out: list[LabelledRecord] | None = None,
        shift: Annotated[int, Field(ge=0, le=9)] = 0,
    ) -> Self:
        """Learn.

        shift: Added to the middle.
        """
        assert context.device is device
        if len(records) < 2:
            raise InvalidData("too few")
        lengths = [len(record.text) for record in records]
        made = cls(sum(lengths) / len(lengths) + shift)
        if held_out is not None:
            made.metrics["validation_texts"] = len(held_out)
        return made

    def save(self, folder: Path) -> None:
        label_file(folder).write_text(json.dumps(self.middle))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(json.loads(label_file(folder).read_text()))

    def classify(self, text: str) -> Label:
        if not text:
            raise BadItem("empty")
        return Label("long" if len(text) > self.middle else "short")

    @task("measure_text")
    def length(self, texts: list[str]) -> list[Score]:
        """Return lengths."""
        return [Score(score=len(text) - self.middle) for text in texts]

    def measure(self, text: str) -> dict[str, float]:
        return {"bits_per_char": 1.0}

    def inspect(self, focus: str | None) -> tuple[Inspection, ...]:
        return (Inspection("middle", ("is",), ((self.middle,),)),)


@pytest.fixture
def artifact(tmp_path: Path):
    return train_to_artifact(model_of(Learner), {}, DATA, tmp_path)


def test_a_class_that_learns_is_trained_saved_and_loaded(artifact):
    outcomes = outcomes_of(Learner, "classify", ["aaa", "a" * 9, ""], artifact=artifact)

    assert [getattr(one, "label", None) for one in outcomes] == ["short", "long", None]
    assert outcomes[2] == ItemError(code="invalid_input", message="empty")
    assert artifact.manifest.metrics == {"middle": 6.0}
    assert list(artifact.manifest.libraries) == ["pydantic"]
    assert model_of(Learner).summary == "Tells texts apart by their length."


def test_a_preset_and_a_parameter_reach_the_training(tmp_path: Path):
    presets = model_of(Learner).presets

    made = train_to_artifact(model_of(Learner), presets["sharp"], DATA, tmp_path)

    assert made.manifest.metrics == {"middle": 8.0}


def test_held_out_records_reach_the_training(tmp_path: Path):
    made = train_to_artifact(model_of(Learner), {}, DATA, tmp_path, held_out=DATA)

    assert made.manifest.metrics["validation_texts"] == 2


def test_a_class_has_several_tasks_and_what_it_says_of_itself(artifact):
    outcomes = outcomes_of(Learner, "measure_text", ["aaaaaaa"], artifact=artifact)
    version = loaded(Learner, artifact)

    assert outcomes == [Score(score=1.0)]
    assert model_of(Learner).tasks["measure_text"].summary == "Return lengths."
    assert version.classes == ("long", "short")
    assert version.memory_bytes == 4_000_000
    assert version.measure("a", MemoryRunContext()) == {"bits_per_char": 1.0}
    assert model_of(Learner).inspect(artifact, None)[0].rows == ((6.0,),)


def test_each_form_of_data_reaches_a_training(tmp_path: Path):
    seen = []

    def made(annotation: object) -> type:
        @model("taking", summary="Takes data.")
        class Taking:
            @classmethod
            def train(cls, data: annotation) -> "Taking":  # type: ignore[valid-type]
                seen.append(data)
                return cls()

            def save(self, folder: Path) -> None:
                label_file(folder).write_text("1")

            @classmethod
            def load(cls, folder: Path) -> "Taking":
                return cls()

            def classify(self, text: str) -> str:
                return "x"

        return Taking

    for number, annotation in enumerate((str, Dataset, Iterable[LabelledRecord])):
        train_to_artifact(model_of(made(annotation)), {}, DATA, tmp_path / str(number))

    text, dataset, records = seen
    assert text == DATA.text()
    assert dataset is DATA
    assert list(records) == list(records) == RECORDS


def test_reading_the_data_and_the_end_of_a_training_ask_whether_to_stop(tmp_path: Path):
    description = model_of(Learner)
    asked = MemoryTrainContext(tmp_path / "asked", DATA)
    description.train(description.tasks["train"].parameters(), asked)

    for after in range(asked.stop_questions):
        context = MemoryTrainContext(tmp_path / str(after), DATA, stop_after=after)
        with pytest.raises(Stopped):
            description.train(description.tasks["train"].parameters(), context)

    assert asked.stop_questions == len(RECORDS) + 1


def test_a_class_without_load_is_built_in_and_one_with_load_alone_waits_for_weights():
    @model("plain", summary="Plain.")
    class Plain:
        def generate(self, prompt: str) -> str:
            return prompt

    @model("waiting", summary="Waits.")
    class Waiting:
        @classmethod
        def load(cls, folder: Path, device: Device) -> Self:
            assert device is CPU
            return cls()

        def classify(self, text: str) -> str:
            return "x"

    assert is_built_in(model_of(Plain))
    assert outcomes_of(Plain, "generate", ["a"])[0].samples[0].text == "a"
    assert model_of(Waiting).needs_weights
    assert not is_built_in(model_of(Waiting))
    assert outcomes_of(Waiting, "classify", ["a"])[0].label == "x"


def test_a_version_with_files_takes_as_much_memory_as_they_have_at_least(tmp_path: Path):
    @model("lazy", summary="Reads its file later.")
    class Lazy:
        @classmethod
        def train(cls, text: str) -> Self:
            return cls()

        def save(self, folder: Path) -> None:
            (folder / "large.json").write_text(" " * 3_000_000)

        @classmethod
        def load(cls, folder: Path, placed_on: Device) -> Self:
            assert placed_on is CPU
            return cls()

        def classify(self, text: str) -> str:
            return "x"

    artifact = train_to_artifact(model_of(Lazy), {}, DATA, tmp_path)

    assert loaded(Lazy, artifact).memory_bytes >= 3_000_000


def test_a_refusal_of_the_data_reaches_the_caller(tmp_path: Path):
    description = model_of(Learner)
    context = MemoryTrainContext(tmp_path, TextDataset("abc", "a text"))

    with pytest.raises(InvalidData, match=r"^too few$"):
        description.train(description.tasks["train"].parameters(), context)


def faulty(**members: object) -> type:
    return type("Faulty", (), {"__module__": __name__, "__qualname__": "Faulty", **members})


def classify(self: object, text: str) -> str:
    return "x"


def save(self: object, folder: Path) -> None: ...


@classmethod
def load(cls: type, folder: Path) -> object:
    return cls()


@classmethod
def train(cls: type, records: list[LabelledRecord]) -> object:
    return cls()


@classmethod
def train_numbers(cls: type, records: list[int]) -> object:
    return cls()


def with_argument(self: object, size: int) -> None: ...


SAVE = "def save(self, folder: Path) -> None, which writes .json and .safetensors."
LOAD = "@classmethod def load(cls, folder: Path) -> Self, which reads what `save` wrote."
HERE = f"{__name__}.Faulty"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {},
            f"{HERE} has no task. Give it a method classify(self, text: str) -> Label, "
            "generate(self, prompt: str) -> str, or one under @task(...).",
        ),
        (
            {"classify": staticmethod(classify)},
            f"{HERE}.classify is staticmethod. Write a method: def classify(self, ...).",
        ),
        (
            {"classify": classify, "train": train, "load": load},
            f"{HERE} has `train` and no `save`. Add: {SAVE}",
        ),
        (
            {"classify": classify, "train": train, "save": save},
            f"{HERE} has `train` and no `load`. Add: {LOAD}",
        ),
        (
            {"classify": classify, "train": save, "save": save, "load": load},
            f"{HERE}.train is no class method. Put @classmethod above.",
        ),
        (
            {"classify": classify, "load": staticmethod(save)},
            f"{HERE}.load is no class method. Put @classmethod above.",
        ),
        (
            {"classify": classify, "train": train_numbers, "save": save, "load": load},
            f"{__name__}.train_numbers: 'records' is annotated list[int]. Allowed: "
            "list[LabelledRecord], Iterable[LabelledRecord], str (all texts as one), Dataset.",
        ),
        (
            {"classify": classify, "__init__": with_argument},
            f"{HERE}() cannot be made: missing a required argument: 'size'. Give the parameters of "
            f"__init__ defaults, or the class a `load`: {LOAD}",
        ),
    ],
)
def test_a_class_of_another_form_is_refused_with_what_to_change(members, message):
    with pytest.raises(PluginFault) as fault:
        model("faulty", summary="Faulty.")(faulty(**members))

    assert str(fault.value) == message


def test_two_methods_of_one_task_are_refused():
    class Twice:
        @task("count")
        def first(self, text: str) -> Score:
            """Count."""
            return Score(score=1.0)

        @task("count")
        def second(self, text: str) -> Score:
            """Count."""
            return Score(score=1.0)

    with pytest.raises(PluginFault) as fault:
        model("twice", summary="Twice.")(Twice)

    where = f"{__name__}.{Twice.__qualname__}"
    assert str(fault.value) == f"{where} has two tasks 'count'. Rename one."


def learner(**members: object) -> object:
    made = faulty(**{"classify": classify, "save": save, "load": load, "train": train} | members)
    return model_of(model("faulty", summary="Faulty.", libraries=members.get("libs", ()))(made))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"metrics": [1.0]},
            f"{HERE}.metrics is [1.0]. It is a mapping of names to numbers.",
        ),
        (
            {"metrics": {"accuracy": "high"}},
            f"{HERE}.metrics is {{'accuracy': 'high'}}. It is a mapping of names to numbers.",
        ),
        (
            {"libs": ["no-such-thing"]},
            "`libraries` names 'no-such-thing', and no distribution of that name is installed.",
        ),
    ],
)
def test_what_a_training_leaves_behind_against_its_word_is_told(tmp_path, members, message):
    description = learner(**members)
    context = MemoryTrainContext(tmp_path, DATA)

    with pytest.raises(PluginFault) as fault:
        description.train(description.tasks["train"].parameters(), context)

    assert str(fault.value) == message


def test_a_training_or_a_load_that_gives_no_object_of_its_class_is_told(tmp_path, artifact):
    @classmethod
    def nothing(cls: type, records: list[LabelledRecord]) -> object:
        return None

    @classmethod
    def other(cls: type, folder: Path) -> object:
        return 7

    description = learner(train=nothing, load=other)
    context = MemoryTrainContext(tmp_path / "faulty", DATA)

    with pytest.raises(PluginFault, match=r" gave None\. It gives the object that has learnt\.$"):
        description.train(description.tasks["train"].parameters(), context)
    with pytest.raises(PluginFault) as fault:
        description.load(artifact, CPU)

    assert str(fault.value) == f"{HERE}.load gave 7. It gives an object of its class."


def test_what_an_object_says_of_itself_is_read_as_the_contract_has_it(artifact):
    numbered = learner(classes=[0, 1], memory_bytes=2.5e6).load(artifact, CPU)

    assert (numbered.classes, numbered.memory_bytes) == (("0", "1"), 2_500_000)
    with pytest.raises(PluginFault) as fault:
        learner(memory_bytes="much").load(artifact, CPU)
    assert str(fault.value) == (f"{HERE}.memory_bytes is 'much'; allowed: a number, 0 and more.")


def test_the_same_version_loaded_twice_gives_the_same(artifact):
    items = items_of(["a", "b" * 9, "\ud800"])

    first = outcomes_of(Learner, "classify", items, artifact=artifact)

    assert outcomes_of(Learner, "classify", items, artifact=artifact) == first
    assert first[2].code == "decode_error"

"""Classes as plugins: their tasks, what they learn from, their files, and the faults of authors."""

import json
from pathlib import Path
from typing import Annotated, Self

import pytest
from pydantic import Field

from decorated_builders import label_file, loaded, made, model_of, outcomes_of, refusal_of
from seqd.errors import PluginFault, Stopped
from seqd.hookspecs import Inspection, Model, PluginParameters, RunContext, WorkItem
from seqd.inputs.datasets import ListDataset
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
from seqd_schemas import GeneratedSample, Generation, ItemError, OutputBound

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

    def measure_adapting(self, text: str) -> dict[str, float]:
        return {"bits_per_char": 0.5}

    def inspect(self, focus: str | None) -> tuple[Inspection, ...]:
        return (Inspection("middle", ("is",), ((self.middle,),)),)


@pytest.fixture
def artifact(tmp_path):
    return train_to_artifact(model_of(Learner), {}, DATA, tmp_path)


def test_a_class_that_learns_is_trained_saved_and_loaded(artifact):
    outcomes = outcomes_of(Learner, "classify", ["aaa", "a" * 9, ""], artifact=artifact)

    assert [getattr(one, "label", None) for one in outcomes] == ["short", "long", None]
    assert outcomes[2] == ItemError(code="invalid_input", message="empty")
    assert artifact.manifest.metrics == {"middle": 6.0}
    assert list(artifact.manifest.libraries) == ["pydantic"]
    assert model_of(Learner).summary == "Tells texts apart by their length."


def test_a_preset_and_held_out_records_reach_the_training(tmp_path):
    preset = model_of(Learner).presets["sharp"]

    made = train_to_artifact(model_of(Learner), preset, DATA, tmp_path, held_out=DATA)

    assert made.manifest.metrics == {"middle": 8.0, "validation_texts": 2}


def test_a_class_has_several_tasks_and_what_it_says_of_itself(artifact):
    outcomes = outcomes_of(Learner, "measure_text", ["aaaaaaa"], artifact=artifact)
    version = loaded(Learner, artifact)

    assert outcomes == [Score(score=1.0)]
    assert model_of(Learner).tasks["measure_text"].summary == "Return lengths."
    assert version.classes == ("long", "short")
    assert version.memory_bytes == 4_000_000
    assert version.measure("a", MemoryRunContext()) == {"bits_per_char": 1.0}
    assert version.measure_adapting("a", MemoryRunContext()) == {"bits_per_char": 0.5}
    assert model_of(Learner).inspect(artifact, None)[0].rows == ((6.0,),)


@pytest.mark.parametrize("form", ["str", "Dataset", "Iterable[LabelledRecord]"])
def test_each_form_of_data_reaches_a_training(tmp_path, form):
    taking = made(f"""
from pathlib import Path
SEEN = []
class Taking:
    @classmethod
    def train(cls, data: {form}):
        SEEN.append(data)
        return cls()
    def save(self, folder: Path):
        (folder / "learnt.json").write_text("1")
    @classmethod
    def load(cls, folder: Path):
        return cls()
    def classify(self, text: str) -> str:
        return "x"
""")

    train_to_artifact(model_of(model("taking", summary="T.")(taking)), {}, DATA, tmp_path)

    (seen,) = taking.train.__func__.__globals__["SEEN"]
    if form.startswith("Iterable"):
        assert list(seen) == list(seen) == RECORDS
    else:
        assert seen == (DATA.text() if form == "str" else DATA)


def test_reading_the_data_and_the_end_of_a_training_ask_whether_to_stop(tmp_path):
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

    assert not model_of(Plain).needs_weights
    assert outcomes_of(Plain, "generate", ["a"])[0].samples[0].text == "a"
    assert model_of(Waiting).needs_weights
    assert outcomes_of(Waiting, "classify", ["a"])[0].label == "x"


def test_a_version_with_files_takes_as_much_memory_as_they_have_at_least(tmp_path):
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


FILES = """
    def classify(self, text: str) -> str: ...
    def save(self, folder): ...
    @classmethod
    def load(cls, folder): return cls()
"""
SAVE = "def save(self, folder: Path) -> None, which writes .json and .safetensors."
LOAD = "@classmethod def load(cls, folder: Path) -> Self, which reads what `save` wrote."
TRAINS = "\n    @classmethod\n    def train(cls, records: list[LabelledRecord]): return cls()"
CLASSIFIES = "def classify(self, text: str) -> str: ...\n    "


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "...",
            "mine.Faulty has no task. Give it a method classify(self, text: str) -> Label, "
            "generate(self, prompt: str) -> str, or one under @task(...).",
        ),
        (
            "@staticmethod\n    def classify(text: str) -> str: ...",
            "mine.Faulty.classify is staticmethod. Write a method: def classify(self, ...).",
        ),
        (
            FILES.replace("save", "other") + TRAINS,
            f"mine.Faulty has `train` and no `save`. Add: {SAVE}",
        ),
        (
            FILES.replace("load", "other") + TRAINS,
            f"mine.Faulty has `train` and no `load`. Add: {LOAD}",
        ),
        (
            FILES + TRAINS.replace("@classmethod", ""),
            "mine.Faulty.train is no class method. Put @classmethod above.",
        ),
        (
            FILES.replace("@classmethod", "@staticmethod"),
            "mine.Faulty.load is no class method. Put @classmethod above.",
        ),
        (
            FILES + TRAINS.replace("LabelledRecord", "int"),
            "mine.Faulty.train: 'records' is annotated list[int]. Allowed: list[LabelledRecord], "
            "Iterable[LabelledRecord], str (all texts as one), Dataset.",
        ),
        (
            CLASSIFIES + "def __init__(self, size): ...",
            "mine.Faulty() cannot be made: missing a required argument: 'size'. Give the "
            f"parameters of __init__ defaults, or the class a `load`: {LOAD}",
        ),
        (
            "@task('count')\n    def one(self, text: str) -> Score: 'Count.'\n"
            "    @task('count')\n    def two(self, text: str) -> Score: 'Count.'",
            "mine.Faulty has two tasks 'count'. Rename one.",
        ),
        (
            "def generate(self, items: list[WorkItem]) -> list[str]: ...",
            "mine.Faulty.generate gives list[str]. A generator of "
            "list[seqd.hookspecs.contexts.WorkItem] gives list[Generation | ItemError].",
        ),
        (
            "def classify(self, text: str, all: PluginParameters, word: str = '') -> str: ...",
            "mine.Faulty.classify takes all, word. A class of parameters has them all: write its "
            "fields into it, and take `all` alone.",
        ),
    ],
)
def test_a_class_of_another_form_is_refused_with_what_to_change(body, message):
    source = f"class Faulty:\n    {body}"

    assert refusal_of(model("faulty", summary="Faulty."), source) == message


def learner(more: str = "", libraries: tuple[str, ...] = ()) -> Model:
    source = f"class Faulty:\n    {FILES}{TRAINS}\n    {more}"
    return model_of(model("faulty", summary="Faulty.", libraries=libraries)(made(source)))


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (
            learner("metrics = [1.0]"),
            "mine.Faulty.metrics is [1.0]. It is a mapping of names to numbers.",
        ),
        (
            learner("metrics = {'accuracy': 'high'}"),
            "mine.Faulty.metrics is {'accuracy': 'high'}. It is a mapping of names to numbers.",
        ),
        (
            learner(libraries=("no-such-thing",)),
            "`libraries` names 'no-such-thing', and no distribution of that name is installed.",
        ),
        (
            learner(TRAINS.replace("cls()", "None").strip()),
            "mine.Faulty.train gave None. It gives the object that has learnt.",
        ),
    ],
)
def test_what_a_training_leaves_behind_against_its_word_is_told(tmp_path, description, message):
    context = MemoryTrainContext(tmp_path, DATA)

    with pytest.raises(PluginFault) as fault:
        description.train(description.tasks["train"].parameters(), context)

    assert str(fault.value) == message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "load = classmethod(lambda cls, folder: 7)",
            "mine.Faulty.load gave 7. It gives an object of its class.",
        ),
        (
            "memory_bytes = 'much'",
            "mine.Faulty.memory_bytes is 'much'; allowed: a number, 0 and more.",
        ),
    ],
)
def test_what_a_load_gives_against_its_word_is_told(artifact, more, message):
    with pytest.raises(PluginFault) as fault:
        learner(more).load(artifact, CPU)

    assert str(fault.value) == message


def test_what_an_object_says_of_itself_is_read_as_the_contract_has_it(artifact):
    numbered = learner("classes, memory_bytes = [0, 1], 2.5e6").load(artifact, CPU)

    assert (numbered.classes, numbered.memory_bytes) == (("0", "1"), 2_500_000)


class EchoParameters(PluginParameters):
    """How often to repeat."""

    times: int = Field(default=2, ge=1, le=9, description="Times that a prompt is repeated.")


@model("echo", summary="Repeats prompts.", starter="starter_echo")
class Echo:
    """What the contract says of a model, and a function of texts does not."""

    libraries = ("pydantic",)

    @classmethod
    def train(cls, data: Dataset, parameters: EchoParameters) -> Self:
        made = cls()
        made.metrics = {"times": parameters.times}
        return made

    def save(self, folder: Path) -> None:
        label_file(folder).write_text("{}")

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls()

    @task("generate", unit_items=3, bound=OutputBound(factors=("times",), max_characters=100))
    def generate(
        self, items: list[WorkItem], parameters: EchoParameters
    ) -> list[Generation | ItemError]:
        texts = [item.text * parameters.times for item in items]
        return [
            Generation(prompt=item.text, samples=(_sample(text, item.index),))
            if item.text
            else ItemError(code="invalid_input", message="empty")
            for item, text in zip(items, texts, strict=True)
        ]

    def cost_tokens(self, text: str) -> int:
        return 7

    def measure(self, text: str, context: RunContext) -> dict[str, float]:
        return {"stopped": float(context.stop_requested())}


def _sample(text: str, seed: int) -> GeneratedSample:
    return GeneratedSample(text=text, temperature=1.0, seed=seed, finish_reason="end")


def test_a_class_takes_what_the_contract_has_where_a_function_says_less(tmp_path: Path):
    description = model_of(Echo)

    artifact = train_to_artifact(description, {"times": 3}, DATA, tmp_path)
    items = [WorkItem(5, "ab"), WorkItem(6, ""), WorkItem(7, "c\ud83d")]
    outcomes = outcomes_of(Echo, "generate", items, artifact=artifact, times=4)
    version = loaded(Echo, artifact)

    assert outcomes[0] == Generation(prompt="ab", samples=(_sample("abababab", 5),))
    assert [one.code for one in outcomes[1:]] == ["invalid_input", "decode_error"]
    assert artifact.manifest.metrics == {"times": 3}
    assert list(artifact.manifest.libraries) == ["pydantic"]
    assert description.starter_name == "starter_echo"
    spec = description.tasks["generate"]
    assert (spec.parameters, spec.unit_items) == (EchoParameters, 3)
    assert spec.bound == OutputBound(factors=("times",), max_characters=100)
    assert version.cost_tokens("a" * 100) == 7
    assert version.measure("a", MemoryRunContext(stop_after=0)) == {"stopped": 1.0}


def test_a_function_of_items_gets_all_of_a_call_at_once():
    sizes = []

    @model("sizes", summary="Counts items.")
    class Sizes:
        def generate(self, items: list[WorkItem]) -> list[Generation]:
            sizes.append(len(items))
            return [Generation(prompt="", samples=(_sample("", 0),)) for _ in items]

    outcomes_of(Sizes, "generate", ["a"] * 100)

    assert sizes == [100]

"""A version is published where what is loaded of its files answers as what was trained."""

import itertools
import json
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import save_file

from decorated_builders import model_of
from seqd.errors import ArtifactDamaged, InvalidData, PluginFault, VersionDiffers
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    TaskSpec,
    TrainContext,
    TrainedModel,
)
from seqd.inputs.datasets import ListDataset, RecordDataset, TextDataset
from seqd.models.agreement import ask_trained
from seqd.plugin import (
    Label,
    LabelledRecord,
    Random,
    Score,
    Text,
    load_arrays,
    model,
    save_arrays,
    task,
)
from seqd.testing import MemoryTrainContext, train_to_artifact

CLASSES = ["bad", "good", "mixed"]
WORDS = ["dull", "warm", "long"]
DATA = ListDataset(
    [LabelledRecord(f"a {word} film, {at}", CLASSES[WORDS.index(word)])
     for at in range(9) for word in WORDS],
    "27 films",
)  # fmt: skip
WEIGHTS = "weights.safetensors"

#: A row for each class: what each word says of it.
TABLE = np.array([[4.0, 0.0, 1.0], [0.0, 4.0, 0.0], [2.0, 0.0, 4.0]])


class Films:
    """Classifies by a table of words and classes, which lies by columns as scikit-learn's does."""

    def __init__(self, table) -> None:
        self.table = table
        self.classes = CLASSES

    @classmethod
    def train(cls, records: list[LabelledRecord]) -> Self:
        return cls(np.asfortranarray(TABLE))

    def classify(self, text: str) -> Label:
        seen = np.array([word in text for word in WORDS])
        powers = np.exp(self.table @ seen)
        shares = dict(zip(CLASSES, (powers / powers.sum()).tolist(), strict=True))
        label = max(shares, key=shares.__getitem__)
        return Label(label, shares[label], shares)

    def save(self, folder: Path) -> None:
        save_arrays(folder / WEIGHTS, {"table": self.table})

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(load_arrays(folder / WEIGHTS)["table"])


def as_memory_lies(self, folder: Path) -> None:
    save_file({"table": self.table}, folder / WEIGHTS)


def as_whole_numbers(self, folder: Path) -> None:
    save_arrays(folder / WEIGHTS, {"table": self.table.astype(np.int8)})


def in_half_a_float(self, folder: Path) -> None:
    save_arrays(folder / WEIGHTS, {"table": self.table.astype(np.float16)})


class Query(BaseModel):
    """A record."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(max_length=400, description="What is asked.")


class Thirds(Films):
    """Has learnt numbers that a smaller type rounds."""

    @classmethod
    def train(cls, records: list[LabelledRecord]) -> Self:
        return cls(TABLE + 1 / 3 * np.eye(*TABLE.shape))


class Swapped(Films):
    """Gives labels alone, and loads its table upside down."""

    def classify(self, text: str) -> str:
        return super().classify(text).label

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(TABLE[::-1])


class Unsure(Films):
    """Gives low scores alone, and loads its table upside down."""

    def classify(self, text: str) -> Label:
        return Label(super().classify(text).label, 0.4)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(TABLE[::-1])


class Tied(Films):
    """Gives one of two labels that are as probable."""

    def classify(self, text: str) -> Label:
        shares = dict(zip(CLASSES, [0.4, 0.4, 0.2], strict=True))
        return Label(CLASSES[self.table is TABLE], 0.4, shares)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(TABLE)


class AtTimesTied(Tied):
    """Does so of some texts, and does not say how probable the other label is."""

    def classify(self, text: str) -> Label:
        return Label(CLASSES["warm" in text and self.table is TABLE], 0.4)


class OfTexts(Films):
    """Has a task of its own, whose answers change when it is loaded."""

    score = 1.0

    @task("tell", summary="Says how dull it is.")
    def tell(self, text: str) -> Score:
        return Score(score=self.score)

    @classmethod
    def load(cls, folder: Path) -> Self:
        made = super().load(folder)
        made.score = 0.9
        return made


class OfRecords(Films):
    """The same, of records."""

    @task("tell", summary="Says it in words.")
    def tell(self, query: Query) -> Text:
        return Text(text=f"{query.question} {self.table.flags.c_contiguous}")


class Rewrites(Films):
    """Changes its files when it is loaded."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        made = super().load(folder)
        save_file({"table": np.zeros(1)}, folder / WEIGHTS)
        return made


def films(made: type) -> Model:
    """Return the model of a class, which stays as it is: it is decorated once."""
    return model_of(model("films", summary="Films.")(type("Made", (made,), {})))


def published(made: type, folder: Path, data: RecordDataset = DATA) -> Artifact:
    """Return the version that a class has learnt."""
    return train_to_artifact(films(made), {}, data, folder)


def versions_in(folder: Path) -> list[Path]:
    return [path for path in folder.glob("films/*") if path.name.isdigit()]


def test_a_table_that_lies_by_columns_is_served_as_it_was_trained(tmp_path):
    artifact = published(Films, tmp_path)

    np.testing.assert_array_equal(load_arrays(artifact.folder / WEIGHTS)["table"], TABLE)


@pytest.mark.parametrize(
    "made", [type("Halved", (Thirds,), {"save": in_half_a_float}), Tied, AtTimesTied]
)
def test_rounding_to_half_a_float_and_another_of_two_labels_as_probable_are_no_difference(
    made, tmp_path
):
    assert published(made, tmp_path).manifest.version == 1


@pytest.mark.parametrize(
    ("made", "error", "said"),
    [
        (
            type("Transposed", (Films,), {"save": as_memory_lies}),
            VersionDiffers,
            r"^What films has saved is not what it has trained: classify gave 0\.867 for 'bad' and "
            r"0\.117 for 'mixed' before, and 0\.\d+ for '\w+' and 0\.\d+ for '\w+' of the saved "
            r"files\. No version is made of it\. Save arrays by seqd\.",
        ),
        (
            type("Whole", (Thirds,), {"save": as_whole_numbers}),
            VersionDiffers,
            r"in the type of the training \(int8 rounds\)",
        ),
        (Swapped, VersionDiffers, r"classify gave Classification\(label='bad', "),
        (Unsure, VersionDiffers, r"classify gave Classification\(label='bad', score=0\.4"),
        (
            OfTexts,
            VersionDiffers,
            r"tell gave Score\(score=1\.0\) before, and Score\(score=0\.9\)",
        ),
        (OfRecords, VersionDiffers, r"tell gave Text\(text='a dull film, 0 False'\)"),
        (Rewrites, PluginFault, "films changes the files that it loads"),
    ],
)
def test_a_version_that_answers_otherwise_than_what_was_trained_is_not_published(
    made, error, said, tmp_path
):
    with pytest.raises(error, match=said):
        published(made, tmp_path)

    assert versions_in(tmp_path) == []


class Writer:
    """Writes letters by shares that it has learnt."""

    def __init__(self, shares) -> None:
        self.shares = shares

    @classmethod
    def train(cls, text: str) -> Self:
        return cls(np.array([0.7, 0.2, 0.1]))

    def generate(
        self, prompt: str, chance: Random, length: Annotated[int, Field(ge=1, le=200)] = 80
    ) -> str:
        """Write.

        length: Characters.
        """
        return "".join(chance.choice(list("abc"), length, p=self.shares))

    def save(self, folder: Path) -> None:
        (folder / "shares.json").write_text(json.dumps(self.shares.tolist()))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(np.array(json.loads((folder / "shares.json").read_text())))


TEXT = TextDataset("It was a dark and stormy night. " * 200, "a night")


class Measures(Writer):
    def measure(self, text: str) -> dict[str, float]:
        if len(text) < 10:
            raise InvalidData("too short")
        return {"bits_per_char": float(self.shares[0])}


def loading(made: type, *shares: float) -> type:
    """Return a class whose saved files give these shares, whatever it has learnt."""
    load = classmethod(lambda cls, folder: cls(np.array(shares)))
    return type("Loading", (made,), {"load": load})


def test_seeded_texts_have_to_be_the_same_of_most_prompts_and_figures_where_it_has_some(tmp_path):
    taken = [Writer, loading(Writer, 0.7005, 0.1995, 0.1), Measures]

    for number, made in enumerate(taken):
        assert published(made, tmp_path / str(number), TEXT).manifest.version == 1
    with pytest.raises(VersionDiffers, match="generate gave Generation"):
        published(loading(Writer, 0.1, 0.2, 0.7), tmp_path / "reversed", TEXT)
    with pytest.raises(VersionDiffers, match=r"generate gave \{'bits_per_char': 0.7\} before"):
        published(loading(Measures, 0.6, 0.2, 0.2), tmp_path / "worse", TEXT)


def test_what_differs_each_time_or_fails_is_not_compared_and_the_caller_is_told(tmp_path):
    counter = itertools.count()

    class Odd(Films):
        @task("count", summary="Counts its calls.")
        def count(self, text: str) -> Score:
            return Score(score=float(next(counter)))

        @task("fail", summary="Fails.")
        def fail(self, text: str) -> Score:
            raise RuntimeError("no figure")

        @task("ask", summary="Has a parameter that a caller has to give.")
        def ask(self, text: str, much: int) -> Score:
            """Ask.

            much: How much.
            """
            return Score(score=float(next(counter)))

    odd = films(Odd)
    context = MemoryTrainContext(tmp_path / "files", DATA)
    trained = odd.train(odd.tasks["train"].parameters(), context)

    answers = ask_trained(odd, trained, context)

    assert list(answers.by_task) == ["classify"]
    assert sorted(context.logs) == [
        "count is not compared with what is saved: it differs each time (D1).",
        "fail is not compared with what is saved: RuntimeError.",
    ]


class Handmade(Model):
    """A model whose training hands over no model in memory."""

    name = "films"
    summary = "Films."
    tasks = {"classify": TaskSpec(PluginParameters), "train": TaskSpec(PluginParameters)}  # noqa: RUF012

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        (context.folder / "table.json").write_text("[]")
        return TrainedModel({})

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        raise ArtifactDamaged("table.json has no row. Train again.")


def test_of_a_training_that_hands_over_no_model_the_files_are_loaded(tmp_path):
    with pytest.raises(PluginFault, match=r"^films cannot load what it has saved: table\.json has"):
        train_to_artifact(Handmade(), {}, DATA, tmp_path)

    assert versions_in(tmp_path) == []

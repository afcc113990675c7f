"""A version is published where what is loaded of its files answers as what was trained."""

import itertools
import json
import re
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import save_file

from decorated_builders import model_of
from seqd.errors import InvalidData, VersionDiffers
from seqd.hookspecs import (
    Artifact,
    Model,
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


def films(made: type) -> Model:
    """Return the model of a class, which stays as it is: it is decorated once."""
    return model_of(model("films", summary="Films.")(type("Made", (made,), {})))


def published(made: type, folder: Path, data: RecordDataset = DATA) -> Artifact:
    """Return the version that a class has learnt."""
    return train_to_artifact(films(made), {}, data, folder)


def versions_in(folder: Path) -> list[Path]:
    return [path for path in folder.glob("films/*") if path.name.isdigit()]


def test_a_table_that_lies_by_columns_is_served_as_it_was_trained(tmp_path: Path):
    artifact = published(Films, tmp_path)

    np.testing.assert_array_equal(load_arrays(artifact.folder / WEIGHTS)["table"], TABLE)


def test_a_version_that_was_saved_as_memory_lies_is_not_published(tmp_path: Path):
    class Transposed(Films):
        save = as_memory_lies

    with pytest.raises(VersionDiffers) as raised:
        published(Transposed, tmp_path)

    assert raised.value.code == "version_differs"
    assert re.fullmatch(
        r"What films has saved is not what it has trained: classify gave "
        r"0\.867 for 'bad' and 0\.117 for 'mixed' before, and 0\.\d+ for '\w+' and 0\.\d+ for "
        r"'\w+' of the saved files\. No version is made of it\. Save arrays by seqd\..*",
        str(raised.value),
    )
    assert versions_in(tmp_path) == []


def test_rounding_to_half_a_float_is_no_difference(tmp_path: Path):
    class Halved(Films):
        def save(self, folder: Path) -> None:
            table = (self.table + 1 / 3).astype(np.float16)
            save_arrays(folder / WEIGHTS, {"table": table})

        @classmethod
        def train(cls, records: list[LabelledRecord]) -> Self:
            return cls(TABLE + 1 / 3)

        @classmethod
        def load(cls, folder: Path) -> Self:
            return cls(load_arrays(folder / WEIGHTS)["table"] - np.float16(1 / 3))

    assert published(Halved, tmp_path).manifest.version == 1


class Query(BaseModel):
    """A record."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(max_length=400, description="What is asked.")


def test_own_tasks_of_texts_and_of_records_are_compared(tmp_path: Path):
    class OfTexts(Films):
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
        @task("tell", summary="Says it in words.")
        def tell(self, query: Query) -> Text:
            return Text(text=f"{query.question} {self.table.flags.c_contiguous}")

    with pytest.raises(
        VersionDiffers, match=r"tell gave Score\(score=1\.0\) before, and Score\(score=0\.9\)"
    ):
        published(OfTexts, tmp_path / "texts")
    with pytest.raises(VersionDiffers, match=r"tell gave Text\(text='a dull film, 0 False'\)"):
        published(OfRecords, tmp_path / "records")


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


def test_a_writer_that_measures_texts_is_held_to_its_figures(tmp_path: Path):
    class Measures(Writer):
        def measure(self, text: str) -> dict[str, float]:
            if len(text) < 10:
                raise InvalidData("too short")
            return {"bits_per_char": float(self.shares[0])}

    class Worse(Measures):
        @classmethod
        def load(cls, folder: Path) -> Self:
            return cls(np.array([0.6, 0.2, 0.2]))

    assert published(Measures, tmp_path / "same", TEXT).manifest.version == 1
    with pytest.raises(VersionDiffers, match=r"generate gave \{'bits_per_char': 0.7\} before"):
        published(Worse, tmp_path / "worse", TEXT)


def test_what_differs_each_time_or_fails_is_not_compared_and_the_caller_is_told(tmp_path: Path):
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


def sampled(tmp_path: Path, data, held_out=None) -> list[str]:
    """Return the texts that a trained model is asked about."""
    context = MemoryTrainContext(tmp_path / "files", data, held_out)
    return list(ask_trained(films(Films), TrainedModel({}), context).texts)


def test_the_sample_is_spread_over_the_data_and_of_what_is_held_out_where_there_is_some(
    tmp_path: Path,
):
    many = ListDataset([LabelledRecord(f"text {at}", None) for at in range(1_000)], "many")

    assert sampled(tmp_path, DATA, many)[:3] == ["text 0", "text 62", "text 124"]
    assert len(sampled(tmp_path, many)) == 16
    assert len(sampled(tmp_path, TEXT)) == 16
    assert all(len(text) <= 400 for text in sampled(tmp_path, TEXT))

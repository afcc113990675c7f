"""A version's files: written, read back, and refused when they do not fit together."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from seqd.errors import ArtifactDamaged
from seqd.hookspecs import WorkItem
from seqd.models.version_files import open_folder
from seqd.testing import CPU, MemoryRunContext
from seqd_imdb_lstm import ClassifyParameters, ImdbLstm
from seqd_imdb_lstm.artifact import (
    Version,
    VersionConfig,
    Weights,
    read_version,
    shapes_of,
    write_version,
)
from seqd_imdb_lstm.serving import inspect_version
from seqd_imdb_lstm.vocabulary import Vocabulary

MEND = "Train the version again, or copy it again from where it came from."


def a_version() -> Version:
    config = VersionConfig(
        vocabulary_size=7,
        max_tokens=4,
        embedding_dim=2,
        units=3,
        labels=("neg", "pos"),
        class_counts=(9, 4),
    )
    random = np.random.default_rng(0)
    arrays = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in shapes_of(config).items()
    }
    return Version(config, Vocabulary(["the", "l\u2019eau", "\ud800"]), Weights(**arrays))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_version(a_version(), tmp_path)
    return tmp_path


def damage_of(folder: Path) -> str:
    with pytest.raises(ArtifactDamaged) as damaged:
        read_version(folder)
    return str(damaged.value)


def test_a_version_is_read_as_it_was_written(folder: Path):
    written = a_version()

    read = read_version(folder)

    assert read.config == written.config
    assert read.vocabulary.words == written.vocabulary.words
    for name, array in written.weights.arrays().items():
        assert getattr(read.weights, name).tobytes() == array.tobytes()


def test_all_that_a_version_can_be_is_read_as_it_was_written(tmp_path: Path):
    config = VersionConfig(
        tokenizer="unicode-1",
        vocabulary_size=7,
        lstm_vocabulary_size=6,
        max_tokens=4,
        padding="masked",
        embedding_dim=2,
        units=3,
        bidirectional=True,
        pooling="mean_max",
        labels=("a", "b", "c"),
        class_counts=(5, 1, 2),
    )
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes_of(config).items()}
    written = Version(config, Vocabulary(["the", "."], "unicode-1"), Weights(**arrays))
    write_version(written, tmp_path)

    read = read_version(tmp_path)

    assert read.config == config
    assert read.vocabulary.encode_all(["The."], max_tokens=4)[0].ids.tolist() == [1, 4, 5]
    assert {name: array.shape for name, array in read.weights.arrays().items()} == {
        "embedding": (6, 2),
        "kernel": (2, 12),
        "recurrent_kernel": (3, 12),
        "bias": (12,),
        "output_kernel": (12, 3),
        "output_bias": (3,),
        "backward_kernel": (2, 12),
        "backward_recurrent_kernel": (3, 12),
        "backward_bias": (12,),
    }


def test_a_version_of_a_later_format_names_both_formats_and_what_to_do(folder: Path):
    (folder / "config.json").write_text('{"format": 3, "layers": ["transformer"]}')

    assert damage_of(folder) == (
        "config.json has format 3, and this seqd reads format 2. A later seqd trained the "
        "version: install that one here, or serve another version."
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": ["neg", "neg"]}, "a class stands in labels twice"),
        ({"labels": ["neg"]}, "at least 2 items"),
        ({"class_counts": [1]}, "class_counts has not one number for each of labels"),
        ({"lstm_vocabulary_size": 8}, "lstm_vocabulary_size is greater than vocabulary_size"),
        ({"format": 1}, "Input should be 2"),
        ({"tokenizer": "another"}, "'keras-legacy-1' or 'unicode-1'"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(folder: Path, change, reason: str):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))

    assert reason in damage_of(folder)


def test_the_files_of_a_version_are_safetensors_and_json(folder: Path):
    assert sorted(file.name for file in folder.iterdir()) == (
        ["config.json", "vocabulary.json", "weights.safetensors"]
    )
    assert json.loads((folder / "vocabulary.json").read_text())[:2] == ["the", "l\u2019eau"]


def test_all_files_of_a_version_can_be_read_by_the_same_people(folder: Path):
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1


def test_an_array_of_another_shape_is_named_with_both_shapes(folder: Path):
    wrong = replace(a_version().weights, bias=np.zeros(8, dtype=np.float32))
    save_file(wrong.arrays(), folder / "weights.safetensors")

    assert damage_of(folder) == (
        "weights.safetensors of this imdb_lstm version cannot be used: bias is float32 of shape "
        f"(8,), and config.json asks for float32 of shape (12,). {MEND}"
    )


def test_an_array_of_another_type_is_refused(folder: Path):
    wrong = replace(a_version().weights, bias=np.zeros(12, dtype=np.float64))
    save_file(wrong.arrays(), folder / "weights.safetensors")

    assert "bias is float64 of shape (12,)" in damage_of(folder)


def test_a_missing_array_is_named(folder: Path):
    arrays = a_version().weights.arrays()
    del arrays["kernel"]
    save_file(arrays, folder / "weights.safetensors")

    assert damage_of(folder) == (
        "weights.safetensors of this imdb_lstm version cannot be used: it holds the arrays bias, "
        "embedding, output_bias, output_kernel, recurrent_kernel; needed are bias, embedding, "
        f"kernel, output_bias, output_kernel, recurrent_kernel. {MEND}"
    )


def test_weights_that_are_not_numbers_are_refused(folder: Path):
    wrong = replace(a_version().weights, output_bias=np.array([np.nan], dtype=np.float32))
    save_file(wrong.arrays(), folder / "weights.safetensors")

    assert "output_bias holds numbers that are not finite" in damage_of(folder)


def test_a_vocabulary_beyond_the_table_is_refused(folder: Path):
    (folder / "vocabulary.json").write_text('["a", "b", "c", "d"]')

    assert damage_of(folder) == (
        "vocabulary.json of this imdb_lstm version cannot be used: its last word has the id 7, "
        f"and config.json allows ids below 7. {MEND}"
    )


def test_a_word_that_stands_twice_is_refused(folder: Path):
    (folder / "vocabulary.json").write_text('["a", "a"]')

    assert (
        "vocabulary.json of this imdb_lstm version cannot be used: a word stands in it twice"
        in (damage_of(folder))
    )


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("config.json", "config.json cannot be used: "),
        ("vocabulary.json", "vocabulary.json of this imdb_lstm version cannot be used: "),
        ("weights.safetensors", "weights.safetensors cannot be read: "),
    ],
)
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b'{"format": 2}', None])
def test_a_file_that_is_broken_or_missing_is_named(
    folder: Path, file: str, said: str, content: bytes | None
):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)

    assert damage_of(folder).startswith(said)


def test_inspecting_shows_sizes_shapes_and_frequent_words(folder: Path):
    sizes, classes, weights, frequent = inspect_version(folder, focus=None)

    assert ("classes", 2) in sizes.rows
    assert ("known words", 3) in sizes.rows
    assert ("tokenizer", "keras-legacy-1") in sizes.rows
    assert classes.columns == ("number", "class", "reviews trained on")
    assert classes.rows == ((0, "neg", 9), (1, "pos", 4))
    assert [row[:3] for row in weights.rows][1] == ("kernel", "2 × 12", 24)
    assert frequent.rows[0] == (1, "the")


def test_a_version_that_other_libraries_have_trained_loads_as_it_is(tmp_path: Path):
    starter = ImdbLstm().starter
    assert starter is not None
    folder = Path(shutil.copytree(starter, tmp_path / "0"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["libraries"] = {"keras": "99.1", "numpy": "7.0", "torch": "8.2"}
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text(json.dumps(manifest))

    loaded = ImdbLstm().load(open_folder(folder, "imdb_lstm", 0), CPU)
    outcomes = loaded.classify(
        [WorkItem(0, "A wonderful film.")], ClassifyParameters(), MemoryRunContext()
    )

    assert [outcome.label for outcome in outcomes] == ["positive"]


def test_inspecting_with_a_focus_looks_its_words_up(folder: Path):
    (found,) = inspect_version(folder, focus="The film")

    assert found.columns == ("word", "rank")
    assert found.rows == (("the", 1), ("film", "not known"))

"""A version's files: written, read back, and refused when they do not fit together."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from seqd.errors import ArtifactDamaged
from seqd_imdb_lstm.inspection import inspect_version
from seqd_imdb_lstm.reviews import Vocabulary
from seqd_imdb_lstm.version import (
    Version,
    VersionConfig,
    Weights,
    read_version,
    shapes_of,
    write_version,
)

MEND = "Train the version again, or copy it again from where it came from."


def a_version() -> Version:
    config = VersionConfig(
        vocabulary_words=7, max_tokens=4, embedding_length=2, lstm_units=3, labels=("neg", "pos")
    )
    random = np.random.default_rng(0)
    arrays = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in shapes_of(config).items()
    }
    return Version(config, Vocabulary(["the", "l\u2019eau", "\ud800"]), Weights(**arrays))


def arrays_of(weights: Weights) -> dict[str, np.ndarray]:
    return {part.name: getattr(weights, part.name) for part in fields(Weights)}


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
    for name, array in arrays_of(written.weights).items():
        assert getattr(read.weights, name).tobytes() == array.tobytes()


def test_the_files_of_a_version_are_safetensors_and_json(folder: Path):
    assert sorted(file.name for file in folder.iterdir()) == (
        ["config.json", "vocabulary.json", "weights.safetensors"]
    )
    assert json.loads((folder / "vocabulary.json").read_text())[:2] == ["the", "l\u2019eau"]


def test_all_files_of_a_version_can_be_read_by_the_same_people(folder: Path):
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1


def test_an_array_of_another_shape_is_named_with_both_shapes(folder: Path):
    wrong = replace(a_version().weights, bias=np.zeros(8, dtype=np.float32))
    save_file(arrays_of(wrong), folder / "weights.safetensors")

    assert damage_of(folder) == (
        "weights.safetensors of this imdb_lstm version cannot be used: bias is float32 of shape "
        f"(8,), and config.json asks for float32 of shape (12,). {MEND}"
    )


def test_an_array_of_another_type_is_refused(folder: Path):
    wrong = replace(a_version().weights, bias=np.zeros(12, dtype=np.float64))
    save_file(arrays_of(wrong), folder / "weights.safetensors")

    assert "bias is float64 of shape (12,)" in damage_of(folder)


def test_a_missing_array_is_named(folder: Path):
    arrays = arrays_of(a_version().weights)
    del arrays["kernel"]
    save_file(arrays, folder / "weights.safetensors")

    assert damage_of(folder) == (
        "weights.safetensors of this imdb_lstm version cannot be used: it holds the arrays bias, "
        "embedding, output_bias, output_kernel, recurrent_kernel; needed are bias, embedding, "
        f"kernel, output_bias, output_kernel, recurrent_kernel. {MEND}"
    )


def test_weights_that_are_not_numbers_are_refused(folder: Path):
    wrong = replace(a_version().weights, output_bias=np.array([np.nan], dtype=np.float32))
    save_file(arrays_of(wrong), folder / "weights.safetensors")

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


@pytest.mark.parametrize("file", ["config.json", "vocabulary.json", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b'{"format": 2}', None])
def test_a_file_that_is_broken_or_missing_is_named(folder: Path, file: str, content: bytes | None):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)

    assert damage_of(folder).startswith(f"{file} of this imdb_lstm version cannot be used: ")


def test_inspecting_shows_sizes_shapes_and_frequent_words(folder: Path):
    sizes, weights, frequent = inspect_version(folder, focus=None)

    assert ("classes", "neg (0), pos (1)") in sizes.rows
    assert ("known words", 3) in sizes.rows
    assert [row[:3] for row in weights.rows][1] == ("kernel", "2 × 12", 24)
    assert frequent.rows[0] == (1, "the")


def test_inspecting_with_a_focus_looks_its_words_up(folder: Path):
    (found,) = inspect_version(folder, focus="The film")

    assert found.columns == ("word", "rank")
    assert found.rows == (("the", 1), ("film", "not known"))

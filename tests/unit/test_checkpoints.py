"""Checkpoints as bytes and on disk: exact, whole or not at all, and refused when damaged."""

import json

import numpy as np
import pytest

from seqd.errors import CheckpointDamaged, PluginFault, StoreUnwritable
from seqd.models.checkpoints import CheckpointFolder, decode, encode
from seqd_schemas import EpochMetrics

ARRAYS = {
    "step": np.array(7, dtype=np.int64),
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "seen": np.array([True, False]),
}
PROGRESS = {"epoch": 2, "loss": 0.1 + 0.2, "figures": {"accuracy": 1 / 3}}

EPOCHS = (EpochMetrics(epoch=1, seconds=0.1 + 0.2, metrics={"loss": 1 / 3}),)


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path, "job")


def saved(folder, name="1", arrays=ARRAYS, progress=PROGRESS):
    content = encode(arrays, progress, "d" * 64, EPOCHS)
    folder.write(name, content)
    return content.sha256


def test_a_checkpoint_comes_back_as_it_was_saved(folder):
    sha256 = saved(folder)

    checkpoint, state = folder.read("1", sha256)

    assert checkpoint.progress == PROGRESS
    assert checkpoint.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        found = checkpoint.arrays[name]
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert (found == array).all()
    assert state.data_sha256 == "d" * 64
    assert state.epochs == EPOCHS


@pytest.mark.parametrize(
    ("arrays", "progress", "message"),
    [
        ({}, {"loss": float("nan")}, "a checkpoint's progress is not JSON: Out of range float"),
        ({}, {"loss": np.float32(1)}, "a checkpoint's progress is not JSON: Object of type"),
        ({}, {"text": "x" * 300_000}, "takes 300,0.. bytes as JSON; allowed are 262,144"),
        ({"a": np.array(["text"])}, {}, "a checkpoint has the array 'a' as <U4; allowed: "),
        ({"a": np.array([object()])}, {}, "a checkpoint has the array 'a' as object; allowed: "),
    ],
)
def test_what_cannot_be_kept_exactly_is_refused(arrays, progress, message):
    with pytest.raises(PluginFault, match=message):
        encode(arrays, progress)


def damage_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-1])


def make_longer(path):
    path.write_bytes(path.read_bytes() + b" ")


def put_a_link_in_its_place(path):
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("file", ["checkpoint.json", "arrays.safetensors"])
@pytest.mark.parametrize(
    "change",
    [damage_byte, cut_off, make_longer, put_a_link_in_its_place, lambda path: path.unlink()],
)
def test_a_file_that_was_touched_is_refused_by_name(folder, tmp_path, file, change):
    sha256 = saved(folder)
    path = tmp_path / "checkpoints" / "job" / "1" / file
    change(path)

    with pytest.raises(CheckpointDamaged) as raised:
        folder.read("1", sha256)

    assert str(raised.value).startswith(str(path))


def test_a_checkpoint_of_an_unknown_format_is_damaged_and_says_where():
    content = encode({}, {})
    state = json.loads(content.state) | {"format": 2}

    with pytest.raises(CheckpointDamaged, match=r"^checkpoint\.json is not one: format: Input sh"):
        decode(type(content)(json.dumps(state).encode(), None))


def test_what_is_removed_is_what_was_named_half_written_ones_too(folder, tmp_path):
    for name in ("1", "2", "3"):
        saved(folder, name)
    (tmp_path / "checkpoints" / "job" / ".aside-killed").mkdir()

    names = folder.names()
    folder.remove(["1", ".aside-killed", "gone already"])

    assert names == {"1", "2", "3", ".aside-killed"}
    assert folder.names() == {"2", "3"}

    # Of a training that another worker has brought to its end meanwhile.
    folder.remove_all()
    with pytest.raises(
        StoreUnwritable, match=r"a training cannot write .*/checkpoints/job: No such"
    ):
        folder.names()

"""Arrays of a version: they come back as they were, however they lay in memory, or not at all."""

import numpy as np
import pytest

from seqd.errors import ArtifactDamaged, PluginFault
from seqd.plugin import load_arrays, save_arrays

ROWS = np.arange(6, dtype=np.float64).reshape(2, 3)


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(ROWS),
        ROWS.T,
        ROWS[:, ::2],
        np.broadcast_to(np.float32(0.5), (2, 2)),
        np.array(7, np.int16),
        np.zeros((0, 3), np.float16),
        np.array([True, False]),
    ],
    ids=["by columns", "transposed", "every second", "broadcast", "one number", "none", "booleans"],
)
def test_an_array_comes_back_as_it_was_however_it_lay_in_memory(array, tmp_path):
    save_arrays(tmp_path / "a.safetensors", {"weights": array})

    (loaded,) = load_arrays(tmp_path / "a.safetensors", {"weights": array.shape}).values()

    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize("wrong", [np.array(["a"]), np.array([None]), np.array([1j])])
def test_what_is_no_array_of_numbers_is_refused_with_its_name(wrong, tmp_path):
    with pytest.raises(PluginFault, match=r"^save_arrays is given 'words' as .*; allowed: "):
        save_arrays(tmp_path / "a.safetensors", {"words": wrong})

    assert list(tmp_path.iterdir()) == []


def test_other_names_or_shapes_than_are_due_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_arrays(path, {"weights": ROWS})

    for due in ({"weights": (3, 2)}, {"bias": (2, 3)}, {"weights": (2, 3), "bias": (3,)}):
        with pytest.raises(ArtifactDamaged, match=r"^a\.safetensors has arrays of the shapes "):
            load_arrays(path, due)


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 64])
def test_a_file_that_holds_none_is_damaged(content, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(content)

    with pytest.raises(ArtifactDamaged, match=r"^a\.safetensors cannot be read: "):
        load_arrays(tmp_path / "a.safetensors")

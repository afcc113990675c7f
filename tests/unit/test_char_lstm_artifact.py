"""A version on disk, and what the plugin says of itself without Keras."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from char_lstm_builders import a_config, some_weights
from seqd.errors import ArtifactDamaged
from seqd_char_lstm import seqd_register_models
from seqd_char_lstm.artifact import load, save


@pytest.fixture
def folder(tmp_path):
    config = a_config()
    save(tmp_path, config, some_weights(len(config.alphabet), config.units))
    return tmp_path


def test_a_version_saved_and_loaded_is_the_same(folder):
    config, weights = load(folder)

    assert config == a_config()
    expected = some_weights(6, 16)
    assert all(np.array_equal(vars(weights)[name], array) for name, array in vars(expected).items())


def test_both_files_have_the_permissions_of_a_file_made_by_the_user(folder, tmp_path):
    (tmp_path / "plain").write_bytes(b"")

    modes = {path.stat().st_mode for path in folder.iterdir()}

    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_the_config_is_ascii_whatever_the_alphabet(tmp_path):
    config = a_config(alphabet=" .abcdé日", lead_in="日 cab. d")

    save(tmp_path, config, some_weights(8, 16))

    assert (tmp_path / "config.json").read_bytes().isascii()
    assert load(tmp_path)[0] == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "Input should be 1"),
        ({"alphabet": "ba .cd"}, "the alphabet is not in order, or has a character twice"),
        ({"lead_in": "a cab"}, "lead_in has 5 characters, not 8"),
        ({"lead_in": "a zebra."}, "lead_in has characters that the alphabet lacks"),
        ({"layers": 2}, "Extra inputs are not permitted"),
    ],
)
def test_a_config_that_does_not_fit_together_is_a_damaged_artifact(folder, changes, message):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    with pytest.raises(ArtifactDamaged, match=message):
        load(folder)


def test_another_shape_is_a_damaged_artifact(folder):
    path = folder / "weights.safetensors"
    save_file(load_file(path) | {"dense": np.zeros((16, 7), np.float32)}, path)

    with pytest.raises(ArtifactDamaged) as raised:
        load(folder)

    assert str(raised.value) == (
        "weights.safetensors: 'dense' is float32 of shape (16, 7); config.json asks for float32 of "
        "shape (16, 6)."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"more": np.zeros(1, np.float32)}, "has the tensors"),
        ({"bias": np.zeros(64, np.float64)}, r"'bias' is float64 of shape \(64,\)"),
        ({"bias": np.full(64, np.nan, np.float32)}, "'bias' has values that are not finite"),
    ],
)
def test_tensors_that_cannot_be_used_are_a_damaged_artifact(folder, changes, message):
    path = folder / "weights.safetensors"
    save_file(load_file(path) | changes, path)

    with pytest.raises(ArtifactDamaged, match=message):
        load(folder)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_file_cut_short_is_a_damaged_artifact(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])

    with pytest.raises(ArtifactDamaged, match=name):
        load(folder)


def test_the_plugin_brings_one_model_whose_defaults_are_the_tutorials():
    (model,) = seqd_register_models()

    parameters = model.tasks["train"].parameters
    assert model.name == "char_lstm"
    assert parameters(**model.presets["tutorial"]) == parameters()


def test_describing_and_loading_the_plugin_imports_no_keras(folder):
    code = (
        "import sys, pathlib, seqd_char_lstm as plugin\n"
        "from seqd.hookspecs import Artifact, Device\n"
        "(model,) = plugin.seqd_register_models()\n"
        "described = {'keras', 'tensorflow', 'safetensors', 'celery', 'redis'} & set(sys.modules)\n"
        "artifact = Artifact(pathlib.Path(sys.argv[1]), None)\n"
        "model.load(artifact, Device('cpu:0', 'cpu')).warm_up()\n"
        "print(sorted(described), sorted({'keras', 'tensorflow'} & set(sys.modules)))\n"
    )

    told = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )

    assert told.stdout.strip() == "[] []"

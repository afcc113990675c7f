"""A version on disk, and what the plugin says of itself without Keras."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from safetensors.numpy import save as to_bytes

from char_lstm_builders import a_config, a_stream_config, a_version, some_ngrams
from seqd.errors import ArtifactDamaged
from seqd_char_lstm import seqd_register_models
from seqd_char_lstm.artifact import load, named, save

VERSIONS = {
    "a window": a_version(),
    "a stream": a_version(a_stream_config(layers=3)),
    "one-hot": a_version(a_stream_config(layers=1, embedding_dim=0)),
    "n-grams": a_version(a_stream_config(ngram_share=0.2)),
}


def saved(folder, version, **how):
    save(folder, version.config, version.weights, version.ngrams, **how)
    return folder


@pytest.fixture
def folder(tmp_path):
    return saved(tmp_path, VERSIONS["n-grams"])


def assert_same_weights(weights, expected):
    assert list(named(weights)) == list(named(expected))
    for name, tensor in named(expected).items():
        assert named(weights)[name].dtype == np.float32
        assert np.array_equal(named(weights)[name], tensor)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_version_saved_and_loaded_is_the_same(tmp_path, version):
    loaded = load(saved(tmp_path, version))

    assert loaded.config == version.config
    assert_same_weights(loaded.weights, version.weights)
    assert (loaded.ngrams is None) == (version.ngrams is None)
    if loaded.ngrams is not None and version.ngrams is not None:
        states = np.arange(version.ngrams.states)
        assert np.array_equal(
            loaded.ngrams.probabilities(states), version.ngrams.probabilities(states)
        )


def test_a_version_saved_in_half_takes_half_and_is_float32_in_memory(tmp_path):
    version = a_version(a_stream_config(units=100))
    whole = (saved(tmp_path, version) / "weights.safetensors").stat().st_size

    loaded = load(saved(tmp_path, version, half=True))

    assert (tmp_path / "weights.safetensors").stat().st_size < 0.55 * whole
    for name, tensor in named(version.weights).items():
        assert named(loaded.weights)[name].dtype == np.float32
        assert np.array_equal(named(loaded.weights)[name], tensor.astype(np.float16))


def test_all_files_have_the_permissions_of_a_file_made_by_the_user(folder, tmp_path):
    (tmp_path / "plain").write_bytes(b"")

    modes = {path.stat().st_mode for path in folder.iterdir()}

    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_the_config_is_ascii_whatever_the_alphabet(tmp_path):
    version = a_version(a_config(alphabet=" .abcdé日", lead_in="日 cab. d"))

    saved(tmp_path, version)

    assert (tmp_path / "config.json").read_bytes().isascii()
    assert load(tmp_path).config == version.config


def with_changed_config(folder, changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 1}, "Input should be 2"),
        ({"format": 3}, "config.json has format 3, and this seqd reads format 2"),
        ({"reads": "pages"}, "Input should be 'window' or 'stream'"),
        ({"alphabet": "ba .cd"}, "the alphabet is not in order, or has a character twice"),
        ({"lead_in": "a cab"}, "lead_in has 5 characters, not 8"),
        ({"lead_in": "a zebra."}, "lead_in has characters that the alphabet lacks"),
        ({"window": None}, "a version that reads windows says of how many characters"),
        ({"layers": 2}, "has one layer, no embedding and no n-grams"),
        ({"embedding_dim": 8}, "has one layer, no embedding and no n-grams"),
        ({"ngram_share": 0.1}, "has one layer, no embedding and no n-grams"),
        ({"units": 0}, "greater than or equal to 1"),
        ({"units": 1_025}, "less than or equal to 1024"),
    ],
)
def test_a_config_of_windows_that_does_not_fit_together_is_damaged(tmp_path, changes, message):
    saved(tmp_path, VERSIONS["a window"])

    with pytest.raises(ArtifactDamaged, match=message):
        load(with_changed_config(tmp_path, changes))


def test_a_field_of_a_config_that_a_later_seqd_added_is_ignored(tmp_path):
    saved(tmp_path, VERSIONS["a window"])

    changed = load(with_changed_config(tmp_path, {"added_later": 2}))

    assert changed.config == load(tmp_path).config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 8}, "a version that reads a stream has no window"),
        ({"lead_in": ""}, "at least 1 character"),
        ({"layers": 5}, "less than or equal to 4"),
        ({"ngram_share": 1.0}, "less than or equal to 0.99"),
        ({"ngram_share": float("nan")}, "finite number"),
    ],
)
def test_a_config_of_a_stream_that_does_not_fit_together_is_damaged(folder, changes, message):
    with pytest.raises(ArtifactDamaged, match=message):
        load(with_changed_config(folder, changes))


def with_changed_tensors(folder, name, changes):
    tensors = load_file(folder / name) | changes
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, folder / name)
    return folder


def test_another_shape_is_a_damaged_artifact(folder):
    with_changed_tensors(folder, "weights.safetensors", {"dense": np.zeros((16, 7), np.float32)})

    with pytest.raises(ArtifactDamaged) as raised:
        load(folder)

    assert str(raised.value) == (
        "weights.safetensors: 'dense' is float32 of shape (16, 7); config.json asks for float32 or "
        "float16 of shape (16, 6). Train the model again or restore the file."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"more": np.zeros(1, np.float32)}, "has the tensors"),
        ({"embedding": None}, "has the tensors"),
        ({"layer_1.bias": np.zeros(64, np.float64)}, r"'layer_1.bias' is float64 of shape \(64,\)"),
        ({"layer_1.bias": np.zeros(64, np.int32)}, "'layer_1.bias' is int32"),
        (
            {"layer_0.bias": np.full(64, np.nan, np.float32)},
            "'layer_0.bias' has values that are no",
        ),
        ({"layer_0.bias": np.full(64, -7e4, np.float32)}, "no numbers, or beyond ±65,504"),
        ({"dense_bias": np.full(6, np.inf, np.float16)}, "'dense_bias' has values that are no"),
    ],
)
def test_tensors_that_cannot_be_used_are_a_damaged_artifact(folder, changes, message):
    with_changed_tensors(folder, "weights.safetensors", changes)

    with pytest.raises(ArtifactDamaged, match=message):
        load(folder)


def test_n_grams_that_cannot_be_used_are_a_damaged_artifact(folder):
    with_changed_tensors(folder, "ngrams.safetensors", {"ngram_smoothing": None})

    with pytest.raises(ArtifactDamaged, match="'ngram_smoothing' is missing"):
        load(folder)


def test_n_grams_of_another_alphabet_are_a_damaged_artifact(folder):
    (folder / "ngrams.safetensors").write_bytes(to_bytes(some_ngrams(symbols=7).arrays()))

    with pytest.raises(ArtifactDamaged) as raised:
        load(folder)

    assert str(raised.value) == (
        "ngrams.safetensors is about 7 characters; the alphabet of config.json has 6. Train the "
        "model again or restore the file."
    )


def test_a_missing_file_is_a_damaged_artifact(folder):
    (folder / "ngrams.safetensors").unlink()

    with pytest.raises(ArtifactDamaged, match=r"ngrams\.safetensors cannot be read"):
        load(folder)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "ngrams.safetensors"])
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

"""Weights whose header lies, under a manifest that says that they are right: never loaded.

Whoever can write into the store can write the manifest too, so the digests prove nothing here;
the plugins' own checks have to.
"""

import hashlib
import json
import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import strategies as st

from char_lstm_builders import STREAM, write_version
from hostile_cases import hostile
from markov_builders import MARKOV, trained
from seqd.errors import ArtifactDamaged
from seqd.hookspecs import Model, WorkItem
from seqd.models.registry import Registry
from seqd.models.version_files import open_folder
from seqd.settings import Settings
from seqd.testing import CPU, MemoryRunContext
from seqd_char_lstm import CharLstm
from seqd_schemas import Generation


def lying(content: bytes, **changes: object) -> bytes:
    """The same file, its header saying something else of every tensor."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    for name, tensor in header.items():
        if name != "__metadata__":
            tensor.update(changes)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


LIES = {
    "huge shapes": lambda content: lying(content, shape=[2**40, 2**20]),
    "huge shapes and offsets": lambda content: lying(
        content, shape=[2**40, 2**19], data_offsets=[0, 2**61]
    ),
    "offsets behind the end": lambda content: lying(content, data_offsets=[2**60, 2**61]),
    "another type": lambda content: lying(content, dtype="BOOL"),
    "a header that is no end": lambda content: struct.pack("<Q", 2**62) + b"{}",
    "a header that is cut": lambda content: content[:20],
    "a pickle": lambda content: b"\x80\x04\x95" + content,
    "nothing": lambda content: b"",
}


def put_into(folder: Path, files: dict[str, bytes]) -> None:
    """Replace files of a version, and what its manifest says of them."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, content in files.items():
        if (folder / name).exists():
            (folder / name).chmod(0o644)
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"sha256": digest, "size_bytes": len(content)}
    path.chmod(0o644)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("name", ["imdb_lstm", "markov"])  # and char_lstm, below
def test_weights_that_lie_are_damage(tmp_path: Path, name: str, lie):
    model = Registry.load(Settings()).models[name]
    assert model.starter is not None
    folder = Path(shutil.copytree(model.starter, tmp_path / "0"))
    weights = max(folder.glob("*.safetensors"), key=lambda path: path.stat().st_size)
    put_into(folder, {weights.name: lie(weights.read_bytes())})

    with pytest.raises(ArtifactDamaged) as raised:
        model.load(open_folder(folder, name, 0), CPU)

    assert weights.name in str(raised.value)
    assert "rain the " in str(raised.value)


@pytest.fixture
def stream_folder(tmp_path: Path) -> Path:
    """A `char_lstm` version that carries its state and mixes contexts."""
    starter = Registry.load(Settings()).models["char_lstm"].starter
    assert starter is not None
    folder = Path(shutil.copytree(starter, tmp_path / "0"))
    made = write_version(tmp_path / "made", STREAM | {"mixes": True})
    put_into(folder, {path.name: path.read_bytes() for path in made.folder.iterdir()})
    return folder


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("name", ["weights.safetensors", "mixture.safetensors"])
def test_either_file_of_a_mixture_that_lies_is_damage(stream_folder: Path, name: str, lie):
    put_into(stream_folder, {name: lie((stream_folder / name).read_bytes())})

    with pytest.raises(ArtifactDamaged) as raised:
        CharLstm().load(open_folder(stream_folder, "char_lstm", 0), CPU)

    assert name in str(raised.value)
    assert "rain the " in str(raised.value)


@pytest.fixture
def mixing_folder(tmp_path: Path) -> Path:
    """A `markov` version that mixes contexts."""
    return trained(tmp_path / "1", smoothing="mixing").folder


@pytest.mark.parametrize("model", [CharLstm(), MARKOV], ids=lambda model: model.name)
@hostile(
    number=st.integers(0, 2),
    place=st.floats(0.0, 1.0, exclude_max=True),
    change=st.integers(1, 255),
)
def test_a_version_with_any_byte_changed_is_damage_or_writes_text(
    stream_folder: Path, mixing_folder: Path, model: Model, number: int, place: float, change: int
):
    folder = stream_folder if model.name == "char_lstm" else mixing_folder
    files = sorted(path.name for path in folder.iterdir() if path.name != "manifest.json")
    name = files[number % len(files)]
    sound = (folder / name).read_bytes()
    content = bytearray(sound)
    content[int(place * len(content))] ^= change
    put_into(folder, {name: bytes(content)})

    try:
        loaded = model.load(open_folder(folder, model.name, int(folder.name)), CPU)
    except ArtifactDamaged as error:
        assert "rain the " in str(error)
    else:
        parameters = model.tasks["generate"].parameters(length=9, temperature=[0.0, 1.0])
        (outcome,) = loaded.generate([WorkItem(0, "bad")], parameters, MemoryRunContext())
        assert isinstance(outcome, Generation)
        assert [len(sample.text) for sample in outcome.samples] == [9, 9]
    finally:
        put_into(folder, {name: sound})

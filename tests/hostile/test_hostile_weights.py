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

from seqd.errors import ArtifactDamaged
from seqd.registry import Registry
from seqd.settings import Settings
from seqd.store import open_folder
from seqd.testing import CPU


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


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("name", ["imdb_lstm", "char_lstm", "markov"])
def test_weights_that_lie_are_damage(tmp_path: Path, name: str, lie):
    model = Registry.load(Settings()).models[name]
    assert model.starter is not None
    folder = Path(shutil.copytree(model.starter, tmp_path / "0"))
    (weights,) = folder.glob("*.safetensors")
    content = lie(weights.read_bytes())
    weights.chmod(0o644)
    weights.write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256(content).hexdigest()
    manifest["files"][weights.name] = {"sha256": digest, "size_bytes": len(content)}
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(ArtifactDamaged) as raised:
        model.load(open_folder(folder, name, 0), CPU)

    assert weights.name in str(raised.value)
    assert "rain the " in str(raised.value)

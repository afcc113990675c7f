"""The network, a version's files, and a version in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from seqd.hookspecs import Device
from seqd_modelkit.artifacts import ArtifactConfig, check_weights, read_tensors, write_tensors
from seqd_modelkit.text_classifier import TextClassifier
from seqd_modelkit.torch_state import ModuleState
from seqd_modelkit.training import Weights
from seqd_modelkit.words import PAD_ID, Ids, WordVocabulary, padded

WEIGHTS_FILE: Final = "weights.safetensors"

#: Words that a filter reads, of each kind of filter (Kim 2014, arXiv 1408.5882).
WIDTHS: Final = (3, 4, 5)

#: Bytes of a word of the vocabulary: a str and an entry in a dict.
_BYTES_PER_WORD: Final = 150


class TextCnnConfig(ArtifactConfig):
    """What a version says of itself in `config.json`."""

    FORMAT: ClassVar[int] = 1

    format: Literal[1] = 1
    labels: tuple[str, ...] = Field(min_length=2)
    words: tuple[str, ...]
    max_tokens: int = Field(ge=1)
    embedding_dim: int = Field(ge=1)
    filters: int = Field(ge=1)


class Network(torch.nn.Module):
    """Embedding, convolutions over 3, 4 and 5 words, maximum over the text, and a linear layer."""

    def __init__(self, config: TextCnnConfig, dropout: float = 0.0) -> None:
        """Draw the first weights from torch's generator."""
        super().__init__()
        self.embedding = torch.nn.Embedding(
            len(config.words) + 2, config.embedding_dim, padding_idx=PAD_ID
        )
        # Of torch's own, with deviation 1, the network learns several times as slowly.
        torch.nn.init.normal_(self.embedding.weight[PAD_ID + 1 :], std=0.1)
        self.convolutions = torch.nn.ModuleList(
            torch.nn.Conv1d(config.embedding_dim, config.filters, width, padding=width)
            for width in WIDTHS
        )
        self.dropout = torch.nn.Dropout(dropout)
        self.output = torch.nn.Linear(len(WIDTHS) * config.filters, len(config.labels))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, classes) of ids (batch, tokens), padded behind.

        Each text has windows of pads alone at its ends, by the padding of the convolutions: so the
        maximum does not depend on how far a text is padded.
        """
        x = self.embedding(ids).transpose(1, 2)  # (batch, embedding, tokens)
        x = torch.cat([one(x).relu().amax(dim=2) for one in self.convolutions], dim=1)
        logits: torch.Tensor = self.output(self.dropout(x))
        return logits


def write_version(config: TextCnnConfig, weights: Weights, folder: Path) -> None:
    """Write a version's files; `weights` by their names in the module."""
    config.write(folder)
    write_tensors(folder / WEIGHTS_FILE, weights)


def torch_device(device: Device) -> torch.device:
    """Return where torch computes on a slot."""
    return torch.device("cuda:0" if device.kind == "gpu" else "cpu")


class LoadedTextCnn(TextClassifier):
    """A version in memory."""

    def __init__(self, config: TextCnnConfig, network: Network, device: torch.device) -> None:
        """`network` has the version's weights, and is on the `device`."""
        super().__init__(config.labels)
        self._vocabulary = WordVocabulary(config.words)
        self._max_tokens = config.max_tokens
        self._network = network.eval()
        self._device = device
        numbers = sum(parameter.numel() for parameter in network.parameters())
        self.memory_bytes = 4 * numbers + _BYTES_PER_WORD * len(config.words)

    @classmethod
    def read(cls, folder: Path, device: Device) -> "LoadedTextCnn":
        """Return the version of a folder; raise ArtifactDamaged."""
        config = TextCnnConfig.read(folder)
        network = Network(config)
        module = ModuleState(network)
        shapes = {name: array.shape for name, array in module.state().items()}
        tensors = read_tensors(folder / WEIGHTS_FILE)
        module.restore(check_weights(tensors, shapes, WEIGHTS_FILE, 1e4))
        return cls(config, network.to(torch_device(device)), torch_device(device))

    def cost_tokens(self, text: str) -> int:
        """Return the tokens of what is read of a text."""
        return min(1 + len(text) // 5, self._max_tokens)

    def is_truncated(self, text: str) -> bool:
        """Return whether a text has more words than are read."""
        return len(self._vocabulary.encode(text, self._max_tokens + 1)) > self._max_tokens

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.floating]:
        """Return (texts, classes)."""
        rows = [self._vocabulary.encode(text, self._max_tokens) for text in texts]
        return predicted(self._network, padded(rows, self._max_tokens), self._device)


def predicted(network: Network, ids: Ids, device: torch.device) -> npt.NDArray[np.floating]:
    """Return the probabilities (batch, classes) of ids (batch, tokens)."""
    with torch.inference_mode():
        logits = network(torch.from_numpy(ids).to(device))
        probabilities: npt.NDArray[np.floating] = torch.softmax(logits, dim=1).cpu().numpy()
        return probabilities

"""Trains a version: `TextCnnTask` has a step and a validation, the model kit has the rest."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch

from seqd.hookspecs import TrainContext, TrainedModel
from seqd_modelkit.labelled_texts import (
    Indices,
    TextSplit,
    read_labelled_texts,
    validation_metrics,
)
from seqd_modelkit.minibatch_task import MiniBatchTask
from seqd_modelkit.torch_state import ModuleState, OptimizerState
from seqd_modelkit.training import StepMetrics, TrainingLoop
from seqd_modelkit.words import WordVocabulary, padded
from seqd_textcnn import TrainParameters
from seqd_textcnn.network import (
    LoadedTextCnn,
    Network,
    TextCnnConfig,
    predicted,
    torch_device,
    write_version,
)


def train(parameters: TrainParameters, context: TrainContext) -> TrainedModel:
    """Train, write the version, and return the metrics of the epoch that is kept."""
    torch.manual_seed(parameters.seed)
    split = read_labelled_texts(
        context, validation_split=parameters.validation_split, seed=parameters.seed
    )
    vocabulary = WordVocabulary.of_texts(split.training.texts, parameters.vocabulary_size)
    config = TextCnnConfig(
        labels=split.labels,
        words=vocabulary.words,
        max_tokens=parameters.max_tokens,
        embedding_dim=parameters.embedding_dim,
        filters=parameters.filters,
    )
    network = Network(config, parameters.dropout).to(torch_device(context.device))
    result = TrainingLoop(
        TextCnnTask(network, config, split, parameters, torch_device(context.device)),
        context,
        model="textcnn",
        epochs=parameters.epochs,
        learning_rate=parameters.learning_rate,
        patience=parameters.patience,
    ).run()
    write_version(config, result.weights, context.folder)
    ModuleState(network).restore(result.weights)  # those of the best epoch
    in_memory = LoadedTextCnn(config, network, torch_device(context.device))
    return TrainedModel(result.metrics, {"torch": str(torch.__version__)}, in_memory)


class TextCnnTask(MiniBatchTask):
    """A training of the network."""

    def __init__(
        self,
        network: Network,
        config: TextCnnConfig,
        split: TextSplit,
        parameters: TrainParameters,
        device: torch.device,
    ) -> None:
        """`network` is on the `device`, with its first weights."""
        self._network = network
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=parameters.learning_rate)
        self._device = device
        self._split = split
        self._seed = parameters.seed
        self._max_tokens = config.max_tokens
        vocabulary = WordVocabulary(config.words)
        self._rows = [vocabulary.encode(text, config.max_tokens) for text in split.training.texts]
        self._held_out = [
            vocabulary.encode(text, config.max_tokens) for text in split.validation.texts
        ]
        super().__init__(
            len(split.training),
            batch_size=parameters.batch_size,
            seed=parameters.seed,
            model="textcnn",
            weights=ModuleState(network),
            optimizer=OptimizerState(self._optimizer),
        )

    def step(self, batch: Indices, done: int, total: int) -> StepMetrics:
        """Learn from a batch."""
        torch.manual_seed(self._seed + done)  # dropout follows from the step's number
        ids = torch.from_numpy(padded([self._rows[at] for at in batch], self._max_tokens))
        targets = torch.from_numpy(self._split.training.targets[batch]).long().to(self._device)
        self._network.train()
        logits = self._network(ids.to(self._device))
        loss = torch.nn.functional.cross_entropy(logits, targets)
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), max_norm=1.0)
        self._optimizer.step()
        right = int((logits.argmax(dim=1) == targets).sum())
        return StepMetrics(len(batch), {"loss": loss.item() * len(batch), "accuracy": right})

    def validate(self, stop_requested: Callable[[], bool]) -> Mapping[str, float]:
        """Return loss and accuracy of the held-out texts; nothing without any."""
        self._network.eval()

        def probabilities(batch: Indices) -> npt.NDArray[np.floating]:
            ids = padded([self._held_out[at] for at in batch], self._max_tokens)
            return predicted(self._network, ids, self._device)

        return validation_metrics(probabilities, self._split.validation.targets, stop_requested)

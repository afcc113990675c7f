"""A plugin for seqd: classifies texts by a gated recurrent unit (Cho et al. 2014), in Keras."""

import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from seqd.hookspecs import hookimpl
from seqd.plugin import (
    BadItem,
    Device,
    Label,
    LabelledRecord,
    TrainContext,
    load_arrays,
    model,
    save_arrays,
)
from seqd_modelkit import accelerator
from seqd_modelkit import training_parameters as usual
from seqd_modelkit.keras_training import fit, seeded
from seqd_modelkit.labelled_texts import split_records
from seqd_modelkit.words import WordVocabulary


@model("gru", summary="Tells classes of text apart by a GRU.", libraries=["keras"], unit_items=256)
class Gru:
    """A network, and the words and classes that it knows."""

    def __init__(
        self, classes: list[str], words: list[str], max_tokens: int, units: int, dropout: float = 0
    ) -> None:
        import keras

        self.state = {"classes": classes, "words": words, "max_tokens": max_tokens, "units": units}
        self.classes, self.max_tokens = classes, max_tokens
        self.metrics = dict[str, float]()
        self.vocabulary = WordVocabulary(words)
        self.network = keras.Sequential(
            [
                keras.layers.Input((None,), dtype="int32"),
                keras.layers.Embedding(self.vocabulary.ids, units, mask_zero=True),
                keras.layers.GRU(units),
                keras.layers.Dropout(dropout),
                keras.layers.Dense(len(classes), activation="softmax"),
            ]
        )
        self.memory_bytes = 4 * self.network.count_params() + 150 * len(words)

    @classmethod
    def train(
        cls,
        records: list[LabelledRecord],
        context: TrainContext,
        held_out: list[LabelledRecord] | None = None,
        words: Annotated[int, Field(ge=1, le=200_000)] = 10_000,
        max_tokens: Annotated[int, Field(ge=1, le=2_000)] = 200,
        units: Annotated[int, Field(ge=1, le=1_024)] = 64,
        dropout: usual.Dropout = 0.3,
        batch_size: usual.BatchSize = 64,
        epochs: usual.Epochs = 4,
        learning_rate: usual.LearningRate = 0.002,
        patience: usual.Patience = 1,
        validation_split: usual.ValidationSplit = 0.1,
        seed: usual.Seed = 7,
    ) -> Self:
        """Learn by Adam.

        words: Words that the model knows: the most frequent ones.
        max_tokens: Words of a text that it reads: the first ones.
        units: Hidden units of the GRU, and the size of the embedding.
        """
        import keras

        split = split_records(records, held_out, validation_split=validation_split, seed=seed)
        vocabulary = WordVocabulary.of_texts(split.training.texts, words)
        with seeded(seed):
            made = cls(split.classes, list(vocabulary.words), max_tokens, units, dropout)
        optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=1.0)
        made.network.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        x, x_held_out = (vocabulary.encode_all(part.texts, max_tokens) for part in split[1:])
        made.metrics = fit(
            made.network,
            x,
            split.training.targets,
            context,
            held_out=(x_held_out, split.validation.targets),
            epochs=epochs,
            batch_size=batch_size,
            patience=patience,
            seed=seed,
        )
        return made

    def save(self, folder: Path) -> None:
        """Write state.json and weights.safetensors."""
        (folder / "state.json").write_text(json.dumps(self.state))
        weights = {str(number): one for number, one in enumerate(self.network.get_weights())}
        save_arrays(folder / "weights.safetensors", weights)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        with seeded(0):  # what is drawn is replaced by the weights
            made = cls(**json.loads((folder / "state.json").read_text()))
        arrays = load_arrays(folder / "weights.safetensors")
        made.network.set_weights([arrays[str(number)] for number in range(len(arrays))])
        return made

    def classify(self, texts: list[str], probabilities: bool = False) -> list[Label | BadItem]:
        """Return the most probable class of each text.

        probabilities: True: the output has the probability of each class.
        """
        ids = self.vocabulary.encode_all(texts, self.max_tokens)
        rows = self.network.predict_on_batch(ids).tolist()  # (texts, classes)
        return [
            Label.likeliest(dict(zip(self.classes, row, strict=True)), with_all=probabilities)
            if text.strip()
            else BadItem("the text is blank")
            for text, row in zip(texts, rows, strict=True)
        ]


@hookimpl
def seqd_claim_device(device: Device) -> None:
    """Have Keras compute on the slot's GPU."""
    accelerator.claim(device)

"""Trains a version: counts the text, measures it, writes the files.

Called by the model's description (`seqd_markov.Markov`). Makes no checkpoints: a million
characters are counted in well under a second, so that beginning anew costs less than saving.
"""

import time

import numpy as np

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import TrainContext, TrainedModel
from seqd_markov.artifact import save
from seqd_markov.chain import count
from seqd_markov.parameters import TrainParameters


def train(parameters: TrainParameters, context: TrainContext) -> TrainedModel:
    """Count all of the text; nothing is held out of it.

    Raises Stopped within one span of a million characters.
    """
    began = time.monotonic()
    text = _read(context.data.text(), parameters, "text")
    held_out = None
    if context.held_out is not None:
        held_out = _read(context.held_out.text(), parameters, "held-out text")

    def report(done: int, total: int) -> None:
        if context.stop_requested():
            raise Stopped(f"The counting was stopped after span {done} of {total}; no version.")
        context.step(done, total)

    chain = count(text, report)
    metrics = {"bits_per_char": chain.bits_per_char()}
    if held_out is not None:
        metrics["validation_bits_per_char"] = chain.bits_per_char_of(held_out)
    context.epoch(1, 1, time.monotonic() - began, **metrics)
    save(context.folder, chain, lower_case=parameters.lower_case)
    sizes = {
        "characters": float(len(text)),
        "states": float(len(chain.alphabet)),
        "transitions": float(len(chain.counts)),
    }
    return TrainedModel(metrics=metrics | sizes, libraries={"numpy": np.__version__})


def _read(text: str, parameters: TrainParameters, name: str) -> str:
    text = text.lower() if parameters.lower_case else text
    if len(set(text)) < 2 or text.isspace():
        raise InvalidData(
            f"The {name} has {len(text):,} characters, {len(set(text))} of them different; a chain "
            "needs 2 different ones at least, and something else than spaces. Give a longer text."
        )
    return text

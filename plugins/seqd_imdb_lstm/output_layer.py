"""The last layer of the network while it learns, in NumPy: classes from features, and back.

Called by `packed_learner`. Knows nothing of where features come from.
"""

from dataclasses import dataclass

import numpy as np

from seqd_imdb_lstm.artifact import Floats, Targets


@dataclass(frozen=True, slots=True)
class Answer:
    """How good the answers are, and which way all numbers in front of them pull."""

    #: Sum over the reviews of loss times share, in nats.
    loss: float
    #: Reviews that are told right.
    right: int
    features_gradient: Floats  # (reviews, features)
    kernel_gradient: Floats  # (features, outputs)
    bias_gradient: Floats  # (outputs,)


def answer(
    features: Floats, kernel: Floats, bias: Floats, targets: Targets, shares: Floats
) -> Answer:
    """Tell (reviews, features) apart by (features, outputs) and (outputs,), and hold the answers
    against (reviews,) classes, each review's loss counting its share.

    One output is the log-odds of the second of two classes; more are log-odds of a class each.
    """
    logits = features @ kernel + bias  # (reviews, outputs)
    reviews = np.arange(len(targets))
    if logits.shape[1] == 1:
        # Of two classes, the first's log-odds being 0.
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    classes = logits.astype(np.float64)
    classes -= classes.max(axis=1, keepdims=True)
    log_shares = classes - np.log(np.exp(classes).sum(axis=1, keepdims=True))
    pull = np.exp(log_shares)
    pull[reviews, targets] -= 1.0
    pull *= shares[:, None]
    d_logits = np.asarray(pull[:, -kernel.shape[1] :], dtype=np.float32)  # (reviews, outputs)
    return Answer(
        loss=float(-(log_shares[reviews, targets] * shares).sum()),
        right=int((logits.argmax(axis=1) == targets).sum()),
        features_gradient=d_logits @ kernel.T,
        kernel_gradient=features.T @ d_logits,
        bias_gradient=d_logits.sum(axis=0),
    )

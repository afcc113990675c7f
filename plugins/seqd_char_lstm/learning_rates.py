"""The step size of each step of a stream training: it rises, then falls as a cosine.

Pure. Used by `stream_training`.
"""

import math

from seqd_char_lstm.train_parameters import TrainParameters


def learning_rate(parameters: TrainParameters, done: int, total: int) -> float:
    """Give the size of the step after `done` of `total` steps.

    Over the first `warmup_steps`, at most half of all, it rises evenly to `learning_rate`; the
    last step has `final_learning_rate`.
    """
    highest, final = parameters.learning_rate, parameters.final_learning_rate
    warmup = min(parameters.warmup_steps, total // 2)
    if done < warmup:
        return highest * (done + 1) / warmup
    fallen = min(1.0, (done - warmup) / max(1, total - 1 - warmup))
    return final + (highest - final) * 0.5 * (1.0 + math.cos(math.pi * fallen))

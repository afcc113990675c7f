"""Checkpoints of trainings as bytes and on disk: whole, checked, and without a pickle.

`content` turns a plugin's arrays and progress into bytes and back, `folder` keeps one job's
checkpoints on disk. Which of them count is the ledger's word (`seqd.ledger.checkpoints`); when
they are made and gone on from is `seqd.worker.training.checkpoints`'s. Called by that and by
`seqd.testing`; imports no Keras, and safetensors only where a checkpoint has arrays.
"""

from seqd.checkpoints.content import Content, decode, encode, read_state
from seqd.checkpoints.folder import CheckpointFolder, checkpoints_dir

__all__ = ["CheckpointFolder", "Content", "checkpoints_dir", "decode", "encode", "read_state"]

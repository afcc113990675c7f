"""A training's learning curve: its epochs as a version keeps them, and what to draw of them.

`recording` collects the epochs of a training, over its interruptions too; `choosing` says which
figures make the curve. Pure: draws nothing, knows no job. Called by the worker, `seqd.testing`
and `seqd.starters`, which record, and by the command line and `seqd.plots`, which draw.
"""

from seqd.curves.choosing import Curve, curve_of, curves_of, figure_of, spoken
from seqd.curves.recording import MAX_FIGURES, LearningCurve

__all__ = ["MAX_FIGURES", "Curve", "LearningCurve", "curve_of", "curves_of", "figure_of", "spoken"]

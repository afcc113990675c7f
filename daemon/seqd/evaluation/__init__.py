"""How good a version's answers are, held against the truth: figures of a labelled set.

`counting` takes answers one by one and keeps counts alone, so that a set of any size can be
evaluated; `report` is what comes out, for people's tables and as JSON. Pure: knows no files, no
jobs and no models. Called by `seqd models evaluate`.
"""

from seqd.evaluation.counting import Evaluation
from seqd.evaluation.report import CalibrationBin, ClassFigures, EvaluationReport

__all__ = ["CalibrationBin", "ClassFigures", "Evaluation", "EvaluationReport"]

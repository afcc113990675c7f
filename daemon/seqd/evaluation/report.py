"""What an evaluation found, as a record: printed as tables, as JSON, and drawn.

Made by `counting`. Not a wire model: it never travels between processes of ours.
"""

from pydantic import BaseModel, ConfigDict, Field


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassFigures(_Record):
    """One class. A figure whose denominator is zero is None."""

    label: str = Field(description="Name of the class.")
    items: int = Field(ge=0, description="Items that are truly of it.")
    predicted: int = Field(ge=0, description="Items that the model took for it.")
    precision: float | None = Field(description="Share of those predicted that are truly of it.")
    recall: float | None = Field(description="Share of those truly of it that were predicted.")
    f1: float | None = Field(description="Harmonic mean of precision and recall.")
    is_known: bool = Field(description="False: the model has no such class, so it is never right.")


class CalibrationBin(_Record):
    """Answers of like confidence. Well calibrated, their accuracy is their mean score."""

    lower: float = Field(description="Lowest score, which belongs to the bin before.")
    upper: float = Field(description="Highest score.")
    items: int = Field(ge=0, description="Answers with a score in between.")
    mean_score: float = Field(description="Mean of their scores.")
    accuracy: float = Field(description="Share of them that are right.")


class EvaluationReport(_Record):
    """Figures over the items that have both a true label and an answer."""

    items: int = Field(ge=0, description="Items that the figures are of.")
    unlabelled: int = Field(ge=0, description="Items left out, since their true label is missing.")
    errored: int = Field(ge=0, description="Items left out, since the model gave an error.")
    unknown_labels: int = Field(
        ge=0, description="Items whose true label is none of the model's; they count as wrong."
    )
    accuracy: float = Field(description="Share of right answers.")
    log_loss: float | None = Field(
        description="Mean negative natural logarithm of the true class's probability, over the "
        "items of known classes; None where the model gives no probability of it."
    )
    calibration_error: float = Field(
        description="Mean gap between score and accuracy, over 15 bins weighted by their items "
        "(expected calibration error; Guo et al. 2017)."
    )
    classes: tuple[ClassFigures, ...] = Field(description="Each class, in the model's order.")
    confusion: tuple[tuple[int, ...], ...] = Field(
        description="Items by true class (rows) and predicted class (columns), as in `classes`."
    )
    calibration: tuple[CalibrationBin, ...] = Field(description="The bins that have answers.")

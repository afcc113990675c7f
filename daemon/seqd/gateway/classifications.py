"""`/v1/classify`: labels of one text or many, at once."""

from collections.abc import Sequence
from time import time
from typing import cast
from uuid import uuid4

from fastapi import APIRouter
from pydantic import Field

from seqd.client.requests import LabelOptions
from seqd.gateway.bodies import (
    ANSWER_S,
    Answer,
    ModelRequest,
    Texts,
    answers_of,
    head_of,
    waited_for,
)
from seqd.gateway.callers import SeqdClient, Submitter
from seqd_schemas import Classification, ItemError, ParameterValue

router = APIRouter(tags=["classification"])


class ClassifyRequest(ModelRequest):
    """What to classify, and by which model."""

    model: str = Field(default="imdb_lstm", max_length=128, description="NAME, or NAME@3.")
    input: Texts = Field(description="One text, or a list of up to 1,000.")
    top_k: int | None = Field(default=None, ge=1, le=1_000)
    """Give the probabilities of so many classes, the most probable first."""
    min_score: float | None = Field(default=None, ge=0, le=1)
    """Score below which a label is marked `uncertain`."""
    label_map: dict[str, str] | None = Field(default=None, max_length=256)
    """New names for labels of the model."""

    def all_parameters(self) -> dict[str, ParameterValue]:
        """Return the model's parameters."""
        wanted = {} if self.top_k is None else {"probabilities": True}
        return cast("dict[str, ParameterValue]", self.parameters | wanted)

    def label_options(self) -> LabelOptions:
        """Return what a job is asked of its labels."""
        options: LabelOptions = {}
        if self.min_score is not None:
            options["min_score"] = self.min_score
        if self.label_map is not None:
            options["label_map"] = self.label_map
        return options


@router.post("/v1/classify")
async def classify(asked: ClassifyRequest, caller: Submitter, seqd: SeqdClient) -> Answer:
    """Return the label of each text, in order.

    Of one text that cannot be classified the request fails; of a list, that text has an `error` in
    the place of its label.
    """
    await seqd.check_model(asked.model, caller.only_tenant)
    parameters, labels = asked.all_parameters(), asked.label_options()
    found: list[Classification | ItemError]
    if isinstance(asked.input, str):
        one = await seqd.predict(
            asked.input,
            model=asked.model,
            parameters=parameters,
            tenant=caller.tenant,
            timeout_s=ANSWER_S,
            **labels,
        )
        found = [one]
    else:
        job = await seqd.classify(
            asked.input,
            model=asked.model,
            **waited_for(caller.tenant, parameters),
            **labels,
        )
        found = await answers_of(job)
    return {
        **head_of("classify", "list", uuid4().hex, int(time()), asked.model),
        **labels_of(found, asked.top_k),
    }


def labels_of(found: Sequence[Classification | ItemError], top_k: int | None) -> Answer:
    """Return the classifications of texts as a response has them."""
    return {"data": [{"index": index, **_label_of(one, top_k)} for index, one in enumerate(found)]}


def _label_of(found: Classification | ItemError, top_k: int | None) -> Answer:
    if isinstance(found, ItemError):
        return {"error": {"code": found.code, "message": found.message}}
    shown: Answer = found.model_dump(mode="json", exclude={"type"}, exclude_none=True)
    if found.probabilities is not None and top_k is not None:
        order = sorted(found.probabilities.items(), key=lambda one: -one[1])
        shown["probabilities"] = dict(order[:top_k])
    return shown

"""Sample requests: what stands for a parameter that has no default."""

from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter, create_model

from builders import a_catalog_entry
from seqd.cli.plugins.samples import shell_sample


@pytest.mark.parametrize(
    "kind",
    [
        Annotated[int, Field(le=-3)],
        Annotated[int, Field(lt=0)],
        Annotated[int, Field(lt=1)],
        Annotated[float, Field(le=-5.0)],
        Annotated[int, Field(gt=0, le=1)],
        Annotated[int, Field(ge=3, le=3)],
        Annotated[float, Field(gt=0.0, lt=0.5)],
    ],
)
def test_a_number_in_a_sample_is_one_that_its_bounds_allow(kind) -> None:
    schema = create_model("Parameters", steps=(kind, ...)).model_json_schema()
    entry = a_catalog_entry(tasks={"classify": {"parameters": schema, "unit_items": 1}})

    sample = shell_sample(entry, "classify")

    TypeAdapter(kind).validate_json(sample.rpartition("steps=")[2])

"""What the commands for authors and the child that has the plugin tell each other, as JSON lines.

The child is asked one thing at a time: to load a plugin, then to compute or to train;
or to run checks, which load it themselves.
Each request is answered by reports, if any, and one reply that ends it.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from seqd.models.loading import PluginSource
from seqd.testing.checks.catalog import Part
from seqd.testing.checks.examples import PluginExamples
from seqd.testing.checks.report import CheckResult
from seqd_schemas import (
    CatalogEntry,
    Epoch,
    Failure,
    Item,
    ItemFailure,
    ItemSuccess,
    Log,
    ModelManifest,
    ParameterValue,
    PluginStatus,
    RefusedItem,
    Sample,
)


class _Message(BaseModel):
    """A line."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Load(_Message):
    """Load a plugin, and a version of one of its models; the first request of a child."""

    type: Literal["load"] = "load"
    source: PluginSource
    #: The model that is meant; "" for the only one of the plugin.
    model: str = ""
    #: `name@3`, `name@label`, or the folder of a version; "" for what a daemon would serve.
    version: str = ""
    slot: str = "cpu:0"


class Compute(_Message):
    """Do a task with items."""

    type: Literal["compute"] = "compute"
    task: str
    entries: tuple[Item | RefusedItem, ...]
    parameters: dict[str, ParameterValue] = {}


class Learn(_Message):
    """Train a version on a file, into an empty folder."""

    type: Literal["learn"] = "learn"
    data: str
    held_out: str | None = None
    folder: str
    parameters: dict[str, ParameterValue] = {}


class RunChecks(_Message):
    """Run checks of a plugin, which they load themselves."""

    type: Literal["checks"] = "checks"
    #: `describe` runs the checks of all descriptions; `outcomes` gives a version's for D2.
    mode: Literal["describe", "checks", "outcomes"]
    source: PluginSource
    examples: PluginExamples
    #: Seconds that one check may take.
    limit_s: float
    model: str = ""
    part: Part = Part.DESCRIPTION
    checks: tuple[str, ...] = ()
    #: Where the part's checks keep their files, shared by the children of the part.
    folder: str = ""
    version_folder: str | None = None


AnyRequest = Load | Compute | Learn | RunChecks
REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(Annotated[AnyRequest, Field(discriminator="type")])


class Loaded(_Message):
    """The plugin is loaded."""

    type: Literal["loaded"] = "loaded"
    plugin: PluginStatus
    #: What its model takes and gives.
    entry: CatalogEntry
    #: The version in memory, as `hello@0`; "" where the model has none yet, which `fault` explains.
    version: str = ""
    fault: str = ""
    seconds: float


class Computed(_Message):
    """The results, one for each entry, in order."""

    type: Literal["computed"] = "computed"
    results: tuple[
        Annotated[ItemSuccess | ItemFailure, Field(discriminator="status")],
        ...,
    ]
    seconds: float


class Reported(_Message):
    """A report of a training."""

    type: Literal["reported"] = "reported"
    event: Annotated[Epoch | Sample | Log, Field(discriminator="event")]


class Trained(_Message):
    """The version was trained, and loaded again from its files."""

    type: Literal["trained"] = "trained"
    manifest: ModelManifest
    seconds: float


class Begun(_Message):
    """A report of checks: which one runs now."""

    type: Literal["begun"] = "begun"
    id: str


class Found(_Message):
    """A report of checks: what came of one."""

    type: Literal["found"] = "found"
    result: CheckResult


class Has(_Message):
    """A report of checks: a model of the plugin, its parts, and why which checks are to fail."""

    type: Literal["has"] = "has"
    model: str
    parts: tuple[Part, ...]
    expected: dict[str, str]


class Outcomes(_Message):
    """A report of checks: a version's outcomes of some items, as JSON, by task."""

    type: Literal["outcomes"] = "outcomes"
    by_task: dict[str, list[str]]


class Done(_Message):
    """All was done that was asked for; what came of it was reported."""

    type: Literal["done"] = "done"


class Failed(_Message):
    """The request failed; the child goes on."""

    type: Literal["failed"] = "failed"
    failure: Failure


#: Replies behind which the request goes on.
Report = Reported | Begun | Found | Has | Outcomes
AnyReply = Report | Loaded | Computed | Trained | Done | Failed
REPLY: TypeAdapter[AnyReply] = TypeAdapter(Annotated[AnyReply, Field(discriminator="type")])

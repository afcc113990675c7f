"""Whether outcomes agree: of what was trained and of what is loaded, before it is published.

A training hands over the model as it learnt it (`TrainedModel.in_memory`). That is asked about a
few texts of the data, and let go, so that it and its copy are not in memory at once. Then the files
are loaded as a worker loads them, and asked the same. Of a training that hands over none it is
known only that its files can be loaded.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from math import isclose, isnan
from pathlib import Path
from typing import Final, cast

from pydantic import BaseModel, ValidationError

from seqd.errors import ArtifactDamaged, InvalidData, PluginFault, SeqdError, VersionDiffers
from seqd.hookspecs import (
    Artifact,
    Dataset,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    TrainContext,
    TrainedModel,
    WorkItem,
)
from seqd.kinds import GENERATE, SERVED_TASKS, TRAIN
from seqd.models.made_records import with_record
from seqd.models.version_files import VersionDraft, check_sealed
from seqd.plugin.calls import PluginCall
from seqd.plugin.decorated import QuietContext
from seqd_schemas import Classification, Generation, Task

#: Texts of the sample, prompts among them that are continued, and characters of each at most.
SAMPLE_TEXTS: Final = 16
SAMPLE_PROMPTS: Final = 8
SAMPLE_CHARS: Final = 400

#: Records that the sample is taken from, evenly: the first ones of the data.
_LOOKED_AT: Final = 2_000

#: How far two numbers may be apart that were summed in another order: float32 has 7 digits.
TOLERANCE: Final = 1e-5

#: What a generation's sample may differ in from that of another run: how likely each text was is
#: computed beside it.
_TEXTS = ("text", "temperature")

#: Characters that are shown of a text, or of a field.
SHOWN_CHARS: Final = 60

#: How far two numbers may be apart: weights that are stored as float16 move a probability by 0.001.
STORED_TOLERANCE: Final = 5e-3

#: Values that a task is asked with, where it has such parameters: all that can be compared.
_ASKED_WITH: Final[Mapping[str, object]] = {"seed": 1, "probabilities": True, "length": 40}

#: What data is asked about that its plugin alone can read.
_OWN_TEXTS: Final = (
    "A warm and moving film with a wonderful cast, which I loved from the first minute.",
    "A dull film with a weak plot, and far too long. I would not see it again.",
    "It was neither good nor bad: the music is fine, and the story is none.",
    "The 3rd of May; a train left at 10:45 and was late.",
)

SAVE_WHAT_IS_TRAINED: Final = (
    "Save arrays by seqd.plugin.save_arrays in the type of the training (int8 rounds), have `load` "
    "read all that is saved, and end training mode before `train` returns."
)

#: What a version is numbered while it is tried; it gets its own number when it is published.
_TRIAL_VERSION: Final = 1


@dataclass(frozen=True)
class Answers:
    """What a model that was trained answers, by task, to be held against what is loaded."""

    model: Model
    device: Device
    texts: Sequence[str]
    by_task: Mapping[str, Sequence[object]]

    def check(self, loaded: LoadedModel) -> None:
        """Raise VersionDiffers where a version that was loaded answers otherwise."""
        for task, expected in self.by_task.items():
            pairs = list(zip(expected, _asked(self, loaded, task), strict=False))
            differing = [pair for pair in pairs if not _agree(*pair)]
            beyond = [pair for pair in differing if not _may_be_rounding(*pair)]
            if beyond or len(differing) > len(pairs) // 2:
                before, after = map(_shown, (beyond or differing)[0])
                raise VersionDiffers(
                    f"What {self.model.name} has saved is not what it has trained: {task} gave "
                    f"{before} before, and {after} of the saved files. No version is made of it. "
                    f"{SAVE_WHAT_IS_TRAINED}"
                )


def ask_trained(model: Model, trained: TrainedModel, context: TrainContext) -> Answers:
    """Return what a model that was trained answers on a sample; nothing where it is not there.

    A task whose answers are others each time, or that fails, is left out, which the caller is told.
    """
    asked = Answers(model, context.device, _sample(context), {})
    if trained.in_memory is None:
        return asked
    by_task = {}
    for task in model.tasks:
        if task == TRAIN:
            continue
        try:
            with PluginCall():
                first, second = (_asked(asked, trained.in_memory, task) for _ in range(2))
        except Exception as error:  # noqa: BLE001  a plugin may raise anything
            context.log(f"{task} is not compared with what is saved: {type(error).__name__}.")
            continue
        if not all(map(_agree, first, second)):
            context.log(f"{task} is not compared with what is saved: it differs each time (D1).")
        elif first:
            by_task[task] = first
    return Answers(model, context.device, asked.texts, by_task)


def check_saved(folder: Path, draft: VersionDraft, answers: Answers) -> None:
    """Seal the files of a training, load them, and raise VersionDiffers where they disagree.

    PluginFault where they cannot be loaded, or are changed by that.
    """

    def check(artifact: Artifact) -> None:
        try:
            with PluginCall():
                loaded = answers.model.load(artifact, answers.device)
                loaded.warm_up()
                answers.check(loaded)
        except ArtifactDamaged as error:
            raise PluginFault(
                f"{draft.model} cannot load what it has saved: {error} No version is made of it."
            ) from error

    if set(answers.model.tasks) != {TRAIN}:
        check_sealed(folder, draft, _TRIAL_VERSION, check)


def with_values(parameters: PluginParameters, values: Mapping[str, object]) -> PluginParameters:
    """Return parameters with those of the values that a job could give them."""
    for name, value in values.items():
        if name in type(parameters).model_fields:
            with suppress(ValidationError):
                changed = parameters.model_dump() | {name: value}
                parameters = type(parameters).model_validate(changed)
    return parameters


def _asked(asked: Answers, loaded: LoadedModel, task: Task) -> Sequence[object]:
    """Return the outcomes of a sample; none where nobody but a caller knows its parameters."""
    spec, context = asked.model.tasks[task], QuietContext(asked.device)
    if any(one.is_required() for one in spec.parameters.model_fields.values()):
        return ()
    parameters = with_values(spec.parameters(), _ASKED_WITH)
    texts = asked.texts
    if task == GENERATE:
        with suppress(NotImplementedError, InvalidData):
            return [dict(loaded.measure("\n".join(texts), context))]
        texts = texts[:SAMPLE_PROMPTS]
    items = [WorkItem(place, text) for place, text in enumerate(texts)]
    if spec.input is not None:
        made = [with_record(item, spec.input) for item in items]
        items = [item for item in made if item is not None]
    if task in SERVED_TASKS:
        call = cast("Callable[..., Sequence[object]]", getattr(loaded, task))
        return list(call(items, parameters, context))
    return list(loaded.run(task, items, parameters, context))


def _agree(one: object, other: object) -> bool:
    """Return True for outcomes that are the same within the rounding of what is stored."""
    if isinstance(one, Classification) and isinstance(other, Classification):
        shares = one.probabilities or {}
        ahead = shares.get(one.label, 1.0) - shares.get(other.label, 0.0)
        if ahead <= 2 * STORED_TOLERANCE:  # of two labels that are as probable, either may win
            one = one.model_copy(update={"label": other.label})
    return close(one, other, STORED_TOLERANCE)


def _may_be_rounding(one: object, other: object) -> bool:
    """Return True for outcomes that rounding can tell apart, though hardly those of most texts.

    A text that is drawn goes another way at the first character that rounding turns. A label of
    which nobody says how probable the others are may be as probable as another.
    """
    if isinstance(one, Classification) and isinstance(other, Classification):
        may_tie = not one.probabilities and one.score <= 0.5 + STORED_TOLERANCE
        relabelled = one.model_copy(update={"label": other.label})
        return may_tie and close(relabelled, other, STORED_TOLERANCE)
    return isinstance(one, Generation)


def _shown(outcome: object) -> str:
    if isinstance(outcome, Classification) and outcome.probabilities:
        shares = sorted(outcome.probabilities.items(), key=lambda one: -one[1])[:2]
        return " and ".join(f"{share:.3f} for {label!r}" for label, share in shares)
    return brief(outcome)


def _sample(context: TrainContext) -> Sequence[str]:
    """Return texts of the held-out data, or of what was learnt from."""
    for data in (context.held_out, context.data):
        if data is not None and data.named is None:
            with suppress(SeqdError, OSError):  # it was read, and may be gone by now
                if texts := _texts(data):
                    return texts
    return _OWN_TEXTS


def _texts(data: Dataset) -> Sequence[str]:
    parts = [
        part
        for segment in islice(data.segments(), _LOOKED_AT)
        for start in range(0, min(len(segment.text), SAMPLE_TEXTS * SAMPLE_CHARS), SAMPLE_CHARS)
        if (part := segment.text[start : start + SAMPLE_CHARS]).strip()
    ]
    return parts[:: max(1, len(parts) // SAMPLE_TEXTS)][:SAMPLE_TEXTS]


def close(first: object, second: object, tolerance: float = TOLERANCE) -> bool:
    """Return True when two outcomes are the same within a tolerance of their numbers.

    That is the rounding of a batched sum, unless another is given, and is absolute and relative.
    """
    if isinstance(first, Generation) and isinstance(second, Generation):
        return (
            first.prompt == second.prompt
            and len(first.samples) == len(second.samples)
            and all(
                getattr(one, name) == getattr(other, name)
                for one, other in zip(first.samples, second.samples, strict=True)
                for name in _TEXTS
            )
        )
    if isinstance(first, BaseModel):
        if not isinstance(second, type(first)):
            return False
        return close(dict(first), dict(second), tolerance)
    if isinstance(first, float) and isinstance(second, float):
        both_nan = isnan(first) and isnan(second)  # which B1 tells
        return both_nan or isclose(first, second, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(
            close(part, second[name], tolerance) for name, part in first.items()
        )
    if _is_list(first) and _is_list(second):
        one, other = list(first), list(second)  # type: ignore[call-overload]
        return len(one) == len(other) and all(
            close(*pair, tolerance) for pair in zip(one, other, strict=True)
        )
    return first == second


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def brief(outcome: object) -> str:
    """Return an outcome in a few words: its class, and the fields that were set."""
    if not isinstance(outcome, BaseModel):
        return f"{outcome!r:.120}"
    usual = {name: one.get_default() for name, one in type(outcome).model_fields.items()}
    fields = {name: value for name, value in outcome if value != usual.get(name)}
    said = ", ".join(f"{name}={_cut(repr(value))}" for name, value in fields.items())
    return f"{type(outcome).__name__}({said})"


def quoted(text: str) -> str:
    """Return a text as Python writes it, the beginning of a long one."""
    return repr(_cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"

"""Applies what a classification asks of its labels: other names for them, and a least score.

Done once, on the worker, so that readers in any language get the same results. Labels that get one
name are one: their probabilities are added, and the likeliest of the sums is the label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from seqd.errors import InvalidRequest
from seqd.hookspecs import PluginParameters
from seqd.validation import did_you_mean
from seqd_schemas import Classification, ClassifyJob, Job, own_options

#: The parameter by which a plugin gives each class's probability.
PROBABILITIES: Final = "probabilities"

#: Labels that an error names.
_NAMED_LABELS: Final = 20

#: Decimals of a sum of probabilities: more say nothing but how the addition rounds.
_DECIMALS: Final = 9


@dataclass(frozen=True, slots=True)
class Labelling:
    """What a job asks of its labels."""

    job: ClassifyJob
    #: True where the plugin is asked for probabilities to add them up, and the job did not ask.
    adds_probabilities: bool

    @classmethod
    def of(cls, job: Job, asked: PluginParameters) -> Self | None:
        """Return what a job asks of its labels; None where it asks nothing, as most do.

        `asked` are the job's parameters.
        """
        if not isinstance(job, ClassifyJob) or not own_options(job):
            return None
        adds = bool(job.label_map) and getattr(asked, PROBABILITIES, None) is False
        return cls(job, adds)

    def check(self, classes: Sequence[str], model: str) -> None:
        """Raise InvalidRequest for a label that the model has not; nothing is known of no classes.

        `model` is the version's full name.
        """
        unknown = sorted(self.job.label_map.keys() - set(classes))
        if not classes or not unknown:
            return
        names = ", ".join(repr(name) for name in classes[:_NAMED_LABELS])
        more = ", …" if len(classes) > _NAMED_LABELS else ""
        raise InvalidRequest(
            f"label_map names {unknown[0]!r}, and {model} has no such label; it has: "
            f"{names}{more}.{did_you_mean(unknown[0], classes)}"
        )

    def parameters(self, asked: PluginParameters) -> PluginParameters:
        """Return the parameters to call the plugin with."""
        return asked.model_copy(update={PROBABILITIES: True}) if self.adds_probabilities else asked

    def applied(self, given: Classification) -> Classification:
        """Return a sound classification as the job asked for it.

        Without the probabilities of the classes, as of a plugin that gives none, the score stays
        that of the model's own label.
        """
        label, score = self._named(given.label), given.score
        probabilities = given.probabilities
        if self.job.label_map and probabilities:
            sums = self._sums(probabilities)
            if len(sums) < len(probabilities):
                # Of equal ones the model's own label is the likeliest.
                label = max(sums, key=lambda name: (sums[name], name == label))
                score = sums[label]
            probabilities = None if self.adds_probabilities else sums
        least = self.job.min_score
        uncertain = least is not None and score < least
        return given.model_copy(
            update={
                "label": label,
                "score": score,
                "probabilities": probabilities,
                "uncertain": uncertain,
            }
        )

    def _named(self, label: str) -> str:
        return self.job.label_map.get(label, label)

    def _sums(self, probabilities: Mapping[str, float]) -> dict[str, float]:
        """Return the probability of each name, in the model's order."""
        sums: dict[str, float] = {}
        for label, probability in probabilities.items():
            name = self._named(label)
            # Rounded classes can add up to a little more than 1.
            total = min(1.0, sums.get(name, 0.0) + probability)
            sums[name] = round(total, _DECIMALS) if name in sums else probability
        return sums

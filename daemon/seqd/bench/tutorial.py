"""The tutorial's network as the model itself publishes it, and a version of it for a bench.

Sizes come from the preset, so that peers get the same network, and no second list of them.
"""

from dataclasses import dataclass
from pathlib import Path

from seqd.bench.daemon import BenchDaemon
from seqd.errors import SeqdError
from seqd_schemas import FileSource, ParameterValue

MODEL = "imdb_lstm"
PRESET = "tutorial"

_TRAINING_S = 900.0


@dataclass(frozen=True, slots=True)
class Tutorial:
    """The network's sizes."""

    words: int
    longest: int
    embedding: int
    units: int
    #: Reviews that one step of training learns from.
    batch: int

    @property
    def sizes(self) -> dict[str, int]:
        """What a peer is told."""
        return {
            "words": self.words,
            "longest": self.longest,
            "embedding": self.embedding,
            "units": self.units,
        }

    @property
    def flop_per_token(self) -> int:
        """Operations of the recurrent product: a state times a (units, 4 * units) matrix."""
        return 2 * self.units * 4 * self.units


def tutorial_of(daemon: BenchDaemon) -> Tutorial:
    """Read the preset from what the workers publish."""
    with daemon.client() as client:
        entry = client.catalog().get(MODEL)
    if entry is None or PRESET not in entry.presets:
        raise SeqdError(
            f"The workers publish no {MODEL} with a preset {PRESET!r}, which this bench takes: see "
            "`seqd plugins list`."
        )
    preset = entry.presets[PRESET]
    names = ("vocabulary_words", "max_tokens", "embedding_length", "lstm_units", "batch_reviews")
    return Tutorial(*(_whole(name, preset.get(name)) for name in names))


def make_version(daemon: BenchDaemon, reviews: Path) -> int:
    """Train the preset for one epoch, and give the version's number."""
    source = FileSource(path=str(reviews))
    with daemon.client() as client:
        job = client.train(source, model=MODEL, preset=PRESET, parameters={"epochs": 1})
        training = job.wait(_TRAINING_S).training
    assert training is not None, "a training that completed has made a version"
    return training.version


def _whole(name: str, value: ParameterValue) -> int:
    if not isinstance(value, int):
        raise SeqdError(f"The preset {PRESET!r} has {name}={value!r}; a whole number was due.")
    return value

"""How good each training preset is, over several seeds, and what it costs.

Every preset is trained once a seed, on the same file, by a training slot that has all cores; the
versions are then measured on a file that none of them has seen. Nothing is chosen by that file.
"""

import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.case import Case, option
from bench.daemon import Daemon
from bench.report import row, say
from bench.texts import TEST_FILE, TRAIN_FILE
from seqd.errors import InvalidRequest

#: Times that the test file is classified for the pace, by each version.
_PACE_RUNS = 3
#: What `seqd models evaluate` tells, with its unit and its name here.
_FIGURES = {
    "accuracy": ("share", "accuracy"),
    "log_loss": ("times", "log loss, nats"),
    "calibration_error": ("share", "calibration error"),
}


@dataclass
class Presets(Case):
    """Train each preset with several seeds, and measure the versions on data they have not seen."""

    what = "each preset, trained anew with each seed, on data it has not seen"

    train: Path | None = option(None, "labelled file to learn from; else --data's", Path)
    test: Path | None = option(None, "labelled file to measure on; else --data's", Path)
    model: str = option("imdb_lstm", "model that is trained")
    preset: list[str] = option(None, "preset; may be given again; else all", str, action="append")
    seed: list[int] = option(None, "seed; may be given again; else 1, 2, 3", int, action="append")

    def measure(self) -> None:
        train = self.train or self.file_or(TRAIN_FILE)
        test = self.test or self.file_or(TEST_FILE)
        if train is None or test is None:
            raise InvalidRequest("presets need real data: --data, or --train FILE and --test FILE")
        seeds = self.seed or [1, 2, 3]
        versions: dict[str, list[tuple[int, float]]] = {}
        with ExitStack() as stack:
            daemon = self.daemon("train@cpu", stack)
            with daemon.client() as client:
                known = list(client.catalog()[self.model].presets)
            presets = self.preset or known
            if unknown := ", ".join(name for name in presets if name not in known):
                raise InvalidRequest(
                    f"{self.model} has {', '.join(known)}, and no preset {unknown}"
                )
            for seed in seeds:
                for name in presets:
                    say(f"training {name} with seed {seed}")
                    made = daemon.train(train, self.model, name, seed=seed)
                    versions.setdefault(name, []).append(made)
        self.report.setup |= {"preset": ", ".join(presets), "seed": ", ".join(map(str, seeds))}
        daemon = self.daemon(self.slots)
        for name in presets:
            say(f"measuring {name}")
            models = [f"{self.model}@{version}" for version, _ in versions[name]]
            told = [daemon.told("models", "evaluate", one, "--data", str(test)) for one in models]
            accuracies = [one["accuracy"] for one in told]
            paces = [_pace(daemon, one, test, told[0]["items"]) for one in models]
            rows = [
                row(text, unit, [one[key] for one in told])
                for key, (unit, text) in _FIGURES.items()
            ]
            rows += [
                row("accuracy, mean over the seeds", "share", [statistics.fmean(accuracies)]),
                row("training", "s", [seconds for _, seconds in versions[name]]),
                row("items classified", "a second", paces),
            ]
            self.report.add(name, rows)


def _pace(daemon: Daemon, model: str, test: Path, items: int) -> float:
    """Classify the file; returns items a second between the job's first claim and its end."""
    spans_s = [daemon.classify(test, model, items).slot_s for _ in range(_PACE_RUNS)]
    return items / statistics.median(spans_s)

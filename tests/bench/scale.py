"""The same reviews again and again, with new ids, in ever larger jobs, file to file.

Shows whether time grows in proportion and whether memory stays flat. Asserts nothing.
"""

import time
from dataclasses import dataclass

from bench.case import Case, option
from bench.report import say
from bench.texts import TRAIN_FILE, reviews_of


def sizes_of(text: str) -> list[int]:
    """Read `--sizes`. Raises ValueError unless they are ascending."""
    sizes = [int(part) for part in text.split(",")]
    if sizes != sorted({size for size in sizes if size > 0}):
        raise ValueError(text)
    return sizes


@dataclass
class Scale(Case):
    """Classify ever larger files: does time grow in proportion, and does memory stay flat?"""

    what = "the same reviews with new ids, in ever larger jobs, raw file to results file"

    sizes: list[int] = option("10000,100000,1000000", "reviews of each job, ascending", sizes_of)
    model: str = option("imdb_lstm@0", "the model")
    max_minutes: float = option(15.0, "no size is begun beyond it")

    def measure(self) -> None:
        reviews = reviews_of(self.file_or(TRAIN_FILE), min(25_000, self.sizes[-1]))
        self.report.setup |= {"distinct reviews": len(reviews), "reviews from": reviews.source}
        ends_at = time.monotonic() + 60 * self.max_minutes
        daemon, path = self.daemon(self.slots), self.folder / "reviews.jsonl"
        say("warming up")
        few = min(self.sizes[0], len(reviews))
        daemon.classify(reviews.write(path, few), self.model, few)
        #: Of each size: itself, and the seconds of the command and in the ledger.
        took: list[tuple[int, float, float]] = []
        times, memory = [], []
        for size in self.sizes:
            due_s = took[-1][1] / took[-1][0] * size if took else 0.0
            if time.monotonic() + due_s > ends_at:
                left_out = f"{size:,} reviews and more were left out: at this speed they would go"
                self.report.notes.append(f"{left_out} beyond --max-minutes {self.max_minutes:g}.")
                break
            say(f"{size:,} reviews")
            ran = daemon.classify(reviews.write(path, size), self.model, size)
            run_s, record = ran.seconds, ran.record
            # At least a millisecond, the ledger's smallest time: it is divided by.
            ledger_s = max(1, (record.ended_at_ms or 0) - record.created_at_ms) / 1000
            took.append((size, run_s, ledger_s))
            fewest, first_s, first_ledger_s = took[0]
            times.append(
                {
                    "reviews": size,
                    "command": run_s,
                    "reviews/s": size / run_s,
                    "a review": run_s / size * fewest / first_s,
                    "in the ledger": ledger_s,
                    "a review there": ledger_s / size * fewest / first_ledger_s,
                }
            )
            names = {"client": "client", "redis": "Redis", "workers": "largest worker"}
            peaks = {text: ran.usage[key].peak_bytes for key, text in names.items()}
            memory.append({"reviews": size, **peaks})
        units = ["count", "s", "a second", "share", "s", "share"]
        self.report.add("time", lines=times, units=units)
        self.report.add("largest memory", lines=memory, units=["count", *["bytes"] * 3])
        self.report.notes.append(
            "`a review` is the time a review of the smallest job's: 100% is in proportion. The "
            "command has its start-up in it, the ledger's time is from acceptance to end. Redis's "
            "and a worker's largest memory are those since their start; told on Linux only."
        )

"""What the chaos run gives the daemon to do, and what must come out of it.

`Light` is the plugin beside this file, `Reviews` is `imdb_lstm`. A load knows the items, their
order, and the label that each must get; it knows nothing of faults.
"""

import gzip
import json
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import islice
from operator import eq
from pathlib import Path
from typing import NamedTuple, Protocol

from seqd.cli.demo.sample_data import compose_reviews
from seqd.client import Client, JobHandle
from seqd.models.registry import Registry
from seqd.models.store import ModelStore
from seqd.models.version_files import MANIFEST_NAME, VersionDraft
from seqd.settings import Settings
from seqd_schemas import Classification, DataFingerprint, ItemFailure, ItemSuccess


class Load(Protocol):
    """A job's worth of items, which can be handed in any number of times."""

    name: str
    #: The only plugin that the workers load.
    plugin: str
    items: int
    #: Jobs over the same items that a run may take to get all faults in.
    jobs_at_most: int
    #: Bounds of the wait between two faults.
    pause_s: tuple[float, float]

    def prepare(self, settings: Settings) -> None:
        """Put into the store what the model needs, before a worker starts."""

    def run_undisturbed(self, client: Client) -> None:
        """Learn from an undisturbed job what the disturbed ones must give."""

    def submit(self, client: Client, job_id: str) -> JobHandle:
        """Hand all items in."""

    def place(self, custom_id: str) -> int | None:
        """Return an item's place in the input, from 0; None when it is none of ours."""

    def label(self, place: int) -> str:
        """Return the label that the item in this place must get."""

    def truth(self, place: int) -> str | None:
        """Return the label that a person gave it, if one did."""


class Light:
    """Texts that are their own labels, at a pace that leaves time for faults."""

    name = "light plugin"
    plugin = "chaos"

    def __init__(
        self, items: int, unit_ms: float, jobs_at_most: int = 1, longest_pause_s: float = 3.0
    ) -> None:
        """`unit_ms` is how long the plugin takes for a unit of 512."""
        self.items = items
        self.pause_s = (longest_pause_s / 6, longest_pause_s)
        self.jobs_at_most = jobs_at_most
        self._unit_ms = unit_ms

    def prepare(self, settings: Settings) -> None:
        store = ModelStore(settings.store_dir, {})
        folder = store.new_folder("pace", "setup")
        (folder / "pace.json").write_text("{}")
        store.publish(folder, _draft("pace"))

    def run_undisturbed(self, client: Client) -> None:
        return None

    def submit(self, client: Client, job_id: str) -> JobHandle:
        return client.classify(
            (self.label(place) for place in range(self.items)),
            model="pace",
            parameters={"unit_ms": self._unit_ms},
            expected_items=self.items,
            job_id=job_id,
        )

    def place(self, custom_id: str) -> int | None:
        number = custom_id.removeprefix("row-")
        if number == custom_id or not number.isdecimal():
            return None
        place = int(number) - 1
        return place if 0 <= place < self.items else None

    def label(self, place: int) -> str:
        return f"text {place}"

    def truth(self, place: int) -> str | None:
        return None


def _draft(model: str) -> VersionDraft:
    return VersionDraft(
        model=model,
        plugin_version="1.0",
        parameters={},
        metrics={},
        data=DataFingerprint(description="nothing", records=1, sha256="0" * 64),
        created_at_ms=1,
    )


class Labelled(NamedTuple):
    """A review, and whether its writer liked the film."""

    custom_id: str
    text: str
    label: str


class Reviews:
    """Reviews on `imdb_lstm` at its own speed. A job is over in seconds, so several follow."""

    name = "imdb_lstm"
    plugin = "imdb_lstm"
    #: More than enough for as many faults: hardly a job ends without one.
    jobs_at_most = 40
    #: Set anew by `run_undisturbed`: a part of what a job takes, so that it meets several faults.
    pause_s = (0.0, 1.0)

    def __init__(self, read: Callable[[], Iterator[Labelled]]) -> None:
        """`read` gives the same reviews at each call; their texts are not kept."""
        self._read = read
        known = [(review.custom_id, review.label) for review in read()]
        self.items = len(known)
        self._places = {custom_id: place for place, (custom_id, _) in enumerate(known)}
        self._truths = [label for _, label in known]
        self._labels: list[str] = []

    @classmethod
    def from_file(cls, path: Path, limit: int | None = None) -> "Reviews":
        """Take JSON Lines, gzipped, of `id`, `text` and `label`."""

        def read() -> Iterator[Labelled]:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                for line in islice(lines, limit):
                    row = json.loads(line)
                    yield Labelled(row["id"], row["text"], row["label"])

        return cls(read)

    @classmethod
    def composed(cls, count: int) -> "Reviews":
        """Make some up, for runs without data."""
        return cls(lambda: (Labelled(*review) for review in compose_reviews(count)))

    def prepare(self, settings: Settings) -> None:
        """Copy the starter into the store, so that it is the store that the workers need."""
        starter = Registry.load(Settings(enabled_plugins=(self.plugin,))).model(self.plugin).starter
        assert starter is not None
        store = ModelStore(settings.store_dir, {})
        folder = store.new_folder(self.plugin, "setup")
        for path in starter.iterdir():
            if path.is_file() and path.name != MANIFEST_NAME:
                shutil.copy(path, folder)
        store.publish(folder, _draft(self.plugin))

    def run_undisturbed(self, client: Client) -> None:
        began = time.monotonic()
        job = self.submit(client, "undisturbed")
        labels = {result.custom_id: _label(result) for result in job.results()}
        took_s = time.monotonic() - began
        self.pause_s = (0.0, min(1.0, took_s / 4))
        self._labels = [labels[custom_id] for custom_id in self._places]
        right = sum(map(eq, self._labels, self._truths))
        print(
            f"undisturbed: {len(labels):,} reviews in {took_s:.1f} s, "
            f"accuracy {right / self.items:.4f}",
            flush=True,
        )

    def submit(self, client: Client, job_id: str) -> JobHandle:
        return client.classify(
            self._records(), model="imdb_lstm", expected_items=self.items, job_id=job_id
        )

    def place(self, custom_id: str) -> int | None:
        return self._places.get(custom_id)

    def label(self, place: int) -> str:
        return self._labels[place]

    def truth(self, place: int) -> str | None:
        return self._truths[place]

    def _records(self) -> Iterator[dict[str, str]]:
        return ({"custom_id": review.custom_id, "text": review.text} for review in self._read())


def _label(result: ItemSuccess | ItemFailure) -> str:
    if isinstance(result, ItemSuccess) and isinstance(result.output, Classification):
        return result.output.label
    raise ValueError(f"an undisturbed review came out as {result!r}")

"""Whole classifications, file to file, beside Keras and ONNX Runtime.

seqd's side is a command: raw JSONL in, through Redis and Celery to the serving slots, results file
out; its start-up is in it. The peers' side is the network alone, over arrays that are padded
already. Both take the tutorial's network, on the same reviews.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from bench.case import Case, option
from bench.daemon import Ran
from bench.report import Figure, Side, fact, in_turn, ratios, row, say, warm_up
from bench.texts import TEST_FILE, TRAIN_FILE, Reviews, reviews_of
from seqd.local.slots import cores

#: Reviews that the tutorial's version is trained on, at least and at most: the latter are enough
#: for a vocabulary of full size. Its weights change no speed.
_FEWEST, _MOST = 200, 2_000
#: Batches of the peers. Keras on two cores of a Zen 4, padded to 500, reviews a second at 32, 64,
#: 256 and 512: 680, 990, 1,030, 1,030. ONNX Runtime on two busy cores, medians of six rounds at
#: 64, 256 and 512: 400, 540, 590.
_KERAS_BATCH, _ONNX_BATCH = 256, 512
#: Rows and seconds of the matrix products that bound an LSTM.
_BOUND_ROWS, _BOUND_S = 512, 0.5
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

KERAS, ONNX, BOUND = "Keras model.predict", "ONNX Runtime", "matrix products"
PREDICTOR = "seqd.batch.Predictor in one process"

#: What a worker tells apart, in the order of the work.
_STAGES = {
    "claim_s": "claim: taking work from the ledger",
    "unpack_s": "unpack: reading its input",
    "vectorise_s": "vectorise: text to arrays",
    "compute_s": "compute: the network",
    "commit_s": "commit: results into the ledger",
}


@dataclass
class Classify(Case):
    """Classify reviews, file to file, beside Keras's predict and ONNX Runtime on padded arrays."""

    what = "raw JSONL file to results file, beside the network alone on arrays padded already"

    reviews: int = option(5_000, "reviews of the file that all sides take")
    large: int = option(25_000, "reviews of the larger file; 0: none")
    rounds: int = option(5, "rounds; sides take turns")
    starter_only: bool = option(False, "no tutorial network, no peers, no TensorFlow")

    def measure(self) -> None:
        few = reviews_of(self.file_or(TEST_FILE), self.reviews)
        many = reviews_of(self.file_or(TRAIN_FILE), max(self.large, self.reviews, _FEWEST), 1)
        found = {"reviews": len(few), "reviews from": few.source, "large file from": many.source}
        self.report.setup |= {**found, "distinct reviews in it": min(self.large, len(many))}
        small, has_tensorflow = few.write(self.folder / "few.jsonl"), find_spec("tensorflow")
        version, sizes = 0, dict[str, int]()
        if not self.starter_only:
            with ExitStack() as stack:
                daemon = self.daemon("train@cpu", stack)
                sizes = daemon.tutorial_sizes()
                if has_tensorflow:
                    say("training the tutorial's network for an epoch")
                    count = max(_FEWEST, min(_MOST, len(few)))
                    data = many.write(self.folder / "many.jsonl", count)
                    version, _ = daemon.train(data, "imdb_lstm", "tutorial", epochs=1)
                else:
                    self.leave_out("the tutorial's network", "tensorflow", "cpu")
        say("starting the daemon and the peers")
        daemon = self.daemon(self.slots)
        #: What the commands of each side came to, that of the warm-up first.
        ran: dict[str, list[Ran]] = defaultdict(list)
        jobs = {"starter": (small, 0, len(few))}
        if version:
            jobs["tutorial"] = (small, version, len(few))
            jobs["one"] = (few.write(self.folder / "one.jsonl", 1), version, 1)
        if version and self.large:
            large = many.write(self.folder / "many.jsonl", self.large)
            jobs["large"] = (large, version, self.large)

        def classify(name: str) -> float:
            path, number, count = jobs[name]
            ran[name].append(daemon.classify(path, f"imdb_lstm@{number}", count))
            return ran[name][-1].seconds

        sides: dict[str, Side] = {name: partial(classify, name) for name in jobs}
        own = {"reviews": str(small), "model": f"imdb_lstm@{version}"}
        data_dir = str(daemon.settings.data_dir)
        predictor = self.peer("predictor", {"SEQD_DATA_DIR": data_dir}, **own)
        sides[PREDICTOR] = partial(predictor.ask, "predict")
        sides |= self._peers(small, sizes) if sizes else {}
        warm_up(sides)
        figures = in_turn(sides, self.rounds)
        speeds = self._compare(figures, len(few))
        if version:
            speed = speeds["large" if self.large else "tutorial"]
            self._bound(many if self.large else few, sizes, figures[BOUND], speed)
        watched = ran.get("large") or ran.get("tutorial") or ran["starter"]
        self._tell_inside(watched[1:], figures)

    def _peers(self, reviews: Path, sizes: Mapping[str, int]) -> dict[str, Side]:
        """Start the peers that can run here; of the others a note says why not."""
        sides = dict[str, Side]()
        keras, onnx = {"batch": _KERAS_BATCH}, {"batch": _ONNX_BATCH, "threads": cores()}
        for name, module, library, extra, own in (
            (KERAS, "keras_reviews", "tensorflow", "cpu", keras),
            (ONNX, "onnx_padded", "onnxruntime", "bench", onnx),
        ):
            if find_spec(library) is None:
                self.leave_out(name, library, extra)
                continue
            peer = self.peer(f"peers.{module}", None, reviews=str(reviews), sizes=sizes, **own)
            sides[name] = partial(peer.ask, "predict")
            self.report.setup[f"{name}'s batch"] = own["batch"]
        slots, shape = self.slots.split(","), {"rows": _BOUND_ROWS, "units": sizes["units"]}
        products = [self.peer("peers.matrix_product", _ONE_THREAD, **shape) for _ in slots]

        def multiply() -> float:
            for peer in products:
                peer.begin("multiply", seconds=_BOUND_S)
            return float(sum(peer.answer() for peer in products))

        units = sizes["units"]
        self.report.setup[BOUND] = f"({_BOUND_ROWS} x {units}) times ({units} x {4 * units})"
        return {**sides, BOUND: multiply}

    def _compare(self, figures: Mapping[str, Sequence[float]], few: int) -> dict[str, list[float]]:
        """Add speeds and their ratios; returns the speeds."""
        counts = dict.fromkeys(("tutorial", "large", "starter", PREDICTOR, KERAS, ONNX), few)
        counts["large"] = self.large
        speeds = {
            name: [count / took_s for took_s in figures[name]]
            for name, count in counts.items()
            if name in figures
        }
        names = {
            "tutorial": f"seqd, tutorial network, {few:,} reviews",
            "large": f"seqd, tutorial network, {self.large:,} reviews",
            "starter": f"seqd, shipped starter, {few:,} reviews",
            PREDICTOR: f"{PREDICTOR}, {few:,} reviews",
        }
        rows = [row(names.get(key, f"{key}, padded"), "a second", speeds[key]) for key in speeds]
        self.report.add("reviews a second", rows)
        beside = [
            row(f"{names[our]} / {their}", "times", ratios(speeds[our], speed))
            for their, speed in speeds.items()
            for our in ("tutorial", "large", PREDICTOR)
            if their in (KERAS, ONNX, PREDICTOR) and our in speeds and our != their
        ]
        if beside:
            self.report.add("how many times as fast", beside)
        return speeds

    def _bound(
        self,
        reviews: Reviews,
        sizes: Mapping[str, int],
        flop_per_s: Sequence[float],
        speed: Sequence[float],
    ) -> None:
        # The recurrent product: a state times a (units, 4 * units) matrix.
        tokens, flop = reviews.mean_tokens(sizes["longest"]), 8 * sizes["units"] ** 2
        bounds = [rate / flop / tokens for rate in flop_per_s]
        rows = [
            row("bound, reviews a second", "a second", bounds),
            row("seqd's share of it", "share", ratios(speed, bounds)),
        ]
        facts = [
            fact("tokens a review, mean", "count", tokens),
            fact("floating-point operations a token", "count", flop),
        ]
        self.report.add("the bound from the recurrent matrix products alone", rows, facts=facts)

    def _tell_inside(self, ran: Sequence[Ran], figures: Mapping[str, Sequence[float]]) -> None:
        """Add where the time of a side's jobs went."""
        waited_ms = [(one.record.started_at_ms or 0) - one.record.created_at_ms for one in ran]
        where = [row("accepted until first claimed", "ms", waited_ms)]
        if "one" in figures:
            share = ratios(figures["one"], figures["tutorial"])
            where.append(row("a command on one review: start-up", "s", figures["one"]))
            where.append(row("its share of the smaller file's time", "share", share))
        self.report.add("waiting", where)
        work = {name: sum(one.work[name] for one in ran) for name in ran[0].work}
        had_s = len(self.slots.split(",")) * sum(one.slot_s for one in ran)
        reviews = f"{ran[0].record.counts.total:,} reviews"
        self.report.add(f"where a slot's time goes, {reviews}", facts=shares_of_time(work, had_s))
        if facts := batch_facts(work):
            self.report.add("batches", facts=facts)
        groups = [row(key, "s", [one.cpu_s[key] for one in ran]) for key in ran[0].cpu_s]
        self.report.add(f"processor time of {reviews}", groups)


def shares_of_time(work: Mapping[str, float], had_s: float) -> list[Figure]:
    """Return each stage's share of the time that the slots had, and what is left."""
    shares = {text: work[name] / had_s for name, text in _STAGES.items()}
    # A stage may begin before the first claim is noted down: never less than nothing.
    shares["the rest: waiting for input, and the daemon's own"] = max(0, 1 - sum(shares.values()))
    return [fact(text, "share", share) for text, share in shares.items()]


def batch_facts(work: Mapping[str, float]) -> list[Figure]:
    """Return the batches' mean size and their padding; nothing where the model tells of none."""
    if not work["batches"] or not work["computed_tokens"]:
        return []
    in_vain = 1 - work["real_tokens"] / work["computed_tokens"]
    mean = fact("items a batch, mean", "count", work["batch_items"] / work["batches"])
    return [mean, fact("tokens computed in vain, padding", "share", in_vain)]

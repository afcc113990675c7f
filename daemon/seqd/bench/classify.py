"""`seqd bench classify`: whole classifications, file to file, beside Keras and ONNX Runtime.

seqd's side is a command: raw JSONL in, through Redis and Celery to the serving slots, results
file out; its start-up is in it. The peers' side is the network alone, over arrays that are
padded already. Both take the tutorial's network, on the same reviews.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from seqd.bench import usage
from seqd.bench.classify_peers import BOUND, KERAS, ONNX, peer_sides
from seqd.bench.daemon import BenchDaemon, CommandRun, bench_daemon
from seqd.bench.extras import left_out, without_tensorflow
from seqd.bench.machine import load_average, this_machine
from seqd.bench.report import Fact, Report, Row, Section
from seqd.bench.rounds import Side, in_turn, rates, ratios
from seqd.bench.spending import Spending, batch_facts, time_facts, work_between
from seqd.bench.texts import Reviews
from seqd.bench.tutorial import Tutorial, make_version, tutorial_of
from seqd.errors import SeqdError
from seqd_schemas import JobRecord

Say = Callable[[str], None]

#: Reviews that the tutorial's version is trained on, at least and at most: the latter are enough
#: for a vocabulary of full size.
TRAINED_ON = (200, 2_000)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is to do."""

    reviews: Reviews
    #: A larger file, where start-up weighs less; its number may be above that of its texts.
    large: Reviews
    large_count: int
    rounds: int
    slots: str
    #: True: no version is trained and no peer runs, so that nothing but seqd is needed.
    starter_only: bool = False


@dataclass
class _Bench:
    """A daemon, a folder for files, and what the commands have spent."""

    daemon: BenchDaemon
    folder: Path
    #: Items that the daemon has classified since it started.
    items: int = 0
    spent: list[Spending] = field(default_factory=list)

    def side(self, path: Path, count: int, version: int, *, watched: bool = False) -> Side:
        """Make a side that classifies a file and gives the command's seconds."""
        run = self._spend if watched else self._classify
        return lambda: run(path, count, version).seconds

    def _classify(self, path: Path, count: int, version: int) -> CommandRun:
        out = self.folder / "results.jsonl"
        model = f"imdb_lstm@{version}"
        # Status 2: an item has an error, as one without words has; the count is checked below.
        done = self.daemon.command(
            "classify", str(path), "--model", model, "--out", str(out), allowed=(0, 2)
        )
        self.items += count
        record = self._newest_job()
        if record.counts.done != count:
            raise SeqdError(f"Of {count:,} reviews {record.counts.done:,} came back.")
        return done

    def _spend(self, path: Path, count: int, version: int) -> CommandRun:
        """Classify, and take down where the time went."""
        work, used = self.daemon.work(self.items), self.daemon.usage()
        done = self._classify(path, count, version)
        since = work_between(work, self.daemon.work(self.items))
        cpu_s = {group: now.cpu_s - used[group].cpu_s for group, now in self.daemon.usage().items()}
        cpu_s = {"client": done.usage.cpu_s, **cpu_s}
        self.spent.append(Spending(since, self._newest_job(), len(self.daemon.slots), cpu_s))
        return done

    def _newest_job(self) -> JobRecord:
        with self.daemon.client() as client:
            (record,) = client.jobs(1)
        return record


def bench_classify(asked: Asked, say: Say) -> Report:
    """Run it; `say` is told what happens."""
    report = _new_report(asked)
    with tempfile.TemporaryDirectory(prefix="seqd-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        small = asked.reviews.write(folder / "reviews.jsonl")
        large = asked.large.write(folder / "large.jsonl", asked.large_count)
        one = asked.reviews.first(1).write(folder / "one.jsonl")
        version, tutorial = _tutorial_version(asked, folder, report, say)
        with ExitStack() as stack:
            say("starting the daemon and the peers")
            daemon = stack.enter_context(bench_daemon(folder / "data", asked.slots))
            bench = _Bench(daemon, folder)
            sides: dict[str, Side] = {}
            if version is not None:
                sides |= _seqd_sides(bench, asked, version, small=small, large=large, one=one)
            few = len(asked.reviews)
            sides["starter"] = bench.side(small, few, version=0, watched=version is None)
            if tutorial is not None:
                sides |= peer_sides(stack, daemon.slots, tutorial, folder, small, report)
            say("warming up")
            for side in sides.values():
                side()
            bench.spent.clear()
            figures = in_turn(
                sides, asked.rounds, lambda number: say(f"round {number} of {asked.rounds}")
            )
        report.load_after = load_average()
    _fill(report, asked, tutorial, bench, figures)
    return report


def _new_report(asked: Asked) -> Report:
    return Report(
        bench="classify",
        what="reviews from a raw JSONL file to a results file, beside the network alone on arrays "
        "that are padded already",
        machine=this_machine(),
        setup={
            "rounds in turn": asked.rounds,
            "slots": asked.slots,
            "reviews": len(asked.reviews),
            "reviews from": asked.reviews.source,
            "large file": asked.large_count,
            "large file from": asked.large.source,
            "distinct reviews in it": min(asked.large_count, len(asked.large)),
        },
        load_before=load_average(),
    )


def _tutorial_version(
    asked: Asked, folder: Path, report: Report, say: Say
) -> tuple[int | None, Tutorial | None]:
    """Train the tutorial's network, for one epoch: its weights change no speed, its lengths do."""
    if asked.starter_only:
        return None, None
    with bench_daemon(folder / "data", "train@cpu") as daemon:
        tutorial = tutorial_of(daemon)
        if without_tensorflow():
            report.notes.append(left_out("the tutorial's network and Keras", "tensorflow", "cpu"))
            return None, tutorial
        say("training the tutorial's network for an epoch")
        fewest, most = TRAINED_ON
        material = asked.large.first(max(fewest, min(most, len(asked.reviews))))
        return make_version(daemon, material.write(folder / "material.jsonl")), tutorial


def _seqd_sides(
    bench: _Bench, asked: Asked, version: int, *, small: Path, large: Path, one: Path
) -> dict[str, Side]:
    few, many = len(asked.reviews), asked.large_count
    sides = {
        "tutorial": bench.side(small, few, version, watched=not many),
        "one": bench.side(one, 1, version),
    }
    if many:
        sides["large"] = bench.side(large, many, version, watched=True)
    return sides


def _fill(
    report: Report,
    asked: Asked,
    tutorial: Tutorial | None,
    bench: _Bench,
    figures: Mapping[str, list[float]],
) -> None:
    speeds = dict(_speeds(asked, figures))
    names = _names(asked)
    rows = [Row(names[name], "a second", values) for name, values in speeds.items()]
    report.sections.append(Section("reviews a second", rows))
    ours = [name for name in ("tutorial", "large") if name in speeds]
    theirs = [name for name in (KERAS, ONNX) if name in speeds]
    beside = [
        Row(
            f"seqd, {_count(asked, our):,} reviews / {their}",
            "times",
            ratios(speeds[our], speeds[their]),
        )
        for their in theirs
        for our in ours
    ]
    if beside:
        report.sections.append(Section("how many times as fast", beside))
    if ours and tutorial is not None:
        report.sections.append(_bound_section(asked, tutorial, figures, speeds[ours[-1]]))
    report.sections.extend(_inside(report, bench, figures))


def _names(asked: Asked) -> dict[str, str]:
    few, many = len(asked.reviews), asked.large_count
    return {
        "tutorial": f"seqd, tutorial network, {few:,} reviews",
        "large": f"seqd, tutorial network, {many:,} reviews",
        "starter": f"seqd, shipped starter, {few:,} reviews",
        KERAS: f"{KERAS}, padded",
        ONNX: f"{ONNX}, padded",
    }


def _speeds(asked: Asked, figures: Mapping[str, list[float]]) -> Iterator[tuple[str, list[float]]]:
    for name in _names(asked):
        if name in figures:
            yield name, rates(_count(asked, name), figures[name])


def _count(asked: Asked, name: str) -> int:
    return asked.large_count if name == "large" else len(asked.reviews)


def _bound_section(
    asked: Asked, tutorial: Tutorial, figures: Mapping[str, list[float]], speed: list[float]
) -> Section:
    reviews = asked.large if asked.large_count else asked.reviews
    tokens = reviews.tokens(tutorial.longest) / len(reviews)
    flop = tutorial.flop_per_token * tokens
    bounds = [rate / flop for rate in figures[BOUND]]
    return Section(
        "the bound from the recurrent matrix products alone",
        [
            Row("bound, reviews a second", "a second", bounds),
            Row("seqd's share of it", "share", ratios(speed, bounds)),
        ],
        facts=[
            Fact("tokens a review, mean", "count", tokens),
            Fact("floating-point operations a token", "count", tutorial.flop_per_token),
        ],
    )


def _inside(report: Report, bench: _Bench, figures: Mapping[str, list[float]]) -> Iterator[Section]:
    spent = bench.spent
    reviews = spent[0].record.counts.total
    where = [Row("accepted until first claimed", "ms", [one.queued_ms for one in spent])]
    if "one" in figures:
        share = ratios(figures["one"], figures["tutorial"])
        where += [
            Row("a command on one review: start-up", "s", figures["one"]),
            Row("its share of the smaller file's time", "share", share),
        ]
    yield Section("waiting", where)
    yield Section(f"where a slot's time goes, {reviews:,} reviews", facts=time_facts(spent))
    batches = batch_facts(spent)
    if batches:
        yield Section("batches", facts=batches)
    else:
        report.notes.append("The model tells of no batches, so their size is not known.")
    if usage.is_counted():
        groups = [Row(group, "s", [one.cpu_s[group] for one in spent]) for group in spent[0].cpu_s]
        yield Section(f"processor time of {reviews:,} reviews", groups)
    else:
        report.notes.append("Processor time of each process is told on Linux only.")

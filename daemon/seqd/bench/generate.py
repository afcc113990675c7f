"""`seqd bench generate`: characters a second of the text models, beside the tutorial's loop.

A job of one prompt, and one of many, from handing in to the last text in hand, on a daemon that
is warm. The loop calls `predict` for each character, as the tutorial's script does.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from seqd.bench.daemon import BenchDaemon, bench_daemon, clean_environment
from seqd.bench.extras import left_out, without_tensorflow
from seqd.bench.machine import load_average, this_machine
from seqd.bench.peer import Peer
from seqd.bench.report import Report, Row, Section
from seqd.bench.rounds import Side, in_turn, ratios
from seqd.errors import SeqdError
from seqd.slots import parse_slots
from seqd_schemas import Generation, ItemSuccess, ParameterValue

Say = Callable[[str], None]

#: The tutorial's network for text: characters that it reads, and its units.
WINDOW, UNITS = 40, 128
#: Characters of a prompt.
PROMPT = 40

LOOP = "loop"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is to do."""

    #: Each as the client takes it: a name, `name@3` or `name@label`.
    models: Sequence[str]
    text: str
    source: str
    rounds: int
    slots: str
    #: Characters of the single stream.
    length: int
    #: Prompts of the batch, and characters of each.
    batch: int
    batch_length: int
    #: Characters that the tutorial's loop writes; 0 leaves it out.
    loop_length: int


def bench_generate(asked: Asked, say: Say) -> Report:
    """Run it; `say` is told what happens."""
    report = _new_report(asked)
    with (
        tempfile.TemporaryDirectory(prefix="seqd-bench-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        say("starting the daemon and the loop")
        daemon = stack.enter_context(bench_daemon(Path(name) / "data", asked.slots))
        sides: dict[str, Side] = {}
        for model in asked.models:
            sides[f"{model}, one stream"] = _side(daemon, asked, model, 1, asked.length)
            many = f"{model}, batch of {asked.batch:,}"
            sides[many] = _side(daemon, asked, model, asked.batch, asked.batch_length)
        if asked.loop_length and without_tensorflow():
            report.notes.append(left_out("the tutorial's loop", "tensorflow", "cpu"))
        elif asked.loop_length:
            sides[LOOP] = _loop(stack, asked, Path(name))
        say("warming up")
        for side in sides.values():
            side()
        figures = in_turn(
            sides, asked.rounds, lambda number: say(f"round {number} of {asked.rounds}")
        )
        report.load_after = load_average()
    _fill(report, figures)
    return report


def _new_report(asked: Asked) -> Report:
    return Report(
        bench="generate",
        what="characters written a second, from handing a job in to the last text in hand",
        machine=this_machine(),
        setup={
            "rounds in turn": asked.rounds,
            "slots": asked.slots,
            "prompts from": asked.source,
            "characters of the single stream": asked.length,
            "characters of each of the batch": asked.batch_length,
            "characters of the tutorial's loop": asked.loop_length,
        },
        load_before=load_average(),
    )


def _side(daemon: BenchDaemon, asked: Asked, model: str, count: int, length: int) -> Side:
    """Make a side that gives characters a second."""
    step = max(1, (len(asked.text) - PROMPT) // count)
    prompts = [asked.text[step * at : step * at + PROMPT] for at in range(count)]
    parameters: dict[str, ParameterValue] = {"length": length}

    def run() -> float:
        with daemon.client() as client:
            began = time.perf_counter()
            job = client.generate(prompts, model=model, parameters=parameters)
            results = list(job.results())
            took_s = time.perf_counter() - began
        return sum(map(_characters, results)) / took_s

    return run


def _characters(result: object) -> int:
    """Count the characters of a result. Raises SeqdError for an error."""
    if not isinstance(result, ItemSuccess) or not isinstance(result.output, Generation):
        raise SeqdError(f"A prompt came back without a text: {result!r:.300}")
    return sum(len(sample.text) for sample in result.output.samples)


def _loop(stack: ExitStack, asked: Asked, folder: Path) -> Side:
    text = folder / "text.txt"
    text.write_text(asked.text, encoding="utf-8")
    environment = clean_environment(parse_slots(asked.slots))
    peer = stack.enter_context(Peer("seqd.bench.peers.keras_writing", folder, environment))
    peer.ask("prepare", text=str(text), window=WINDOW, units=UNITS)
    return lambda: (
        asked.loop_length / float(peer.ask("run", characters=asked.loop_length)["seconds"])
    )


def _fill(report: Report, figures: dict[str, list[float]]) -> None:
    names = {LOOP: "the tutorial's loop, LSTM 128, window 40"}
    rows = [Row(names.get(name, name), "a second", values) for name, values in figures.items()]
    report.sections.append(Section("characters a second", rows))
    if LOOP in figures:
        beside = [
            Row(f"{name} / loop", "times", ratios(values, figures[LOOP]))
            for name, values in figures.items()
            if name != LOOP
        ]
        report.sections.append(Section("how many times as fast", beside))

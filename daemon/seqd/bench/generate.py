"""`seqd bench generate`: the text models, their training and their writing, beside the tutorial's.

Writing is timed through the daemon, from handing a job in to the last text in hand, and in
processes that call the plugins themselves, so that one sees what the daemon costs. The tutorial's
loop calls `predict` for each character. How good the versions are is said where the text is real.
"""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from seqd.bench.daemon import OwnSettings, bench_daemon, clean_environment
from seqd.bench.extras import left_out, without_tensorflow
from seqd.bench.machine import load_average, this_machine
from seqd.bench.peer import Peer
from seqd.bench.report import Report, Row, Section
from seqd.bench.rounds import Side, in_turn, ratios
from seqd.bench.text_fitting import (
    NETWORK,
    UNITS,
    WINDOW,
    Places,
    chain_section,
    network_sections,
)
from seqd.bench.text_writing import Writing, sides_of
from seqd.errors import UnknownModel
from seqd.registry import Registry
from seqd.slots import Slot, parse_slot, parse_slots

Say = Callable[[str], None]

LOOP = "loop"

#: The tutorial's script as a slot, for trainings: all cores.
TRAINING_SLOT = "train@cpu"

#: Characters that the window's version is trained on: weights change no speed, and the alphabet
#: of so many is that of the whole.
_WINDOW_CHARACTERS = 6_000

#: The last tenth of the text is measured on, as the presets hold it out.
_LAST = 0.1


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is to do."""

    #: Each as the client takes it: a name, `name@3` or `name@label`.
    models: Sequence[str]
    text: str
    source: str
    #: False of a text that was made up: then nobody cares how well it is predicted.
    is_real: bool
    rounds: int
    slots: str
    #: Characters of the single stream.
    length: int
    #: Prompts of the batch, and characters of each.
    batch: int
    batch_length: int
    #: Characters that the tutorial's loop writes, beside a version that reads as it does; 0 leaves
    #: both out.
    loop_length: int
    #: Whether to train the network to the loss of the tutorial's script, beside it.
    train: bool


def bench_generate(asked: Asked, say: Say) -> Report:
    """Run it; `say` is told what happens. Raises UnknownModel for what does not write."""
    _check_models(asked)
    report = _new_report(asked)
    with (
        tempfile.TemporaryDirectory(prefix="seqd-bench-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        places = _places(Path(name), asked)
        slots = parse_slots(asked.slots)
        programs = [_program(stack, places, slot) for slot in slots]
        say("fitting the chain")
        report.sections.append(chain_section(programs[0], stack, places, asked.rounds))
        window = _window_version(stack, places, asked, report, say)
        if asked.train:
            trainer = _program(stack, places, parse_slot(TRAINING_SLOT))
            report.sections += network_sections(trainer, stack, places, report, say)
        if asked.is_real:
            say("measuring the last tenth of the text")
            report.sections.append(_quality(programs[0], asked, report))
        _time_writing(stack, places, asked, programs, window, report, say)
    report.load_after = load_average()
    return report


def _check_models(asked: Asked) -> None:
    """Say at once, and not after minutes, that a model is not there."""
    registry = Registry.load(OwnSettings())
    for ref in asked.models:
        name = ref.partition("@")[0]
        if "generate" not in registry.model(name).tasks:
            raise UnknownModel(f"{name!r} writes no text; name a model that does, such as markov@0")


def _new_report(asked: Asked) -> Report:
    return Report(
        bench="generate",
        what="text models: seconds to fit, characters written a second, and how good they are",
        machine=this_machine(),
        setup={
            "rounds in turn": asked.rounds,
            "slots": asked.slots,
            "text": f"{asked.source}, {len(asked.text):,} characters",
            "characters of the single stream": asked.length,
            "characters of each of the batch": asked.batch_length,
            "characters of the tutorial's loop": asked.loop_length,
        },
        load_before=load_average(),
    )


def _places(folder: Path, asked: Asked) -> Places:
    text = folder / "text.txt"
    text.write_text(asked.text, encoding="utf-8", newline="")
    return Places(folder, text, clean_environment(parse_slots(asked.slots)))


def _program(stack: ExitStack, places: Places, slot: Slot) -> Peer:
    """Start a process as a worker's child of that slot is."""
    environment = {**places.environment, **slot.environment()}
    program = stack.enter_context(Peer("seqd.bench.text_program", places.folder, environment))
    store = OwnSettings(data_dir=places.folder / "data").store_dir
    program.ask(
        "prepare", text=str(places.text), store=str(store), slot=slot.name, threads=slot.threads
    )
    return program


def _window_version(
    stack: ExitStack, places: Places, asked: Asked, report: Report, say: Say
) -> str | None:
    """Train the tutorial's network for a moment, and name the version; None where that is not on.

    Before the daemon starts, which then knows it.
    """
    if not asked.loop_length:
        return None
    if without_tensorflow():
        report.notes.append(left_out("the tutorial's loop", "tensorflow", "cpu"))
        return None
    say("training the tutorial's network for a moment")
    trainer = _program(stack, places, parse_slot(TRAINING_SLOT))
    parameters = {"epochs": 1, "sample_length": 0}
    made = trainer.ask(
        "publish",
        model=NETWORK,
        preset="tutorial",
        parameters=parameters,
        characters=_WINDOW_CHARACTERS,
    )
    trainer.close()
    return f"{NETWORK}@{made['version']}"


def _quality(program: Peer, asked: Asked, report: Report) -> Section:
    rows = []
    for model in asked.models:
        told = program.ask("measure", model=model, last=_LAST)
        rows.append(Row(model, "bits", [told["bits_per_char"]]))
        if told["data_sha256"] == told["own_sha256"] and told["held_out"] < _LAST:
            report.notes.append(f"{model} has learnt from the tenth that it is measured on")
    return Section(f"bits a character, the last tenth of {asked.source}", rows)


def _time_writing(
    stack: ExitStack,
    places: Places,
    asked: Asked,
    programs: Sequence[Peer],
    window: str | None,
    report: Report,
    say: Say,
) -> None:
    """Time the daemon and the processes in turn, and the tutorial's loop with them."""
    say("starting the daemon")
    daemon = stack.enter_context(bench_daemon(places.folder / "data", asked.slots))
    by_model: dict[str, dict[str, Side]] = {}
    for model in asked.models:
        amounts = ((1, asked.length), (asked.batch, asked.batch_length))
        writing = Writing(model, asked.text, daemon, programs)
        by_model[model] = sides_of(writing, amounts)
    if window is not None:
        writing = Writing(window, asked.text, daemon, programs)
        by_model[window] = sides_of(writing, ((1, asked.length),))
        by_model[LOOP] = {LOOP: _loop(stack, places, asked)}
    say("warming up")
    sides = {
        (model, name): side for model, found in by_model.items() for name, side in found.items()
    }
    for side in sides.values():
        side()
    figures = in_turn(
        {"\n".join(key): side for key, side in sides.items()},
        asked.rounds,
        lambda number: say(f"round {number} of {asked.rounds}"),
    )
    _fill(report, by_model, figures, window)


def _loop(stack: ExitStack, places: Places, asked: Asked) -> Side:
    peer = stack.enter_context(
        Peer("seqd.bench.peers.keras_writing", places.folder, places.environment)
    )
    peer.ask("prepare", text=str(places.text), window=WINDOW, units=UNITS)
    return lambda: (
        asked.loop_length / float(peer.ask("run", characters=asked.loop_length)["seconds"])
    )


def _fill(
    report: Report,
    by_model: dict[str, dict[str, Side]],
    figures: dict[str, list[float]],
    window: str | None,
) -> None:
    titles = {window: f"{window}, the tutorial's network", LOOP: "the tutorial's loop"}
    for model, sides in by_model.items():
        names = {LOOP: f"LSTM {UNITS}, window {WINDOW}, one stream"}
        rows = [
            Row(names.get(name, name), "a second", figures[f"{model}\n{name}"]) for name in sides
        ]
        report.sections.append(Section(f"{titles.get(model, model)}: characters a second", rows))
    if LOOP in by_model:
        loop = figures[f"{LOOP}\n{LOOP}"]
        beside = [
            Row(f"{model}, {name}", "times", ratios(figures[f"{model}\n{name}"], loop))
            for model, sides in by_model.items()
            for name in sides
            if model != LOOP and name.startswith("one stream")
        ]
        report.sections.append(Section("how many times the tutorial's loop", beside))

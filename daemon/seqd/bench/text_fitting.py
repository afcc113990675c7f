"""What `seqd bench generate` says of training: how long a chain takes, and a network to a loss.

Asks programs that are running already (`generate` starts them); measures nothing of writing.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqd.bench.extras import left_out, without_tensorflow
from seqd.bench.peer import Peer
from seqd.bench.report import Fact, Report, Row, Section
from seqd.bench.rounds import Side, in_turn, ratios

Say = Callable[[str], None]

#: The models that are fitted; the presets of each are read from its description.
CHAIN, NETWORK = "markov", "char_lstm"

#: Mean loss of the tutorial's script in its tenth epoch on `nietzsche.txt`, in nats a character.
TUTORIAL_LOSS = 1.3943
_TUTORIAL_EPOCHS = 10

#: The presets of the network that are tried, and the tutorial's network.
PRESETS = ("fast", "best")
WINDOW, UNITS = 40, 128

_ORDER_5 = {"order": 5, "smoothing": "kneser_ney"}


@dataclass(frozen=True, slots=True)
class Places:
    """Where the text and the logs are, and what a peer runs in."""

    folder: Path
    text: Path
    environment: Mapping[str, str]


def chain_section(program: Peer, stack: ExitStack, places: Places, rounds: int) -> Section:
    """Time counting and smoothing beside the tutorial's loop, rounds in turn."""
    loop = stack.enter_context(
        Peer("seqd.bench.peers.python_counting", places.folder, places.environment)
    )
    loop.ask("prepare", text=str(places.text))
    best = {"model": CHAIN, "preset": "best", "parameters": _ORDER_5}
    first = {"model": CHAIN, "preset": "tutorial", "parameters": {}}
    sides: dict[str, Side] = {
        "order5": lambda: float(program.ask("fit", **best)["seconds"]),
        "order1": lambda: float(program.ask("fit", **first)["steps_s"]),
        "loop": lambda: float(loop.ask("run")["seconds"]),
    }
    for side in sides.values():
        side()
    figures = in_turn(sides, rounds)
    rows = [
        Row("order 5, Kneser-Ney: trained, measured and saved", "s", figures["order5"]),
        Row("order 1, preset tutorial: counted", "ms", _ms(figures["order1"])),
        Row("the tutorial's loop in Python: counted", "ms", _ms(figures["loop"])),
        Row("the loop's time / ours", "times", ratios(figures["loop"], figures["order1"])),
    ]
    return Section(f"{CHAIN}: fitting, one core", rows)


def _ms(seconds: Sequence[float]) -> list[float]:
    return [1_000 * took for took in seconds]


def network_sections(
    trainer: Peer, stack: ExitStack, places: Places, report: Report, say: Say
) -> list[Section]:
    """Time the trainings until they have the loss of the tutorial's tenth epoch."""
    script_s = _script_epoch_s(stack, places, report, say)
    sections = []
    for preset in PRESETS:
        say(f"training {NETWORK}, preset {preset}")
        asked = {"model": NETWORK, "preset": preset, "parameters": {"sample_length": 0}}
        told = trainer.ask("fit", **asked, until=TUTORIAL_LOSS)
        facts = training_facts(told, script_s)
        if not told["is_reached"]:
            report.notes.append(
                f"preset {preset} did not come to the loss {TUTORIAL_LOSS} on this text; that "
                "figure is the tutorial's on nietzsche.txt"
            )
        title = f"{NETWORK}, preset {preset}: to the loss {TUTORIAL_LOSS} nats"
        sections.append(Section(title, facts=facts))
    return sections


def _script_epoch_s(stack: ExitStack, places: Places, report: Report, say: Say) -> float | None:
    if without_tensorflow():
        report.notes.append(left_out("the tutorial's script", "tensorflow", "cpu"))
        return None
    say("one epoch of the tutorial's script")
    # Closed before ours begins: it would hold 500 MB of windows.
    with Peer("seqd.bench.peers.keras_text_training", places.folder, places.environment) as script:
        script.ask("prepare", text=str(places.text), window=WINDOW, units=UNITS)
        return float(script.ask("run")["seconds"])


def training_facts(told: Mapping[str, Any], script_s: float | None) -> list[Fact]:
    """Say when the loss was reached, or where the training ended, and how that compares.

    `script_s` are the seconds of one epoch of the tutorial's script.
    """
    last = told["epochs"][-1]
    until_s = float(told["epochs_s"][-1])
    facts = [
        Fact("epochs", "count", len(told["epochs"])),
        Fact("seconds", "s", until_s),
        Fact("training loss of the last one, with dropout", "nats", last["loss"]),
    ]
    if "validation_loss" in last:
        facts += [
            Fact("loss of held-out text", "nats", last["validation_loss"]),
            Fact("the same in bits a character", "bits", last["validation_bits_per_char"]),
        ]
    if script_s is not None:
        ten_s = _TUTORIAL_EPOCHS * script_s
        facts += [
            Fact("the tutorial's script, one epoch", "s", script_s),
            Fact("its ten epochs to that loss, extrapolated", "s", ten_s),
        ]
        if told["is_reached"]:
            facts.append(Fact("how many times as soon", "times", ten_s / until_s))
    return facts

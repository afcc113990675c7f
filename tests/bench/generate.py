"""The text models, their training and their writing, beside the tutorial's scripts.

Writing is timed through the daemon, from handing a job in to the last text in hand, and in
processes that call the plugins themselves, so that one sees what the daemon costs. The tutorial's
loop calls `predict` for each character. How good the versions are is said where the text is real.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from math import inf
from typing import Any

from bench.case import Case, option
from bench.daemon import Daemon, Peer
from bench.report import Side, fact, in_turn, ratios, row, say, warm_up
from bench.texts import TEXT_FILE, running_text
from seqd.errors import SeqdError
from seqd.local.slots import parse_slots
from seqd_schemas import Epoch, FileSource, Generation, ItemSuccess

#: The models that are fitted; the network's presets, and the tutorial's network.
CHAIN, NETWORK, PRESETS = "markov", "char_lstm", ("fast", "best")
_SIZES = {"window": 40, "units": 128}
#: Mean loss of the tutorial's script in its tenth epoch on `nietzsche.txt`, in nats a character.
TUTORIAL_LOSS = 1.3943
#: Characters that the tutorial's version is trained on: weights change no speed, and the alphabet
#: of so many is that of the whole.
_WINDOW_CHARACTERS = 6_000
_PROMPT = 40
LOOP, _LOOP_NAME = "loop", "LSTM 128, window 40, one stream"


@dataclass
class Generate(Case):
    """Fit and write text, one stream and a batch, beside the tutorial's loops."""

    what = "text models: seconds to fit, characters written a second, and how good they are"

    models: list[str] = option(
        ("char_lstm@0", "markov@0", "markov_words@0"), "models that write", str, nargs="*"
    )
    length: int = option(5_000, "characters of the single stream")
    batch: int = option(256, "prompts of the batch")
    batch_length: int = option(1_000, "characters of each prompt of the batch")
    loop_length: int = option(40, "characters of the tutorial's loop; 0: none")
    train: bool = option(False, "also train char_lstm to the tutorial's loss, beside its script")
    rounds: int = option(5, "rounds; sides take turns")

    def measure(self) -> None:
        path = self.file_or(TEXT_FILE)
        text, source = running_text(path)
        self.programs: list[Peer] = []
        self.report.setup |= {"text": source, "characters": len(text)}
        self.text = self.folder / "text.txt"
        self.text.write_text(text, encoding="utf-8", newline="")
        if find_spec("tensorflow") is None:
            self.leave_out("the tutorial's loop and script", "tensorflow", "cpu")
            self.loop_length = 0
        window = ""
        if self.loop_length or self.train:
            with ExitStack() as stack:
                daemon = self.daemon("train@cpu", stack)
                if self.loop_length:
                    window = self._window_version(daemon, text)
                for preset in PRESETS if self.train else ():
                    self._fit_network(daemon, preset)
        for slot in parse_slots(self.slots):
            made = {"text": str(self.text), "slot": slot.name, "threads": slot.threads}
            variables = {**slot.environment(), "SEQD_DATA_DIR": str(self.folder / "data")}
            self.programs.append(self.peer("in_process", variables, **made))
        say("fitting the chain")
        self._fit_chain()
        say("starting the daemon")
        self.serving = self.daemon(self.slots)
        if path is not None:
            say("measuring the last tenth of the text")
            rows = [row(model, "bits", [self._bits(model)]) for model in self.models]
            self.report.add(f"bits a character, the last tenth of {source}", rows)
        self._time_writing(text, window)

    def _window_version(self, daemon: Daemon, text: str) -> str:
        say("training the tutorial's network for a moment")
        some = self.folder / "some.txt"
        some.write_text(text[:_WINDOW_CHARACTERS], encoding="utf-8", newline="")
        version, _ = daemon.train(some, NETWORK, "tutorial", epochs=1, sample_length=0)
        return f"{NETWORK}@{version}"

    def _fit_network(self, daemon: Daemon, preset: str) -> None:
        """Train until the loss of the tutorial's tenth epoch is reached, or to the end."""
        say(f"training {NETWORK}, preset {preset}")
        with daemon.client() as client:
            source, few = FileSource(path=str(self.text)), {"sample_length": 0}
            job = client.train(source, model=NETWORK, preset=preset, parameters=few)
            for event in job.events():
                if isinstance(event, Epoch):
                    epoch = event
                    # Of the text learnt from, or of held-out text, where no dropout hides anything.
                    losses = [epoch.metrics.get(name, inf) for name in ("loss", "validation_loss")]
                    if min(losses) <= TUTORIAL_LOSS:
                        job.cancel()
                        break
            else:
                self.report.notes.append(f"{preset} did not come to the loss {TUTORIAL_LOSS}")
            took_s = (epoch.at_ms - (job.record().started_at_ms or 0)) / 1000
        facts = [
            fact("epochs", "count", epoch.epoch),
            fact("seconds", "s", took_s),
            fact("training loss of the last one, with dropout", "nats", epoch.metrics["loss"]),
            fact("loss of held-out text", "nats", epoch.metrics["validation_loss"]),
            fact("the same in bits a character", "bits", epoch.metrics["validation_bits_per_char"]),
        ]
        if min(losses) <= TUTORIAL_LOSS and find_spec("tensorflow"):
            epoch_s = self._script_epoch_s
            facts += [
                fact("the tutorial's script, one epoch", "s", epoch_s),
                fact("its ten epochs to that loss, extrapolated", "s", 10 * epoch_s),
                fact("how many times as soon", "times", 10 * epoch_s / took_s),
            ]
        title = f"{NETWORK}, preset {preset}: to the loss {TUTORIAL_LOSS} nats"
        self.report.add(title, facts=facts)

    @cached_property
    def _script_epoch_s(self) -> float:
        say("one epoch of the tutorial's script")
        script = self.peer("peers.keras_writing", None, text=str(self.text), **_SIZES)
        seconds = float(script.ask("fit"))
        script.program.terminate()  # It would hold 500 MB of windows.
        return seconds

    def _fit_chain(self) -> None:
        loop, ours = self.peer("peers.python_counting", text=str(self.text)), self.programs[0]
        fast: dict[str, object] = {"preset": "fast", "parameters": {}}
        first: dict[str, object] = {"preset": "tutorial", "parameters": {}}
        sides: dict[str, Side] = {
            "order 5, Kneser-Ney: trained, measured and saved": lambda: float(
                ours.ask("fit", model=CHAIN, **fast)[0]
            ),
            "order 1, preset tutorial: counted": lambda: (
                1000 * float(ours.ask("fit", model=CHAIN, **first)[1])
            ),
            "the tutorial's loop in Python: counted": lambda: 1000 * float(loop.ask("run")),
        }
        warm_up(sides)
        figures = in_turn(sides, self.rounds)
        units = ("s", "ms", "ms")
        rows = [
            row(name, unit, found)
            for unit, (name, found) in zip(units, figures.items(), strict=True)
        ]
        _, counted, looped = figures.values()
        rows.append(row("the loop's time / ours", "times", ratios(looped, counted)))
        self.report.add(f"{CHAIN}: fitting, one core", rows)

    def _bits(self, model: str) -> float:
        last = ("--data", str(self.text), "--last", "0.1")
        return float(self.serving.told("models", "evaluate", model, *last)["bits_per_char"])

    def _time_writing(self, text: str, window: str) -> None:
        """Time the daemon and the processes in turn, and the tutorial's loop with them."""
        amounts = [(1, self.length), (self.batch, self.batch_length)]
        sides = {model: self._sides(model, text, amounts) for model in self.models}
        titles = {window: f"{window}, the tutorial's network", LOOP: "the tutorial's loop"}
        if window:
            sides[window] = self._sides(window, text, amounts[:1])
            loop = self.peer("peers.keras_writing", None, text=str(self.text), **_SIZES)
            length = self.loop_length
            sides[LOOP] = {_LOOP_NAME: lambda: length / float(loop.ask("write", characters=length))}
        every = {f"{model}, {name}": side for model in sides for name, side in sides[model].items()}
        warm_up(every)
        figures = in_turn(every, self.rounds)
        for model, found in sides.items():
            rows = [row(name, "a second", figures[f"{model}, {name}"]) for name in found]
            self.report.add(f"{titles.get(model, model)}: characters a second", rows)
        if window:
            theirs = figures.pop(f"{LOOP}, {_LOOP_NAME}")
            streams = [name for name in figures if ", one stream" in name]
            rows = [row(name, "times", ratios(figures[name], theirs)) for name in streams]
            self.report.add("how many times the tutorial's loop", rows)

    def _sides(self, model: str, text: str, amounts: list[tuple[int, int]]) -> dict[str, Side]:
        """Return sides for each number of prompts and characters; they give characters a second."""
        with self.serving.client() as client:
            task = client.catalog()[model.partition("@")[0]].tasks["generate"]
        # A model that writes sentences is to write over the end of one too.
        more = {"sentences": 0} if "sentences" in str(task.parameters["properties"]) else {}
        sides: dict[str, Side] = {}
        for count, length in amounts:
            step = max(1, (len(text) - _PROMPT) // count)
            prompts = [text[step * at : step * at + _PROMPT] for at in range(count)]
            what = "one stream" if count == 1 else f"batch of {count:,}"
            asked = {"model": model, "parameters": {"length": length, **more}}
            sides[f"{what}, daemon"] = partial(self._by_daemon, prompts, asked)
            one = partial(_by_programs, self.programs[:1], prompts, asked)
            sides[f"{what}, in process, one core"] = one
            if count > 1 and len(self.programs) > 1:
                every = partial(_by_programs, self.programs, prompts, asked)
                sides[f"{what}, in {len(self.programs)} processes"] = every
        return sides

    def _by_daemon(self, prompts: list[str], asked: dict[str, Any]) -> float:
        with self.serving.client() as client:
            began, characters = time.perf_counter(), 0
            for result in client.generate(prompts, **asked).results():
                if not isinstance(result, ItemSuccess) or not isinstance(result.output, Generation):
                    raise SeqdError(f"A prompt came back without a text: {result!r:.300}")
                characters += sum(len(sample.text) for sample in result.output.samples)
            return characters / (time.perf_counter() - began)


def _by_programs(programs: list[Peer], prompts: list[str], asked: dict[str, Any]) -> float:
    """Share the prompts out evenly, and wait for the slowest."""
    share, began = -(-len(prompts) // len(programs)), time.perf_counter()
    for number, program in enumerate(programs):
        first = number * share
        program.begin("write", prompts=prompts[first : first + share], first=first, **asked)
    characters = sum(program.answer() for program in programs)
    return float(characters / (time.perf_counter() - began))

"""The sides of `seqd bench generate`: a model's writing through the daemon and in processes.

Each side gives characters a second. Loading and warming up are over before anything counts: a side
is run once beforehand.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from seqd.bench.daemon import BenchDaemon
from seqd.bench.peer import Peer
from seqd.bench.rounds import Side
from seqd.errors import SeqdError
from seqd_schemas import Generation, ItemSuccess, ParameterValue

#: Characters of a prompt.
PROMPT = 40


@dataclass(frozen=True, slots=True)
class Writing:
    """A model, what its prompts come from, and who may write with it."""

    model: str
    text: str
    daemon: BenchDaemon
    #: One for each slot of the daemon.
    programs: Sequence[Peer]


def sides_of(writing: Writing, amounts: Sequence[tuple[int, int]]) -> dict[str, Side]:
    """Give the sides of each amount, which is a number of prompts and characters for each."""
    sides: dict[str, Side] = {}
    for count, length in amounts:
        what = "one stream" if count == 1 else f"batch of {count:,}"
        prompts, parameters = _prompts(writing.text, count), _parameters(writing, length)
        sides[f"{what}, daemon"] = partial(_by_daemon, writing, prompts, parameters)
        shared: list[tuple[str, Sequence[Peer]]] = [("process, one core", writing.programs[:1])]
        if count > 1 and len(writing.programs) > 1:
            shared.append((f"{len(writing.programs)} processes", writing.programs))
        for how, programs in shared:
            sides[f"{what}, in {how}"] = partial(
                _by_programs, programs, writing.model, prompts, parameters
            )
    return sides


def _prompts(text: str, count: int) -> list[str]:
    step = max(1, (len(text) - PROMPT) // count)
    return [text[step * at : step * at + PROMPT] for at in range(count)]


def _parameters(writing: Writing, length: int) -> dict[str, ParameterValue]:
    """Ask for so many symbols, of a model that writes sentences over the end of one too."""
    with writing.daemon.client() as client:
        entry = client.catalog()[writing.model.partition("@")[0]]
    properties = entry.tasks["generate"].parameters.get("properties")
    knows_sentences = isinstance(properties, dict) and "sentences" in properties
    return {"length": length, **({"sentences": 0} if knows_sentences else {})}


def _by_daemon(
    writing: Writing, prompts: Sequence[str], parameters: Mapping[str, ParameterValue]
) -> float:
    with writing.daemon.client() as client:
        began = time.perf_counter()
        job = client.generate(prompts, model=writing.model, parameters=parameters)
        results = list(job.results())
        took_s = time.perf_counter() - began
    return sum(map(_characters, results)) / took_s


def _characters(result: object) -> int:
    """Count the characters of a result. Raises SeqdError for an error."""
    if not isinstance(result, ItemSuccess) or not isinstance(result.output, Generation):
        raise SeqdError(f"A prompt came back without a text: {result!r:.300}")
    return sum(len(sample.text) for sample in result.output.samples)


def _by_programs(
    programs: Sequence[Peer],
    model: str,
    prompts: Sequence[str],
    parameters: Mapping[str, ParameterValue],
) -> float:
    """Share the prompts out evenly, and wait for the slowest."""
    share = -(-len(prompts) // len(programs))
    began = time.perf_counter()
    for number, program in enumerate(programs):
        program.begin(
            "write",
            model=model,
            prompts=prompts[number * share : (number + 1) * share],
            first=number * share,
            parameters=parameters,
        )
    answers = [program.answer() for program in programs]
    took_s = time.perf_counter() - began
    if any(answer["errors"] for answer in answers):
        raise SeqdError(f"{model} gave an error for a prompt of its own text.")
    return float(sum(answer["characters"] for answer in answers) / took_s)

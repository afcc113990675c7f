"""`seqd generate`: continues prompts, from the command line or a file.

Most options are the parameter of their name in most models; a model that does not know one refuses
it and says what it knows. Texts of prompts on the command line are printed while they are written.
"""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated

import typer

from seqd.cli import options, readers
from seqd.cli.bulk import Result, print_line
from seqd.cli.job_options import TypedItems, takes_job_options
from seqd.cli.output_options import OutputOptions, takes_output_options
from seqd.cli.showing import shown
from seqd.cli.sources import Feed
from seqd.cli.submitting import Submission
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.texts import GenerationPrinter, LiveTexts
from seqd.client import Client, JobHandle
from seqd.client.requests import ItemOptions
from seqd.errors import InvalidRequest, UnknownModel
from seqd.inputs.items import ItemRules, items_of
from seqd_schemas import FileSource, ParameterValue

Prompts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PROMPT]...", help="Texts to continue; none continues nothing."),
]
PromptOption = Annotated[
    list[str] | None,
    typer.Option("--prompt", "-p", metavar="TEXT", help="A text to continue; repeatable."),
]
# Without the `-p` of other commands, which is a prompt here.
_Parameters = Annotated[list[str] | None, options.parameters("model")]
PromptFile = Annotated[
    str | None, typer.Option("--prompts", help="File of prompts; - is standard input.")
]
Stream = Annotated[
    bool | None,
    typer.Option(
        "--stream/--no-stream",
        help="Publish texts while they are written, for whoever reads the job's stream; also with "
        "--detach, --out and --json. Or print each text when it is whole.",
    ),
]
Length = Annotated[
    int | None,
    typer.Option("--length", help="Characters of each sample, or words of a model of words."),
]
Temperatures = Annotated[
    list[float] | None,
    typer.Option(
        "--temperature",
        "-t",
        help="0 always takes the most probable, 1 follows the model, above 1 is bolder.",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option("--top-k", help="Draw from this many most probable characters or words only."),
]
TopP = Annotated[
    float | None,
    typer.Option(
        "--top-p",
        help="Draw from the most probable characters or words only, which "
        "together have this probability.",
    ),
]
RepetitionPenalty = Annotated[
    float | None,
    typer.Option("--repetition-penalty", help="Above 1 makes rarer what was just written."),
]
Stops = Annotated[
    list[str] | None,
    typer.Option("--stop", metavar="TEXT", help="A text before which to end; repeatable."),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Same seed, same samples.")]
Samples = Annotated[
    int | None, typer.Option("--samples", help="Samples of each prompt and temperature.")
]


@takes_job_options(TypedItems, priority="interactive")
@takes_output_options
@shown
def generate(
    model: options.ModelArgument = "char_lstm",
    texts: Prompts = None,
    prompt: PromptOption = None,
    prompts: PromptFile = None,
    length: Length = None,
    temperature: Temperatures = None,
    top_k: TopK = None,
    top_p: TopP = None,
    repetition_penalty: RepetitionPenalty = None,
    stop: Stops = None,
    seed: Seed = None,
    samples: Samples = None,
    format_name: options.InputFormatName = "auto",
    id_field: options.IdField = "custom_id",
    text_field: options.TextField = "text",
    param: _Parameters = None,
    stream: Stream = None,
    detach: options.Detach = False,
    *,
    screen: Screen,
    given: ItemOptions,
    output: OutputOptions,
) -> None:
    """Continue prompts with a model that writes. Prints the texts, or with --json JSON lines.

    Texts of prompts on the command line are printed while they are written, one a prompt. Give -t
    again for samples at several temperatures.
    """
    named: dict[str, ParameterValue] = {"length": length, "seed": seed, "samples": samples}
    named |= {"top_k": top_k, "top_p": top_p, "repetition_penalty": repetition_penalty}
    named |= {"temperature": _one_or_all(temperature), "stop": _one_or_all(stop)}
    fields = {"format": format_name, "id_field": id_field, "text_field": text_field}
    typed = [*(texts or []), *(prompt or [])] or ([] if prompts else [""])
    for text in filter(os.path.isfile, texts or []):
        Screen(to_stderr=True).say(
            f"{text!r} was taken as a prompt. For those in the file: --prompts {text}", "yellow"
        )
    given["parameters"] = parameters = readers.parameters(param, named)
    is_live = bool(typed) and stream is not False and output.is_plain and _gives_one(parameters)
    is_live = is_live and not (screen.is_beside_json or detach)

    def send(client: Client, feed: Feed | FileSource) -> JobHandle:
        streams = is_live or stream is True
        return client.generate(feed, model=model, stream=streams, **given)

    with _hint_at_prompt(model if not (texts or prompt or prompts) else None):
        submission = Submission(
            kind="generate",
            file=prompts,
            texts=typed,
            fields=fields,
            output=output.for_command(waits=not detach),
            screen=screen,
            detach=detach,
            given=given,
            send=send,
            printer=lambda feed: _printer(screen, is_live=is_live),
            live=partial(_live_texts, typed) if is_live else None,
            # A text can be continued from nothing.
            rules=ItemRules(id_field=id_field, text_field=text_field, allow_empty=True),
        )
        raise typer.Exit(submission.run())


@contextmanager
def _hint_at_prompt(model: str | None) -> Iterator[None]:
    """Say of a model that is none, and was given alone, that it may have been meant as a text."""
    try:
        yield
    except (InvalidRequest, UnknownModel) as error:
        if model is None or repr(model) not in str(error):
            raise
        meant = f"To continue it as a text: seqd generate --prompt {shlex.quote(model)}"
        raise type(error)(f"{error} {meant}") from None


def _gives_one(parameters: Mapping[str, ParameterValue]) -> bool:
    """Return True where one text of each prompt is asked for."""
    given = parameters.get("temperature")
    return parameters.get("samples", 1) == 1 and not isinstance(given, list)


def _live_texts(
    prompts: Sequence[str], client: Client, handle: JobHandle, feed: Feed
) -> Iterator[Result]:
    """Yield the job's results; its texts are printed before the first, as they come."""
    names = [item.custom_id for item in items_of(prompts, allow_empty=True)]
    printer = GenerationPrinter(Screen())
    return LiveTexts(printer, dict(zip(names, prompts, strict=True))).results_of(handle)


def _printer(screen: Screen, *, is_live: bool) -> Callable[[Result], None]:
    if is_live:
        return lambda result: None  # printed by then
    return print_line if screen.is_beside_json else GenerationPrinter(Screen()).show


def _one_or_all(values: list[float] | list[str] | None) -> ParameterValue:
    """Return one value as it is, several as a list, None for none."""
    if not values:
        return None
    return values[0] if len(values) == 1 else [*values]

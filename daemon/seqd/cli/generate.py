"""`seqd generate`: continues prompts, from the command line or a file.

Most options are the parameter of their name in most models; a model that does not know one refuses
it and says what it knows. Texts of prompts on the command line are printed while they are written.
"""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.job_options import takes_job_options
from seqd.cli.output_options import OutputOptions, opened_output, takes_output_options
from seqd.cli.ui.screen import Screen

if TYPE_CHECKING:
    from seqd.cli.bulk import Result
    from seqd.cli.ui.texts import GenerationPrinter
    from seqd.client import Client, JobHandle, JobOptions, StreamedText
    from seqd.inputs.items import ItemRules
    from seqd_schemas import CatalogEntry, ParameterValue

Prompts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PROMPT]...", help="Texts to continue; none continues nothing."),
]
PromptOption = Annotated[
    list[str] | None,
    typer.Option("--prompt", "-p", metavar="TEXT", help="A text to continue; repeatable."),
]
# Without the `-p` of other commands, which is a prompt here.
_Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "--set",
        metavar="NAME=VALUE",
        help="A parameter of the model; may be given again. `seqd models params` lists them.",
        autocompletion=completion.parameters,
    ),
]
PromptFile = Annotated[
    str | None, typer.Option("--prompts", help="File of prompts; - is standard input.")
]
Stream = Annotated[
    bool | None,
    typer.Option(
        "--stream/--no-stream",
        help="Publish texts while they are written, also with --detach, --out or --json, for "
        "whoever reads the job's stream; or print each when it is whole.",
    ),
]
Length = Annotated[
    int | None,
    typer.Option("--length", help="Characters of each sample, or words of a model of words."),
]
Temperatures = Annotated[
    list[float] | None,
    typer.Option("--temperature", "-t", help="0 is the most probable, 1 the model's own."),
]
TopK = Annotated[
    int | None, typer.Option("--top-k", help="Draw from so many most probable ones only.")
]
TopP = Annotated[
    float | None,
    typer.Option("--top-p", help="Draw from the most probable ones of this probability only."),
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


@takes_job_options(priority="interactive")
@takes_output_options()
def generate(
    model: Annotated[
        str,
        typer.Argument(
            help="A model, name@3 (a version) or name@label.", autocompletion=completion.models
        ),
    ] = "char_lstm",
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
    expected_items: options.ExpectedItems = None,
    stream: Stream = None,
    as_json: options.Json = False,
    detach: options.Detach = False,
    *,
    given: "JobOptions",
    output: OutputOptions,
) -> None:
    """Continue prompts with a model that writes. Prints the texts, or with --json JSON lines.

    Texts of prompts that are given here are printed while they are written, one after the other.
    -t may be given again, for samples at several temperatures.
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
    given["parameters"] = options.named_parameters(param, named)
    is_live = bool(typed) and stream is not False and not (as_json or detach) and output.is_plain
    request = _Request(
        prompts=typed,
        model=model,
        options=given,
        expected_items=options.read_expected_items(expected_items),
        is_streamed=is_live or stream is True,
        is_live=is_live,
        as_json=as_json,
    )
    with _hint_at_prompt(model if not (texts or prompt or prompts) else None):
        _run(request, prompts, fields, output.for_command(waits=not detach), detach=detach)


@contextmanager
def _hint_at_prompt(model: str | None) -> Iterator[None]:
    """Say of a model that is none, and was given alone, that it may have been meant as a text."""
    from seqd.errors import InvalidRequest, UnknownModel

    try:
        yield
    except (InvalidRequest, UnknownModel) as error:
        if model is None or repr(model) not in str(error):
            raise
        meant = f"To continue it as a text: seqd generate --prompt {shlex.quote(model)}"
        raise type(error)(f"{error} {meant}") from None


@dataclass(slots=True)
class _Text:
    """A text that has begun: what waits to be printed, and whether it is whole."""

    waiting: list[str] = field(default_factory=list)
    is_shown: bool = False
    is_whole: bool = False
    temperature: float | None = None


class LiveTexts:
    """Prints texts as they are written, in the order of the prompts.

    The first text that is not whole is printed as its deltas come. The others, which are written
    beside it, are held, so this is for the few prompts of a command line.
    """

    def __init__(
        self,
        printer: "GenerationPrinter",
        prompts: Mapping[str, str],
        temperatures: Sequence[float | None],
    ) -> None:
        """`prompts` by `custom_id`, in order; one temperature for each sample of a prompt."""
        self._printer = printer
        self._prompts = prompts
        self._temperatures = temperatures
        self._expected = ((name, at) for name in prompts for at in range(len(temperatures)))
        self._current = next(self._expected, None)
        self._texts: dict[tuple[str, int], _Text] = {}
        self._failed: set[str] = set()

    def results_of(self, handle: "JobHandle") -> "Iterator[Result]":
        """Print the job's texts as they come, then yield its results."""
        try:
            for delta in handle.stream():
                self.show(delta)
            self._print_unexpected()
        finally:
            self._printer.end()
        yield from handle.results()

    def show(self, delta: "StreamedText") -> None:
        """Print a delta, and texts that waited for it, when all before it are whole."""
        if delta.error is not None:
            self._failed.add(delta.custom_id)
        else:
            text = self._texts.setdefault((delta.custom_id, delta.sample), _Text())
            text.waiting.append(delta.text)
            if delta.finished is not None:
                text.is_whole, text.temperature = True, delta.finished.temperature
        while self._current is not None and self._is_over(self._current):
            self._texts.pop(self._current, None)
            self._current = next(self._expected, None)

    def _is_over(self, current: tuple[str, int]) -> bool:
        """Print what there is of a text; return whether no more of it will come."""
        name, sample = current
        if name in self._failed:
            self._printer.end()
            return True
        text = self._texts.get(current)
        if text is None:
            return False
        if len(self._temperatures) == 1:
            self._print(name, text, None)
            return text.is_whole
        temperature = text.temperature if text.is_whole else self._temperatures[sample]
        if temperature is not None:  # else it stands in front of the text, and is not known yet
            self._print(name, text, temperature)
        return text.is_whole

    def _print(self, name: str, text: _Text, temperature: float | None) -> None:
        if not text.is_shown:
            self._printer.begin(self._prompts.get(name, ""), temperature)
            text.is_shown = True
        self._printer.write("".join(text.waiting))
        text.waiting.clear()
        if text.is_whole:
            self._printer.end()

    def _print_unexpected(self) -> None:
        """Print samples beyond those that the parameters let expect, as another plugin may give."""
        for (name, _), text in self._texts.items():
            if text.is_whole and not text.is_shown:
                self._print(name, text, text.temperature)


def expected_temperatures(
    entry: "CatalogEntry | None", parameters: "Mapping[str, ParameterValue]"
) -> list[float | None]:
    """Return the temperature of each sample of a prompt, in order; None where it is not known.

    By the request's parameters, or else the defaults that the model publishes.
    """
    values = _defaults(entry) | dict(parameters)
    given, samples = values.get("temperature"), values.get("samples")
    temperatures = [_number(value) for value in (given if isinstance(given, list) else [given])]
    count = samples if isinstance(samples, int) and samples > 0 else 1
    return [temperature for temperature in temperatures for _ in range(count)]


@dataclass(frozen=True, slots=True)
class _Request:
    """What the options ask for."""

    #: Those of the command line; none where a file has them.
    prompts: list[str]
    model: str
    options: "JobOptions"
    expected_items: int | None
    #: True where text deltas are published.
    is_streamed: bool
    #: True where they are printed as well.
    is_live: bool
    as_json: bool


def _run(
    request: _Request,
    file: str | None,
    fields: dict[str, str],
    output: OutputOptions,
    *,
    detach: bool,
) -> None:
    from seqd.cli.bulk import Output, follow_bulk_job
    from seqd.cli.following import detach_from, waiting_for
    from seqd.cli.resuming import begin
    from seqd.cli.sources import feed_of
    from seqd.cli.ui.summary import ResultCounts
    from seqd.ledger.submissions import new_job_id

    screen = Screen(to_stderr=output.goes_to_stdout or request.as_json or detach)
    reads_twice = output.reads_input("generate")
    with (
        feed_of(
            file, request.prompts, fields, rules=_rules(fields), is_read_twice=reads_twice
        ) as feed,
        opened_output(output, "generate", feed=feed, source=file) as files,
        options.open_client() as client,
    ):
        given = request.options

        def send(job_id: str) -> "JobHandle":
            given["job_id"] = job_id
            return client.generate(
                feed,
                model=request.model,
                expected_items=request.expected_items,
                stream=request.is_streamed,
                **given,
            )

        if detach:
            handle = send(given.get("job_id") or new_job_id())
            detach_from(client, handle, screen, as_json=request.as_json)
            return
        to = Output(files, _printer(request), request.as_json)
        with (
            begin(client, output, files, feed, send, given.get("job_id")) as (begun, interruption),
            waiting_for(client, begun.handle, screen, interruption),
        ):
            live = _live_texts(client, begun.handle, request) if request.is_live else None
            results = live or begun.results
            status = follow_bulk_job(begun.handle, screen, to, ResultCounts(), results)
            begun.end()
    raise typer.Exit(status)


def _rules(fields: dict[str, str]) -> "ItemRules":
    from seqd.inputs.items import ItemRules

    # A text can be continued from nothing.
    return ItemRules(id_field=fields["id_field"], text_field=fields["text_field"], allow_empty=True)


def _live_texts(client: "Client", handle: "JobHandle", request: _Request) -> "Iterator[Result]":
    """Yield the job's results; its texts are printed before the first, as they come."""
    from seqd.cli.ui.texts import GenerationPrinter
    from seqd.inputs.items import items_of
    from seqd_schemas import ModelReference

    names = [item.custom_id for item in items_of(request.prompts, allow_empty=True)]
    entry = client.catalog().get(ModelReference.parse(request.model).name)
    return LiveTexts(
        GenerationPrinter(Screen()),
        dict(zip(names, request.prompts, strict=True)),
        expected_temperatures(entry, request.options.get("parameters") or {}),
    ).results_of(handle)


def _printer(request: _Request) -> "Callable[[Result], None]":
    from seqd.cli.bulk import print_line
    from seqd.cli.ui.texts import GenerationPrinter

    if request.is_live:
        return lambda result: None  # printed by then
    return print_line if request.as_json else GenerationPrinter(Screen()).show


def _one_or_all(values: list[float] | list[str] | None) -> "ParameterValue":
    """Return one value as it is, several as a list, None for none."""
    if not values:
        return None
    return values[0] if len(values) == 1 else [*values]


def _defaults(entry: "CatalogEntry | None") -> "dict[str, ParameterValue]":
    task = None if entry is None else entry.tasks.get("generate")
    properties = {} if task is None else task.parameters.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {
        name: schema["default"]  # type: ignore[misc]
        for name, schema in properties.items()
        if isinstance(schema, dict) and "default" in schema
    }


def _number(value: "ParameterValue") -> float | None:
    return float(value) if isinstance(value, int | float) else None

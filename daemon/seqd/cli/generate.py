"""`seqd generate`: continues prompts, from the command line or a file."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options

if TYPE_CHECKING:
    from seqd.cli.bulk import Result
    from seqd_schemas import ParameterValue


def generate(
    model: Annotated[
        str, typer.Argument(help="A model, name@3 (a version) or name@label.")
    ] = "char_lstm",
    prompt: Annotated[
        list[str] | None, typer.Argument(help="Texts to continue; none continues nothing.")
    ] = None,
    prompts: Annotated[
        str | None, typer.Option("--prompts", help="File of prompts; - is standard input.")
    ] = None,
    length: Annotated[
        int | None, typer.Option("--length", help="Characters of each sample.")
    ] = None,
    temperature: Annotated[
        list[float] | None,
        typer.Option("--temperature", "-t", help="0 is the most probable, 1 the model's own."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Same seed, same samples.")] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", help="Samples of each prompt and temperature.")
    ] = None,
    out: options.Out = None,
    format_name: options.FormatName = "auto",
    id_field: options.IdField = "custom_id",
    text_field: options.TextField = "text",
    param: options.Parameters = None,
    priority: options.PriorityName = "interactive",
    expires_in: options.ExpiresIn = None,
    as_json: options.Json = False,
    detach: options.Detach = False,
) -> None:
    """Continue prompts with a model that writes. Prints the texts, or with --json JSON lines.

    -t may be given again, for samples at several temperatures.
    """
    from seqd.cli.bulk import Output, result_files, see_through
    from seqd.cli.detaching import leave_running
    from seqd.cli.following import cancelling, say_if_nobody_is_there
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.sources import feed_of
    from seqd.cli.tally import Tally

    parameters = _parameters(param or [], length, temperature, seed, samples)
    rank, seconds = options.read_priority(priority), options.read_expires_in(expires_in)
    fields = {"format": format_name, "id_field": id_field, "text_field": text_field}
    texts = list(prompt or ([] if prompts else [""]))
    screen = Screen(to_stderr=out is None or as_json or detach)
    with (
        feed_of(prompts, texts, fields, allow_empty=True) as feed,
        result_files(None if detach else out, prompts) as files,
        options.open_client() as client,
    ):
        feed.without_labels()
        handle = client.generate(
            feed, model=model, parameters=parameters, priority=rank, expires_in_s=seconds
        )
        if detach:
            leave_running(handle, screen, as_json=as_json)
            return
        output = Output(files, _printer(as_json=as_json), as_json)
        with cancelling(handle, screen):
            say_if_nobody_is_there(client, handle, screen)
            status = see_through(handle, screen, output, Tally(), lambda: feed.is_complete)
    raise typer.Exit(status)


def _parameters(
    pairs: list[str],
    length: int | None,
    temperature: list[float] | None,
    seed: int | None,
    samples: int | None,
) -> "dict[str, ParameterValue]":
    """Merge `--param` with the options that stand for common parameters."""
    values = options.read_parameters(pairs)
    if temperature:
        values["temperature"] = temperature[0] if len(temperature) == 1 else [*temperature]
    named = {"length": length, "seed": seed, "samples": samples}
    return values | {name: value for name, value in named.items() if value is not None}


def _printer(*, as_json: bool) -> "Callable[[Result], None]":
    from seqd.cli.bulk import print_line
    from seqd.cli.rendering.results import GenerationPrinter
    from seqd.cli.rendering.screen import Screen

    return print_line if as_json else GenerationPrinter(Screen()).show

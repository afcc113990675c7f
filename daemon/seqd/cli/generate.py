"""`seqd generate`: continues prompts, from the command line or a file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import generate_options as own
from seqd.cli import options

if TYPE_CHECKING:
    from seqd.cli.bulk import Result
    from seqd.cli.sources import Feed
    from seqd.client import Client, JobHandle
    from seqd_schemas import ParameterValue, Priority


def generate(
    model: Annotated[
        str, typer.Argument(help="A model, name@3 (a version) or name@label.")
    ] = "char_lstm",
    texts: own.Texts = None,
    prompt: own.Prompt = None,
    prompts: own.Prompts = None,
    length: own.Length = None,
    temperature: own.Temperatures = None,
    top_k: own.TopK = None,
    top_p: own.TopP = None,
    repetition_penalty: own.RepetitionPenalty = None,
    stop: own.Stops = None,
    seed: own.Seed = None,
    samples: own.Samples = None,
    out: options.Out = None,
    format_name: options.FormatName = "auto",
    id_field: options.IdField = "custom_id",
    text_field: options.TextField = "text",
    param: options.Parameters = None,
    priority: options.PriorityName = "interactive",
    expires_in: options.ExpiresIn = None,
    no_stream: own.NoStream = False,
    as_json: options.Json = False,
    detach: options.Detach = False,
) -> None:
    """Continue prompts with a model that writes. Prints the texts, or with --json JSON lines.

    Texts of prompts that are given here are printed while they are written, one after the other.
    -t may be given again, for samples at several temperatures.
    """
    named: dict[str, ParameterValue] = {"length": length, "seed": seed, "samples": samples}
    named |= {"top_k": top_k, "top_p": top_p, "repetition_penalty": repetition_penalty}
    named |= {"temperature": own.one_or_all(temperature), "stop": own.one_or_all(stop)}
    fields = {"format": format_name, "id_field": id_field, "text_field": text_field}
    given = [*(texts or []), *(prompt or [])] or ([] if prompts else [""])
    order = _Order(
        prompts=given,
        model=model,
        parameters=own.merged_parameters(param or [], named),
        priority=options.read_priority(priority),
        expires_in_s=options.read_expires_in(expires_in),
        is_live=bool(given) and not (no_stream or as_json or detach or out),
        as_json=as_json,
    )
    _carry_out(order, prompts, fields, out, detach=detach)


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for."""

    #: Those of the command line; none where a file has them.
    prompts: list[str]
    model: str
    parameters: "dict[str, ParameterValue]"
    priority: "Priority"
    expires_in_s: int | None
    #: True where texts are printed while they are written.
    is_live: bool
    as_json: bool


def _carry_out(
    order: _Order, file: str | None, fields: dict[str, str], out: Path | None, *, detach: bool
) -> None:
    from seqd.cli.bulk import Output, result_files, see_through
    from seqd.cli.detaching import leave_running
    from seqd.cli.following import cancelling, say_if_nobody_is_there
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.sources import feed_of
    from seqd.cli.tally import Tally

    screen = Screen(to_stderr=out is None or order.as_json or detach)
    with (
        feed_of(file, order.prompts, fields, allow_empty=True) as feed,
        result_files(None if detach else out, file) as files,
        options.open_client() as client,
    ):
        handle = _hand_in(client, feed.without_labels(), order)
        if detach:
            leave_running(handle, screen, as_json=order.as_json)
            return
        output = Output(files, _printer(order), order.as_json)
        with cancelling(handle, screen):
            live = _live_texts(client, handle, order) if order.is_live else None
            say_if_nobody_is_there(client, handle, screen)
            status = see_through(handle, screen, output, Tally(), lambda: feed.is_complete, live)
    raise typer.Exit(status)


def _hand_in(client: "Client", feed: "Feed", order: _Order) -> "JobHandle":
    return client.generate(
        feed,
        model=order.model,
        parameters=order.parameters,
        priority=order.priority,
        expires_in_s=order.expires_in_s,
        stream=order.is_live,
    )


def _live_texts(client: "Client", handle: "JobHandle", order: _Order) -> "Iterator[Result]":
    """Give the job's results; its texts are printed before the first, as they come."""
    from seqd.cli.live_texts import LiveTexts, expected_temperatures
    from seqd.cli.rendering.results import GenerationPrinter
    from seqd.cli.rendering.screen import Screen
    from seqd.inputs import items_of

    names = [item.custom_id for item in items_of(order.prompts, allow_empty=True)]
    entry = client.catalog().get(order.model.split("@")[0])
    return LiveTexts(
        GenerationPrinter(Screen()),
        dict(zip(names, order.prompts, strict=True)),
        expected_temperatures(entry, order.parameters),
    ).results_of(handle)


def _printer(order: _Order) -> "Callable[[Result], None]":
    from seqd.cli.bulk import print_line
    from seqd.cli.rendering.results import GenerationPrinter
    from seqd.cli.rendering.screen import Screen

    if order.is_live:
        return lambda result: None  # printed by then
    return print_line if order.as_json else GenerationPrinter(Screen()).show

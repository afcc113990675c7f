"""The options of `seqd generate`: what is to be continued, and how the texts are to be written.

The latter are each the parameter of its name in most models; a model that does not know one
refuses it and says what it knows. Also how they become parameters, beside those of `--param`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli.options import read_parameters

if TYPE_CHECKING:
    from seqd_schemas import ParameterValue

Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PROMPT]...", help="Texts to continue; none continues nothing."),
]
Prompt = Annotated[
    list[str] | None,
    typer.Option("--prompt", "-p", metavar="TEXT", help="A text to continue; repeatable."),
]
Prompts = Annotated[
    str | None, typer.Option("--prompts", help="File of prompts; - is standard input.")
]
NoStream = Annotated[bool, typer.Option("--no-stream", help="Print each text when it is whole.")]
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


def merged_parameters(
    pairs: list[str], typed: "Mapping[str, ParameterValue]"
) -> "dict[str, ParameterValue]":
    """Merge `--param` with the options that stand for common parameters, where they are given."""
    given = {name: value for name, value in typed.items() if value is not None}
    return read_parameters(pairs) | given


def one_or_all(values: list[float] | list[str] | None) -> "ParameterValue":
    """Give one value as it is, several as a list, None for none."""
    if not values:
        return None
    return values[0] if len(values) == 1 else [*values]

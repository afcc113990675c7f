"""Puts the commands together into `seqd`; decides their names, order and headings."""

from typing import Annotated

import typer

from seqd.cli.bench import app as bench
from seqd.cli.classify import classify
from seqd.cli.demo import demo
from seqd.cli.generate import generate
from seqd.cli.jobs import app as jobs
from seqd.cli.models import app as models
from seqd.cli.plugins import app as plugins
from seqd.cli.schema import schema
from seqd.cli.status import status
from seqd.cli.sweep import sweep
from seqd.cli.train import train
from seqd.cli.up import up
from seqd.cli.worker import worker

_RUN = "Run the daemon"
_WORK = "Hand work in"
_LOOK = "Look at what there is"

app = typer.Typer(
    name="seqd",
    help="The sequence-model daemon: bulk classification, training and generation.",
    no_args_is_help=True,
    add_completion=False,
    # An unforeseen error shows Python's own traceback, which can be reported as it is.
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from seqd import __version__

        typer.echo(f"seqd {__version__}")
        raise typer.Exit


@app.callback()
def seqd(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    """The sequence-model daemon: bulk classification, training and generation."""


app.command("demo", rich_help_panel=_RUN)(demo)
app.command("up", rich_help_panel=_RUN)(up)
app.command("worker", rich_help_panel=_RUN)(worker)
app.command("classify", rich_help_panel=_WORK)(classify)
app.command("train", rich_help_panel=_WORK)(train)
app.command("sweep", rich_help_panel=_WORK)(sweep)
app.command("generate", rich_help_panel=_WORK)(generate)
app.add_typer(jobs, name="jobs", rich_help_panel=_WORK)
app.command("status", rich_help_panel=_LOOK)(status)
app.add_typer(models, name="models", rich_help_panel=_LOOK)
app.add_typer(plugins, name="plugins", rich_help_panel=_LOOK)
app.add_typer(bench, name="bench", rich_help_panel=_LOOK)
app.command("schema", rich_help_panel=_LOOK)(schema)

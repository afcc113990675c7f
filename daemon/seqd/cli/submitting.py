"""How a command hands a job of items in, and writes or prints their results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from seqd.cli import options
from seqd.cli.bulk import Output, Result, follow_bulk_job
from seqd.cli.exits import OK
from seqd.cli.handing_in import HandIn
from seqd.cli.output_options import OutputOptions, opened_output
from seqd.cli.resuming import begin
from seqd.cli.sources import Feed, feed_of, say_unseen
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.summary import ResultCounts
from seqd.client import Client, JobHandle
from seqd.client.requests import ItemOptions
from seqd.inputs.items import ItemRules
from seqd_schemas import FileSource

if TYPE_CHECKING:
    from seqd.cli.result_files import ResultFiles
    from seqd.client.tables import OutputField

    Send = Callable[[Client, Feed | FileSource], JobHandle[Any]]
    Live = Callable[[Client, JobHandle[Any], Feed], Iterator[Result]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a command hands in, and what becomes of the results."""

    kind: str
    file: str | None
    #: Those of the command line, in the place of a file.
    texts: Sequence[str | Mapping[str, object]]
    #: The form of the file, and the names of its fields.
    fields: Mapping[str, str]
    output: OutputOptions
    screen: Screen
    detach: bool
    #: Options of the job; with its identifier once it is handed in.
    given: ItemOptions
    #: Hands the items in, by these options.
    send: "Send"
    #: Returns what prints a result that goes into no file.
    printer: Callable[[Feed], Callable[[Result], None]]
    #: Prints texts as they come, and yields the results behind them.
    live: "Live | None" = None
    label_field: str | None = None
    rules: ItemRules | None = None
    more_columns: tuple[str, ...] = ()
    #: The fields of the output of a plugin's own task.
    output_fields: "Sequence[OutputField] | None" = None
    #: Columns of the input that go to the output, where these fields say which do.
    beside: Sequence[str] | None = None

    def run(self, client: Client | None = None) -> int:
        """Open the input and the output, and hand the job in; return the exit status."""
        if folder := self.given.get("output_folder"):
            from seqd.cli.by_reference import hand_in, source_of

            source = source_of(self.file, self.texts, self.fields, self.output)
            with options.open_client() if client is None else nullcontext(client) as opened:
                return hand_in(
                    opened,
                    source,
                    folder,
                    self.send,
                    output=self.output,
                    given=self.given,
                    screen=self.screen,
                    detach=self.detach,
                )
        is_read_twice = self.output.reads_input(self.kind) if self.beside is None else self.beside
        with (
            feed_of(
                self.file,
                self.texts,
                self.fields,
                label_field=self.label_field,
                rules=self.rules,
                beside=self.beside or (),
                is_read_twice=bool(is_read_twice),
            ) as feed,
            opened_output(
                self.output,
                self.kind,
                feed=feed,
                source=self.file,
                more_columns=self.more_columns,
                fields=self.output_fields,
            ) as files,
            options.open_client() if client is None else nullcontext(client) as opened,
        ):
            return self._hand_in(opened, feed, files)

    def _hand_in(self, client: Client, feed: Feed, files: "ResultFiles | None") -> int:
        """Hand the job in, and write its results unless it is detached; return the exit status."""
        to_stderr = self.output.goes_to_stdout or self.detach
        screen = self.screen.on_stderr() if to_stderr else self.screen

        def send(job_id: str) -> JobHandle[Any]:
            self.given["job_id"] = job_id
            return self.send(client, feed)

        hand_in = HandIn(
            client=client,
            screen=screen,
            send=send,
            job_id=self.given.get("job_id"),
            feed=feed,
            leaves=self.output.leaves,
        )
        if self.detach:
            hand_in.detached()
            say_unseen(screen, feed)
            return OK
        to = Output(files, self.printer(feed))
        with hand_in.waited_for(partial(begin, files=files, resumes=self.output.resume)) as begun:
            counts = ResultCounts(feed.labels)
            live = self.live and self.live(client, begun.handle, feed)
            results = live or begun.results
            status = follow_bulk_job(begun.handle, screen, to, counts, results)
            begun.end()
        say_unseen(screen, feed)
        return status

"""What a batch gave, as two files: its answers and its errors, each in the order of the input.

Neither is stored: both are read from the results of the job, as far as these have come.
"""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, cast

from pydantic_core import to_json

from seqd.client import AsyncJob
from seqd.errors import JobFailed
from seqd.gateway.batch_jobs import BatchJob, batch_of
from seqd.gateway.bodies import Answer, head_of
from seqd.gateway.callers import Caller
from seqd.gateway.classifications import labels_of
from seqd.gateway.completions import completed
from seqd.gateway.ledger_client import GatewayClient
from seqd_schemas import Classification, Generation, ItemFailure, ItemSuccess

_OUTPUT: Final = re.compile(r"file-(?P<job>.+)-(?P<what>output|errors)")

#: Bytes that are sent at once.
_BLOCK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class OutputFile:
    """The answers of a batch, or its errors."""

    file_id: str
    job: AsyncJob
    batch: BatchJob
    has_errors: bool

    def shown(self) -> Answer:
        """Return the file as OpenAI's clients read it; its size is known to nobody."""
        record = self.batch.record
        kept_until_ms = record.kept_until_ms
        return {
            "id": self.file_id,
            "object": "file",
            "bytes": None,
            "created_at": (record.ended_at_ms or record.created_at_ms) // 1_000,
            "expires_at": kept_until_ms and kept_until_ms // 1_000,
            "filename": f"batch_{record.job_id}_{'errors' if self.has_errors else 'output'}.jsonl",
            "purpose": "batch_output",
            "status": "processed",
            "status_details": None,
        }

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines that are there, many at once."""
        block, number = bytearray(), 0
        try:
            async with aclosing(self.job.result_lines(wait=False)) as results:
                async for line in results:
                    number += 1
                    if isinstance(line.result, ItemFailure) is self.has_errors:
                        block += to_json(self._line(line.result, number)) + b"\n"
                    if len(block) >= _BLOCK_BYTES:
                        yield bytes(block)
                        block.clear()
        except JobFailed:
            pass  # raised behind the last result; the batch's own `errors` say it
        yield bytes(block)

    def _line(self, result: ItemSuccess | ItemFailure, number: int) -> Answer:
        name = f"{self.batch.record.job_id}-{number}"
        line: Answer = {"id": f"batch_req_{name}", "custom_id": result.custom_id}
        if isinstance(result, ItemFailure):
            error = {"code": result.error.code, "message": result.error.message}
            return {**line, "response": None, "error": error}
        response = {"status_code": 200, "request_id": name, "body": self._body(result, name)}
        return {**line, "response": response, "error": None}

    def _body(self, result: ItemSuccess, name: str) -> Answer:
        """Return what the route itself would answer."""
        record, output = self.batch.record, result.output
        made = record.created_at_ms // 1_000, record.job.model
        if isinstance(output, Generation):
            return {**head_of("cmpl", "text_completion", name, *made), **completed([output])}
        labels = labels_of([cast(Classification, output)], self.batch.top_k)
        return {**head_of("classify", "list", name, *made), **labels}


async def output_file_of(file_id: str, caller: Caller, seqd: GatewayClient) -> OutputFile | None:
    """Return what a batch of the caller gave; None where the name is that of no such file."""
    named = _OUTPUT.fullmatch(file_id)
    found = named and await batch_of(named["job"], caller, seqd)
    if not named or not found:
        return None
    job, batch = found
    return OutputFile(file_id, job, batch, named["what"] == "errors")

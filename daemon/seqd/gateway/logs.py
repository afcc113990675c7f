"""The gateway's log: a line that a request has caused ends in the request's identifier."""

import logging

from seqd.log_context import acting_for
from seqd.log_lines import FORMAT, LineFormatter


def request_log() -> logging.Handler:
    """Return what writes the log of a gateway to its standard error output."""
    handler = logging.StreamHandler()
    handler.addFilter(note_request)
    handler.setFormatter(LineFormatter(f"{FORMAT}%(request)s"))
    return handler


def note_request(record: logging.LogRecord) -> bool:
    """Note on a record which request has caused it, as a filter of a handler; returns True."""
    request_id = acting_for.get().get("request")
    record.request = "" if request_id is None else f" request={request_id}"
    return True

"""The lines of a batch's file: what all of them ask for, or the first that asks for something else.

A batch is one job, so its lines share all but the text and its name. Two lines with one name are
found by the workers.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from seqd.errors import InvalidInput, wire_text
from seqd.escaping import one_line
from seqd.inputs.items import BadEntry, invalid
from seqd.inputs.paths import Compression
from seqd.inputs.records import JsonlReader
from seqd.inputs.streams import Content, open_text_bytes
from seqd.validation import shown
from seqd_schemas import CommonRequest, FileSource, JobKind, LineFault

#: Bytes of what bodies share, as JSON.
_MOST_BODY_BYTES: Final = 4_096


class Endpoint(NamedTuple):
    """A route whose requests may stand in a batch."""

    kind: JobKind
    #: The field of a body with the text.
    text: str


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "/v1/classify": Endpoint("classify", "input"),
    "/v1/completions": Endpoint("generate", "prompt"),
}

_ALLOWED: Final = (
    '{"custom_id": …, "method": "POST", "url": "/v1/classify", "body": {"input": …}}, or '
    '{"custom_id": …, "text": …}'
)


class FileLines(NamedTuple):
    """What was found in a file."""

    #: Lines that are not blank; of a file with a fault, those up to it.
    lines: int
    common: CommonRequest | None = None
    fault: LineFault | None = None


#: How messages call the file.
_FILE: Final = Path("The file")


def lines_of(content: Content, filename: str) -> FileLines:
    """Return what the lines of a whole file have in common; reads all of it, a line at a time.

    Raises InvalidInput for a file of which no line can be read, or that is named as a compressed
    one, by which workers would read it.
    """
    content.read_into(head := bytearray(4), 0)
    for one in Compression:
        if head.startswith(one.magic) or filename.lower().endswith(one.suffix):
            raise InvalidInput(
                f"The file is compressed by {one}, or named so. Upload it uncompressed"
            )
    opener = partial(open_text_bytes, content=content)
    reader = JsonlReader(_FILE, FileSource(path=str(_FILE)), opener=opener)
    lines, first, common = 0, 0, None
    for number, raw in reader.raws():
        lines += 1
        try:
            asked = _request_of(reader.value(raw))
            if common is None:
                first, common = number, _checked(asked)
            elif asked != (common.url, common.body):
                raise _differing(asked, common, first)
        except BadEntry as bad:
            reason = wire_text(f"{bad.reason.rstrip('.?')}.")
            return FileLines(lines, fault=LineFault(line=number, message=reason))
    return FileLines(lines, common)


def _request_of(value: object) -> tuple[str | None, dict[str, object]]:
    """Return the route that a line asks, and its body without the text. Raises BadEntry."""
    if not isinstance(value, Mapping):
        raise invalid(f"it is a text; allowed: {_ALLOWED}")
    if "body" not in value and "text" in value:
        return None, {}
    body, url = value.get("body"), value.get("url")
    if not isinstance(body, Mapping):
        raise invalid(f"it has no body and no text; allowed: {_ALLOWED}")
    if value.get("method") != "POST":
        raise invalid(f"its method is {shown(value.get('method'))}; allowed: 'POST'")
    endpoint = ENDPOINTS.get(url) if isinstance(url, str) else None
    if endpoint is None:
        raise invalid(f"its url is {shown(url)}; allowed: {', '.join(ENDPOINTS)}")
    if isinstance(body.get(endpoint.text), list):
        raise invalid(
            f"its body's {endpoint.text} is a list; allowed: one text, and a line for each"
        )
    if endpoint.text not in body:
        raise invalid(f"its body has no field {endpoint.text!r}")
    return url, {name: one for name, one in body.items() if name != endpoint.text}


def _checked(asked: tuple[str | None, dict[str, object]]) -> CommonRequest:
    """Return the request of the first line as a record. Raises BadEntry where none can hold it."""
    url, body = asked
    try:
        common = CommonRequest.model_validate({"url": url, "body": body})
        size = len(common.model_dump_json())
    except ValueError as error:  # too many fields, names too long, lone surrogates
        raise invalid(f"its body cannot be used: {one_line(str(error), 200)}") from None
    if size > _MOST_BODY_BYTES:
        raise invalid(f"its body has more than {_MOST_BODY_BYTES:,} bytes beside its text")
    return common


def _differing(
    asked: tuple[str | None, dict[str, object]], common: CommonRequest, first: int
) -> BadEntry:
    """Make the fault of a line that asks for something else than the first one."""
    has, had = {"url": asked[0], **asked[1]}, {"url": common.url, **common.body}
    name = next((one for one in {**had, **has} if has.get(one, has) != had.get(one, had)), "url")
    here, there = (shown(one[name]) if name in one else "not there" for one in (has, had))
    return invalid(
        f"its {name} is {here}, that of line {first} is {there}; allowed: the same in all lines of "
        "a batch, but for the text. Upload a file for each"
    )

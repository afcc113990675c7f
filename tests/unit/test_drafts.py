"""Files that get their name when they are whole."""

import errno
from pathlib import Path

import pytest

from seqd.cli.drafts import placed
from seqd.cli.output_forms import Form, Target
from seqd.errors import OutputUnwritable


def test_an_error_of_another_file_is_not_said_of_the_output(tmp_path: Path):
    target = Target(tmp_path / "out.jsonl", Form.JSONL)

    with (
        pytest.raises(OSError, match="of the data") as raised,
        placed(target, "--changed", replaces=False) as file,
    ):
        file.write(b"{}\n")
        raise OSError(errno.EIO, "of the data")

    assert raised.value.errno == errno.EIO
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size_bytes", [1, 1_000_000])
def test_an_output_without_room_is_named_when_it_is_written_or_closed(size_bytes: int):
    target = Target(Path("/dev/full"), Form.CSV, is_stream=True)

    with (
        pytest.raises(OutputUnwritable, match=r"^--changed is '/dev/full', which .*\(No space"),
        placed(target, "--changed", replaces=False) as file,
    ):
        file.write(b"x" * size_bytes)

"""What `seqd doctor` says last: where jobs are looked at, unless something is an error."""

import pytest

from cli_builders import here
from seqd.doctor.findings import Report, finding

LINE = "A job is slow or stands still? seqd explain JOB, seqd queues --by-tenant"


@pytest.mark.parametrize(
    ("kind", "is_said"), [(None, True), ("worker-deaths", True), ("redis-tls", False)]
)
def test_who_finds_no_error_is_told_where_jobs_are_looked_at(kind, is_said, capsys, monkeypatch):
    findings = [] if kind is None else [finding(kind, "It is so", "Mend it")]
    monkeypatch.setattr("seqd.cli.doctor.examine", lambda *_, **__: Report(findings=findings))

    ended = here(capsys, "doctor")

    assert (LINE in ended.out.splitlines()) is is_said
    assert ended.status == (0 if is_said else 1)

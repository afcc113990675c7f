"""What made a job's results, as tables and files of Parquet carry it in their metadata."""

from collections.abc import Sequence

from seqd_schemas import JobRecord, ModelReference, RunJob


def facts_of(records: Sequence[JobRecord]) -> dict[str, str]:
    """Return names and values that say what made the results of a job, or of it and its retries.

    The job is the first, and the model its own; the plugin's versions are those of all. Of a
    plugin's own task, `seqd.task` is its name, and `seqd.task_schema` the digest of its schemas.
    """
    first = records[0]
    versions = dict.fromkeys(version for record in records for version in record.plugin_versions)
    facts = {
        "seqd.job_id": first.job_id,
        "seqd.model": str(ModelReference(first.model, first.version)),
        "seqd.task": first.job.task if isinstance(first.job, RunJob) else "",
        "seqd.task_schema": first.task_schema or "",
        "seqd.plugin_versions": ",".join(versions),
    }
    return {name: value for name, value in facts.items() if value}

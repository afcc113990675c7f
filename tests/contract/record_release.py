"""Records what a release stores: `python record_release.py 0.2`, once, when it is made.

Writes `releases/VERSION/`: records of each kind, the JSON Schemas by which they are read, and a
ledger with jobs in every state. What is recorded is never changed afterwards.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from checkout import use_checkout
from ledger_fixtures import open_environment
from redis_fixtures import PrivateServer, binary_of_kind
from release_samples import (
    NEW_RECORDS,
    PREFIX,
    RELEASES,
    build_ledger,
    dump_keys,
    sample_records,
    write_json,
)
from seqd.ledger import connect
from seqd.settings import Settings
from seqd_schemas import json_schemas, to_stored


def record_release(version: str) -> Path:
    """Write the folder of a release; return it. Raises FileExistsError for one that there is."""
    rows = [
        {"kind": kind, "stored": to_stored(record)}
        for kind, records in sample_records().items()
        for record in records
    ]
    folder = RELEASES / version
    folder.mkdir(parents=True)
    write_json(folder / "records.json", rows)
    write_json(
        folder / "schemas.json", {name: json.loads(text) for name, text in json_schemas().items()}
    )
    write_json(folder / "ledger.json", _ledger())
    write_json(NEW_RECORDS, [])
    return folder


def _ledger() -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as scratch:
        server = PrivateServer(binary_of_kind("redis"), Path(scratch))
        server.start()
        try:
            settings = Settings(redis_url=server.url, prefix=PREFIX, data_dir=Path(scratch))
            with connect(server.url) as redis:
                environment = open_environment(redis, settings)
                build_ledger(environment)
                return dump_keys(redis, PREFIX)
        finally:
            server.stop()


if __name__ == "__main__":
    use_checkout()
    print(f"recorded {record_release(sys.argv[1])}")

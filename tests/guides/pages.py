"""How each page of the guides is followed, and what of it is only shown, with the reason.

A key of `shown` is the beginning of a block, or of a line where commands are typed line by line; ""
is all that is left of a page. A reason that begins with `tests/` is the test that runs the block
amid what it needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from example_plugin import OTHER_EXAMPLES
from guides.daemons import Start, bucket, gateway, none, services, up
from guides.texts import DESKS, TOPICS, labelled, prose
from readme_blocks import ROOT, Block

#: Languages of files that are written; others are run by tests that have their tools.
WRITTEN = {"python", "toml", "jsonl"}


@dataclass(frozen=True)
class Page:
    """What a page needs, and what of it is not run."""

    shown: Mapping[str, str] = field(default_factory=dict)
    daemon: Start = none
    #: Whether no other page is followed on its daemon.
    is_alone: bool = False
    #: Files that the reader has.
    files: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    #: What is typed in front of a block, by the beginning of that.
    before: Mapping[str, str] = field(default_factory=dict)
    #: What a block prints at last, by its beginning; until then it is typed again.
    awaited: Mapping[str, str] = field(default_factory=dict)
    #: Whether it is left to `make test-all`.
    is_slow: bool = False
    #: Whether it is left to `make test-long`.
    is_long: bool = False

    def is_shown(self, block: Block) -> bool:
        """Return True for a block that is not run; of one that is typed line by line, all lines."""
        is_by_line = self.daemon is services and block.language == "sh"
        if not is_by_line and self.reason_of(block.text):
            return True
        if block.file:
            return block.language not in WRITTEN
        return block.language not in ("sh", "python")

    def is_output(self, block: Block, before: Block | None) -> bool:
        """Return True for a block that is what the one in front of it prints."""
        return (
            before is not None
            and not before.file
            and not self.is_shown(before)
            and block.language == "text"
            and not self.reason_of(block.text)
        )

    def reason_of(self, text: str) -> str:
        """Return why a block or a line is only shown; "" where it is run."""
        return of_beginning(self.shown, text)


def of_beginning(known: Mapping[str, str], text: str) -> str:
    """Return what is known of a text by its beginning, or ""."""
    return next((said for start, said in known.items() if text.startswith(start)), "")


ENGINES = "tests/integration/test_engines.py"
LANGUAGES = "tests/integration/test_other_languages.py"
SERVICE = "tests/integration/test_service_guide.py"
NODE = "tests/gateway/test_openai_flows.py"

#: Types into a shell that what these modules make is taken as registering would.
TAKEN = """python -c '
import sys
from importlib import import_module
from seqd.models.descriptions import check_model
from seqd.plugin.decorated import decorated_models
for name in sys.argv[1:]:
    for model in decorated_models(import_module(name.removesuffix(".py"))):
        check_model(model)
        print(model.name)
' seqd_*.py"""

SHORT = "seqd train imdb_lstm --data train.jsonl --held-out test.jsonl --labels short"

#: Types that what was trained tells messages which it has not seen.
TOLD_APART = """python -c '
import json
said = [json.loads(line)["output"]["label"] for line in open("desks.jsonl")]
true = [json.loads(line)["label"] for line in open("test.jsonl")]
assert sum(map(str.__eq__, said, true)) >= 0.95 * len(true), said
'"""

SCALED = ROOT / "docker" / "k8s" / "components" / "keda" / "scaledobject.yaml"

IMAGE = "needs Docker; tests/images runs what it runs"
MINUTES = "takes minutes"
PICTURE = "a drawing"
BUSY = "an example of a fleet that fails"
TERMINAL = "is for a terminal, and goes on until it is ended"
THIS_DAEMON = "what the page is followed on"
WIRE = "an example of the wire format, which tests/contract/test_wire_format.py holds"

#: What a page needs that needs something.
NEEDS: Mapping[str, Page] = {
    "README.md": Page(
        {
            "make demo": MINUTES,
            "source ": THIS_DAEMON,
        },
        up,
        is_slow=True,
    ),
    "daemon/README.md": Page({"  service": PICTURE, "make ": MINUTES}),
    "daemon/work.md": Page({"submit.lua": PICTURE, "seqd worker ": PICTURE}),
    "docker/README.md": Page({"": IMAGE}),
    "docker/RUNBOOK.md": Page(daemon=services),
    "docker/acting.md": Page(daemon=services),
    "docker/backup.md": Page({"": "tests/integration/test_backup_restore.py"}),
    "docker/compose.md": Page({"": IMAGE}),
    "docker/doctor.md": Page(daemon=services, files={"keda.yaml": SCALED.read_text}, is_slow=True),
    "docker/failures.md": Page({"2 causes": BUSY}, services),
    "docker/hosts.md": Page(
        {
            "pip": "tests/integration/test_hosts.py",
            "SEQD_GATEWAY_FILES": "tests/gateway/test_files_in_a_bucket.py",
        },
        bucket,
        is_alone=True,
        files={"proverbs.txt": prose(200)},
        is_slow=True,
    ),
    "docker/images.md": Page({"": IMAGE}),
    "docker/kubernetes.md": Page({"": "needs Kubernetes"}),
    "docker/models.md": Page(
        daemon=up,
        is_alone=True,
        files={
            "topics.jsonl": labelled(80, "topics", TOPICS),
            "more.jsonl": labelled(100, "more", TOPICS),
            "test.jsonl": labelled(60, "test", TOPICS),
        },
        before={
            "seqd models add weights": (
                "cp -r $SEQD_DATA_DIR/models/topics/2 weights && rm weights/manifest.json"
            )
        },
        is_slow=True,
    ),
    "docker/monitoring.md": Page({"": "tests/deploy/test_monitoring.py"}),
    "docker/placement.md": Page(daemon=services),
    "docker/probes.md": Page({"": "tests/integration/test_probe_commands.py"}),
    "docker/redis.md": Page(
        {
            "appendonly": "tests/integration/test_ledger_safety.py",
            "SEQD_REDIS_URL": "tests/deploy/test_guide.py",
        }
    ),
    "docker/sentinel.md": Page(
        {
            "export": "tests/deploy/test_guide.py",
            "appendonly": "tests/integration/test_redis_sentinel.py",
        }
    ),
    "docker/security.md": Page(is_slow=True),
    "docker/systemd.md": Page({"": "needs systemd; tests/deploy/test_systemd.py reads the units"}),
    "docker/tenants.md": Page(daemon=services),
    "docker/tls.md": Page({"export": "tests/deploy/test_guide.py"}),
    "docker/top.md": Page(
        {
            "seqd top  ": TERMINAL,
            "seqd top --view": TERMINAL,
            "seqd top --every": TERMINAL,
        },
        services,
    ),
    "docker/up.md": Page(
        {"seqd up": THIS_DAEMON, "export": "needs a server of one's own"}, services
    ),
    "docker/upgrade.md": Page({"": "tests/releases/test_upgrade.py"}),
    "docker/workers.md": Page({"": "tests/integration/test_worker_cordons.py"}),
    "plugins/README.md": Page(is_slow=True),
    "plugins/contract.md": Page(is_slow=True),
    "plugins/how-to.md": Page(
        {
            "seqd models add weights/": "docker/models.md adds weights",
            "python -m build": "publishes to an index",
            "python -m seqd.starters": "tests/unit/test_starters_commands.py",
            "[tool.setuptools]": "replaces sections of a file",
            "[tool.mypy]": "an excerpt",
        },
        before={"python -m pytest": TAKEN},
        is_slow=True,
    ),
    "plugins/reference.md": Page({"": "signatures, made from the code"}),
    "plugins/tutorial.md": Page(is_slow=True),
    "plugins/seqd_char_lstm/README.md": Page(
        daemon=up, files={"corpus.txt": prose(700)}, is_slow=True
    ),
    "plugins/seqd_imdb_lstm/README.md": Page(
        {
            '{"text": "Das Paket': "the form of a larger file",
            "first   imdb_lstm@2": "the figures of one run",
        },
        up,
        files={
            "train.jsonl": labelled(480, "train", DESKS),
            "test.jsonl": labelled(120, "test", DESKS),
        },
        before={SHORT: TOLD_APART},
        is_slow=True,
    ),
    "plugins/seqd_markov/README.md": Page(
        {"seqd sweep": MINUTES}, up, files={"book.txt": prose(3_000)}, is_slow=True
    ),
    "schemas/by-reference.md": Page(
        daemon=services, files={"reviews.jsonl": labelled(40, "reviews", TOPICS)}
    ),
    "schemas/README.md": Page(
        {
            "import numpy as np\n\nfrom seqd.client import Client, Embedding": (
                "tests/integration/test_run_client.py"
            )
        },
        up,
        is_slow=True,
    ),
    "schemas/files.md": Page(daemon=up, is_slow=True),
    "schemas/languages.md": Page(
        {"XREAD": WIRE, '{"': WIRE, "import type": LANGUAGES, "npx": LANGUAGES},
        up,
        awaited={
            'redis-cli -h "$REDIS_HOST" -p "$REDIS_PORT" XREAD BLOCK 10000 STREAMS \'seqd:job': (
                "completed"
            )
        },
        is_slow=True,
    ),
    "schemas/engines.md": Page(
        dict.fromkeys(
            ("import ray", "import dask", "from pyspark", "seqd classify reviews.jsonl"), ENGINES
        ),
        is_slow=True,
    ),
    "schemas/http.md": Page(
        {
            "pip install": THIS_DAEMON,
            "export GATEWAY": THIS_DAEMON,
            'import OpenAI from "openai"': NODE,
        },
        gateway,
        is_alone=True,
        is_slow=True,
    ),
    "schemas/results.md": Page(daemon=up, is_slow=True),
    "schemas/service.md": Page(
        {
            "from collections.abc import AsyncIterator": SERVICE,
            "pip install 'fastapi": SERVICE,
        },
        up,
        is_slow=True,
    ),
    "schemas/training.md": Page(daemon=up, files={"corpus.txt": prose(100)}, is_slow=True),
    "tests/bench/README.md": Page({"make ": MINUTES}),
    "tests/drills/README.md": Page({"make drills": MINUTES}),
    **{
        f"plugins/examples/seqd_{name}/README.md": Page(
            {"pip install": "tests/integration/test_example_plugins.py"},
            up,
            is_slow=True,
            is_long=name == "gru",
        )
        for name in ("embed", *OTHER_EXAMPLES)
    },
}


def name_of(path: Path) -> str:
    """Return how a page is called."""
    return path.relative_to(ROOT).as_posix()


def page_of(path: Path) -> Page:
    """Return how a page is followed; one that nobody has listed needs nothing."""
    return NEEDS.get(name_of(path), Page())

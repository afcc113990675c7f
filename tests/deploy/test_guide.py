"""What the operators' guide names is so: variables, addresses, the object that scales."""

import re

import yaml

from deploy_files import DOCKER, documents
from readme_blocks import blocks_of
from seqd.local.redis_address import check_redis_url


def test_each_variable_of_the_compose_files_is_explained() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCKER.glob("compose*.yaml"))
    explained = (DOCKER / "compose.md").read_text(encoding="utf-8")

    names = set(re.findall(r"\$\{(STACK_\w+)", text))
    by_kind = re.compile(r"STACK_(TRAINER|GPU)_(CPUS|MEMORY)")  # told in one row with WORKER
    missing = [name for name in names if f"`{name}`" not in explained and not by_kind.match(name)]
    assert missing == []
    for name, default in re.findall(r"\$\{(STACK_\w+):-([^}]+)\}", text):
        if not by_kind.match(name) and (name, default) != ("STACK_WORKERS", "0"):
            assert default in explained, name


def test_each_address_of_redis_is_one() -> None:
    pages = [page.read_text(encoding="utf-8") for page in DOCKER.glob("*.md")]
    shown = re.compile(r"^(?:export )?SEQD_REDIS_URL=(\w\S+)$", re.M)
    addresses = [address for page in pages for address in shown.findall(page)]

    schemes = {address.partition(":")[0] for address in addresses}
    assert schemes == {"redis", "unix", "rediss", "redis+sentinel"}
    for address in addresses:
        check_redis_url(address)


def test_the_scaled_object_of_the_guide_is_that_of_the_files() -> None:
    (block,) = blocks_of(DOCKER / "scaling.md", "text")
    told = yaml.safe_load(block.text)
    (scaled,) = documents(DOCKER / "k8s" / "components" / "keda" / "scaledobject.yaml")
    made = scaled["spec"]

    triggers = zip(told.pop("triggers"), made["triggers"], strict=True)

    assert told == {name: made[name] for name in told}
    for one, other in triggers:
        assert one["type"] == other["type"]
        assert one["metadata"] == {name: other["metadata"][name] for name in one["metadata"]}

"""What the operators' guide names is so: variables, addresses, the object that scales."""

import re

import yaml

from deploy_files import DOCKER, documents
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


def test_each_setting_of_keda_that_the_guide_explains_is_at_its_place_in_the_file() -> None:
    page = (DOCKER / "scaling.md").read_text(encoding="utf-8")
    (scaled,) = documents(DOCKER / "k8s" / "components" / "keda" / "scaledobject.yaml")
    spec = scaled["spec"]
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]

    told = yaml.safe_load("\n".join(re.findall(r"^\| `(\w+: .+?)` \|", page, re.M)))
    seconds_of_work, busy_workers = (
        {name: (spec | down | one | one["metadata"]).get(name) for name in told}
        for one in spec["triggers"]
    )

    assert len(told) > 5
    assert seconds_of_work == told
    assert busy_workers == told | {"threshold": "1"}

"""Each command, setting, port, metric and path that the files in `docker/` name is there."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

from deploy_files import (
    COMPOSE_FILES,
    DOCKER,
    UNITS,
    commands,
    documents,
    kubernetes_files,
    pods,
    services,
    settings,
    unknown_in,
    values,
)
from seqd.settings import Settings

EXPORTER_PORT = 9808
GATEWAY_PORT = 8080
WORKER_PORT = 9809

#: Where the image has its things, and a unit expects them.
DATA_DIR, USER, PROGRAM = "/var/lib/seqd", "10001", "/opt/seqd/bin/seqd"


def known_settings() -> set[str]:
    return {f"SEQD_{name.upper()}" for name in Settings.model_fields}


def known_metrics() -> set[str]:
    """Return the names that stand in the exporter's sources."""
    found = find_spec("seqd.exporter")
    assert found is not None and found.submodule_search_locations is not None
    constants = [
        node.value
        for folder in found.submodule_search_locations
        for path in Path(folder).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return {text for text in constants if re.fullmatch(r"seqd_[a-z_]+", text)}


def test_each_command_and_each_of_its_options_exist() -> None:
    for command in commands():
        unknown = unknown_in(command.words)

        assert unknown == set(), f"{command.where}: seqd {' '.join(command.words)}"


def test_there_are_commands_of_each_kind_of_file() -> None:
    suffixes = {Path(command.where.partition(":")[0]).suffix for command in commands()}
    called = {command.words[0] for command in commands()}

    assert suffixes == {".yaml", ".service", ".sh"}
    assert called == {"worker", "up", "exporter", "gateway", "probe", "status", "redis"}


def test_each_setting_exists() -> None:
    assert settings() - known_settings() == set()
    assert "SEQD_SECRETS_DIR" in settings()


def test_a_variable_of_the_compose_files_is_a_setting_or_is_not_called_like_one() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in COMPOSE_FILES)
    named = set(re.findall(r"\$\{(\w+)", text))

    ours = {name for name in named if name.startswith("SEQD_")}
    assert ours - known_settings() == set()
    assert {name for name in named - ours if not name.startswith("STACK_")} == set()


def test_a_secret_has_the_name_of_its_setting_and_is_one_that_the_script_writes() -> None:
    script = (DOCKER / "make_secrets.sh").read_text(encoding="utf-8")
    written = {f"{role}-url" for role in re.findall(r"for role in (.*); do", script)[0].split()}
    targets, files = set(), set()
    for _, service in services():
        targets |= {one["target"] for one in service.get("secrets", ())}
    for _, pod in pods():
        for item in [i for v in pod["volumes"] if "secret" in v for i in v["secret"]["items"]]:
            targets.add(item["path"])
            files.add(item["key"])
    for path in UNITS:
        for line in values(path, "LoadCredential"):
            targets.add(line.partition(":")[0])
            files.add(Path(line.partition(":")[2]).name)
    for secret in documents(COMPOSE_FILES[0])[0]["secrets"].values():
        files.add(Path(secret["file"]).name)

    assert targets - {"users.acl"} == {"seqd_redis_url"}
    assert files - {"users.acl"} <= written
    assert {name.removeprefix("seqd_") for name in targets - {"users.acl"}} <= set(
        Settings.model_fields
    )


def test_the_ports_are_those_of_metrics_and_of_the_gateway() -> None:
    #: Of each kind of container: how its port is called, its setting, and its number.
    kinds = {
        "exporter": ("metrics", "SEQD_EXPORTER_PORT", EXPORTER_PORT),
        "gateway": ("http", "SEQD_GATEWAY_PORT", GATEWAY_PORT),
        "worker": ("metrics", "SEQD_WORKER_METRICS_PORT", WORKER_PORT),
    }
    ports = set()
    for _, pod in pods():
        for container in pod["containers"]:
            name, variable, number = kinds[container["name"]]
            assert container["ports"] == [{"name": name, "containerPort": number}]
            said = {one["name"]: one.get("value") for one in container["env"]}
            assert said[variable] == str(number)
    for _, service in services():
        ports |= {int(text.rpartition(":")[2]) for text in service.get("ports", ())}
    for path in kubernetes_files():
        for document in documents(path):
            if document["kind"] == "Service":
                ports |= {port["port"] for port in document["spec"].get("ports", ())}

    assert ports == {EXPORTER_PORT, GATEWAY_PORT, 80}
    assert Settings.model_fields["gateway_port"].default == GATEWAY_PORT
    assert Settings.model_fields["exporter_port"].default == EXPORTER_PORT


def test_each_metric_is_one_that_the_exporter_has() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCKER.rglob("*.yaml"))
    queries = re.findall(r"query: (.*)", text)
    named = {name for query in queries for name in re.findall(r"seqd_[a-z_]+", query)}

    assert named == {"seqd_work_left_seconds", "seqd_busy_workers"}
    assert named <= known_metrics()


def test_paths_and_user_are_those_of_the_image() -> None:
    for where, pod in pods():
        user = pod["securityContext"]["runAsUser"]
        assert str(user) == USER, where
        mounts = {one["mountPath"] for c in pod["containers"] for one in c["volumeMounts"]}
        assert DATA_DIR in mounts, where
    for where, service in services():
        if "redis" not in where and "user" in service:
            assert service["user"] == f"{USER}:{USER}", where
    for path in UNITS:
        assert values(path, "ExecStart")[0].startswith(f"{PROGRAM} "), path
    dockerfile = DOCKER / "Dockerfile"
    if dockerfile.exists():
        text = dockerfile.read_text(encoding="utf-8")
        assert f"USER {USER}:{USER}" in text
        assert f"SEQD_DATA_DIR={DATA_DIR}" in text
        assert str(Path(PROGRAM).parent) in text
        assert 'ENTRYPOINT ["seqd"]' in text
        assert set(re.findall(r"^FROM .* AS (cpu|gpu)$", text, re.M)) == {"cpu", "gpu"}

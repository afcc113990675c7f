"""The compose files, as Docker Compose itself reads them, and what each container may do."""

import shutil
from functools import cache
from pathlib import Path

import pytest
import yaml

from deploy_files import COMPOSE_FILES, Document, documents, run, services


def compose() -> tuple[str, ...]:
    """Return how Compose is called here, or skip: the check needs no daemon."""
    alone, docker = shutil.which("docker-compose"), shutil.which("docker")
    if alone:
        return (alone,)
    if docker and run("docker", "compose", "version").returncode == 0:
        return (docker, "compose")
    pytest.skip("Docker Compose is not installed here; `apt-get install docker-compose`")


@cache
def read(*files: Path) -> Document:
    """Return the files as Compose merges them; it refuses what its schema does not have."""
    named = [word for file in files for word in ("-f", str(file))]
    done = run(
        *compose(), *named, "--profile", "cli", "--profile", "gateway", "config",
        env={"PATH": "/usr/bin:/bin", "HOME": "/home/none", "STACK_SECRETS": "/secrets"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    merged = yaml.safe_load(done.stdout)
    assert isinstance(merged, dict)
    return merged


def test_compose_reads_the_stack_of_one_machine() -> None:
    stack = read(COMPOSE_FILES[0])

    assert set(stack["services"]) == {"redis", "worker", "trainer", "exporter", "gateway", "cli"}
    assert stack["services"]["worker"]["deploy"]["replicas"] == 2
    assert stack["services"]["worker"]["stop_grace_period"] == "45s"


def test_a_gateway_writes_the_files_that_workers_read_and_its_port_may_be_a_range() -> None:
    stack = read(COMPOSE_FILES[0])["services"]

    folder = {"type": "volume", "source": "files", "target": "/files"}
    (own,) = stack["gateway"]["volumes"]
    assert own.items() >= folder.items() and not own.get("read_only")
    for name in ("worker", "trainer"):
        (mount,) = [one for one in stack[name]["volumes"] if one["target"] == "/files"]
        assert mount.items() >= {**folder, "read_only": True}.items(), name
    for name in ("gateway", "worker", "trainer"):
        assert stack[name]["environment"]["SEQD_GATEWAY_FILES"] == "/files", name
    assert stack["gateway"]["profiles"] == ["gateway"]  # without a key it would not start
    assert stack["gateway"]["secrets"] == [{"source": "gateway-url", "target": "seqd_redis_url"}]
    assert "{STACK_GATEWAY_PORTS:-8080}:8080" in COMPOSE_FILES[0].read_text(encoding="utf-8")


def test_compose_reads_the_stack_with_one_container_a_gpu() -> None:
    stack = read(*COMPOSE_FILES[:2])["services"]

    devices = [
        device["device_ids"]
        for service in stack.values()
        for device in service.get("deploy", {})
        .get("resources", {})
        .get("reservations", {})
        .get("devices", ())
    ]
    assert devices == [["0"], ["1"]]
    assert stack["worker"]["deploy"]["replicas"] == 0
    for name in ("gpu-0", "gpu-1"):
        assert stack[name]["image"] == "seqd:gpu"
        assert stack[name]["read_only"] and stack[name]["cap_drop"] == ["ALL"]
        assert stack[name]["secrets"] == [{"source": "worker-url", "target": "seqd_redis_url"}]


def test_with_tls_redis_speaks_nothing_else_and_all_others_have_its_authority() -> None:
    plain = read(COMPOSE_FILES[0])["services"]
    stack = read(COMPOSE_FILES[0], COMPOSE_FILES[2])["services"]

    redis, others = stack["redis"], {name: one for name, one in stack.items() if name != "redis"}
    said = " ".join(redis["entrypoint"])
    assert "--port 0 --tls-port 6379" in said and 'exec "$$@"' in said
    assert redis["command"] == plain["redis"]["command"]
    for name, service in others.items():
        (mount,) = [one for one in service["volumes"] if one["target"] == "/etc/seqd/tls"]
        assert mount["source"].endswith("/tls/clients") and mount["read_only"], name
        assert service["environment"]["SEQD_REDIS_CA_FILE"] == "/etc/seqd/tls/ca.pem"
        keys = {key for key in plain[name]["environment"] if key != "SEQD_REDIS_CA_FILE"}
        assert keys <= set(service["environment"])


def test_compose_refuses_a_word_that_is_none(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(COMPOSE_FILES[0].read_text().replace("stop_grace_period", "stop_grace_time"))

    done = run(*compose(), "-f", str(wrong), "config", "-q")

    assert done.returncode != 0
    assert "stop_grace_time" in done.stderr


def test_each_container_is_closed() -> None:
    stack = read(*COMPOSE_FILES)["services"]

    for name, service in stack.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service["user"].startswith("0"), name
        assert "privileged" not in service, name
        for port in service.get("ports", ()):
            assert port["host_ip"] == "127.0.0.1", name


def test_no_password_is_in_a_variable_or_a_command() -> None:
    for where, service in services():
        said = str(service.get("environment", "")) + str(service.get("command", ""))
        assert "://" not in said, where
        assert "requirepass" not in said, where


def test_redis_keeps_what_it_acknowledged_and_evicts_nothing() -> None:
    command = documents(COMPOSE_FILES[0])[0]["services"]["redis"]["command"]
    given = dict(zip(command[1::2], command[2::2], strict=True))

    assert given["--appendonly"] == "yes"
    assert given["--maxmemory-policy"] == "noeviction"
    assert given["--maxmemory"]
    assert given["--aclfile"] == "/run/secrets/users.acl"

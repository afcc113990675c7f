"""The images, each built once a run, for all tests of this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_builders import CPU, REDIS, REVISION, Storage, missing_tools


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """Yield where images and containers are; a folder that IMAGES_STORAGE names is kept."""
    if why := missing_tools():
        pytest.skip(why)
    kept = os.environ.get("IMAGES_STORAGE")
    storage = Storage(Path(kept) if kept else tmp_path_factory.mktemp("containers"))
    try:
        storage.make_base()
        yield storage
    finally:
        if not kept:
            storage.remove()


@pytest.fixture(scope="session")
def cpu(storage: Storage) -> str:
    """Return the image of target `cpu`."""
    storage.build("cpu", CPU, REVISION=REVISION)
    return CPU


@pytest.fixture(scope="session")
def redis_image(storage: Storage) -> str:
    """Return an image in the place of the official one of Redis, which no test downloads."""
    storage.make_redis()
    return REDIS

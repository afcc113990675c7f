"""Where the embedded server of a data folder is: how one terminal finds another's.

`embedded` writes the file, readable by its owner alone, and every other command reads it
through `redis_url_of`. Holds no connection.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import redis
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.backoff import NoBackoff
from redis.retry import Retry

from seqd.errors import RedisUnreachable
from seqd.server.lock import is_alive
from seqd.server.urls import check_redis_url

if TYPE_CHECKING:
    from seqd.settings import Settings

ENDPOINT_NAME = "endpoint.json"

_TIMEOUT_S = 2.0


class Endpoint(BaseModel):
    """A running embedded server."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    url: str = Field(description="Its address, password included.")
    pid: int = Field(gt=0, description="Its process.")


def server_folder(settings: "Settings") -> Path:
    """Folder of the embedded server's files; absolute, since the server runs inside it."""
    return settings.data_dir.absolute() / "redis"


def redis_url_of(settings: "Settings") -> str:
    """Give the address to use: the one that is set, or that of the running embedded server.

    Raises InvalidSettings for an address that seqd cannot use, and RedisUnreachable when none
    is set and no embedded server answers.
    """
    if settings.redis_url is not None:
        return check_redis_url(settings.redis_url)
    path = server_folder(settings) / ENDPOINT_NAME
    endpoint = read_endpoint(path)
    if endpoint is None:
        raise RedisUnreachable(
            f"No Redis server runs for {settings.data_dir}: start one with `seqd up`, or set "
            "SEQD_REDIS_URL, such as redis://127.0.0.1:6379/0."
        )
    # The password is new at each start, so an answer can only come from that very server.
    if not (is_alive(endpoint.pid) and answers(endpoint.url)):
        raise RedisUnreachable(
            f"The Redis server of {settings.data_dir} (process {endpoint.pid}) no longer answers: "
            "start one with `seqd up`, or set SEQD_REDIS_URL."
        )
    return endpoint.url


def read_endpoint(path: Path) -> Endpoint | None:
    """Read the file; None when there is none.

    Raises RedisUnreachable when it cannot be read or is not what `write_endpoint` wrote.
    """
    try:
        return Endpoint.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except PermissionError:
        raise RedisUnreachable(
            f"{path} belongs to another user: run this command as that user, or set SEQD_DATA_DIR "
            "to a folder of your own."
        ) from None
    except (OSError, ValidationError) as error:
        raise RedisUnreachable(
            f"{path} cannot be used ({str(error).splitlines()[0]}): stop `seqd up`, remove the "
            "file, and start it again."
        ) from None


def write_endpoint(path: Path, endpoint: Endpoint) -> None:
    """Publish the server to other commands of the same user."""
    from seqd.server.config import write_private

    write_private(path, endpoint.model_dump_json() + "\n")


def answers(url: str) -> bool:
    """True when the server takes the address's password and answers; False while it loads."""
    client = redis.Redis.from_url(
        url,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    with client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

"""All settings of the daemon and its clients: one class, the only reader of the environment.

Each field is set by `SEQD_` and its name in capitals, such as `SEQD_REDIS_URL`. Modules take
a `Settings` object; none reads the environment itself. Which variables are none of them, and what
was meant by these, is for `seqd.variables`.
"""

import os
import re
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from seqd.errors import InvalidSettings
from seqd.masking import MASK, remember_address, remember_password
from seqd.objects import is_place, is_url
from seqd.validation import MODEL_NAME, Fault, faults_of
from seqd_schemas.base import texts_below_fields
from seqd_schemas.keys import DEFAULT_PREFIX, Keys

#: What the name of each variable begins with.
PREFIX = "SEQD_"

#: Settings that seqd sets for the processes that it starts, and people do not.
INTERNAL = frozenset({"slot", "worker", "device", "channel", "supervised"})

#: What Kubernetes sets a variable to that tells the address of a service.
SERVICE_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://", re.IGNORECASE)

#: Folders that are open to jobs. An empty value of them is a value: no folder, rather than the
#: default, which may be every folder.
ROOTS = ("input_roots", "output_roots")

#: As `seqd_schemas.fleet` has it, which a client need not import.
MAX_WORKER_LABELS = 32
_WORKER_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}=[A-Za-z0-9._-]{0,63}")
_STORE_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9._-]+){0,16}/?")
#: A folder, or a URL with the colon of its scheme.
_ROOT = re.compile(r"[A-Za-z0-9]+://[^:]*|[^:]+")
_PLACE_FORM = (
    "s3://BUCKET or s3://BUCKET/FOLDER, without credentials, which come by AWS_PROFILE and the like"
)
_LABEL_FORM = "KEY=VALUE of letters, digits and `._-` (`/` in the key), 63 characters each"


def _parted(value: object) -> object:
    """Return what is written with commas between its parts as these."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


_Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parted)]
_Roots = Annotated[tuple[Path | str, ...], NoDecode] | None
#: Workers run in other folders than the `seqd up` that hands it on to them.
_File = Annotated[Path, AfterValidator(Path.absolute)] | None


class Settings(BaseSettings):
    """Settings; every field is described, bounded and has a default that works.

    `description_of` gives the text below a field.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    redis_url: str | None = Field(default=None, repr=False)  # it holds a password
    """Redis to use, such as redis://:password@host:6379/0. Without it, `seqd up` starts a server of
    its own and the other commands find that one."""
    redis_ca_file: _File = None
    """Certificates (PEM) of the authorities that may have signed those of Redis and its Sentinels,
    beside the ones that the system trusts; for rediss:// and rediss+sentinel://."""
    redis_cert_file: _File = None
    """Certificate (PEM) that is shown to a Redis that wants one of its clients."""
    redis_key_file: _File = None
    """Key (PEM, without a passphrase) of that certificate. Default: it is in the same file."""
    redis_sentinel_username: str | None = None
    """User at the Sentinels, where they have users of their own."""
    redis_sentinel_password: str | None = Field(default=None, repr=False)
    """Password at the Sentinels; that of the primary stands in SEQD_REDIS_URL."""
    redis_port: int = Field(default=0, ge=0, le=65_535)
    """Port of the embedded server on 127.0.0.1, for programs that take no Unix socket; 0: none, it
    listens on a Unix socket in SEQD_DATA_DIR/redis alone."""
    prefix: str = Field(default=DEFAULT_PREFIX, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """What the names of all Redis keys begin with: 1 to 64 letters, digits, `_`, `.` and `-`."""
    data_dir: Path = Field(default_factory=lambda: platformdirs.user_data_path("seqd"))
    """Folder of the model store, the embedded server and the logs."""
    # Somebody may have written credentials into it.
    store_url: str | None = Field(default=None, repr=False)
    """Model store that several hosts share, such as s3://bucket/folder, by seqd[s3]; credentials
    come by AWS_PROFILE, AWS_ACCESS_KEY_ID and the like. Default: the folder `models` in
    SEQD_DATA_DIR."""
    store_cache_bytes: int = Field(default=20 * 1024**3, ge=0)
    """Bytes of versions of SEQD_STORE_URL that a host keeps on its disk; what was loaded longest
    ago goes, but nothing of the last ten minutes."""
    input_roots: _Roots = None
    """Folders, joined by colons, whose files a job may name; also URLs such as s3://bucket/folder,
    by seqd[s3]. Default: every file with an embedded server, which only its own user can reach;
    none with a shared one. Beside them that of SEQD_GATEWAY_FILES."""
    output_roots: _Roots = None
    """Folders, joined by colons, in which workers may write the results of a job that names a
    folder for them; also URLs, as above. Default: every folder with an embedded server; none with a
    shared one."""
    slots: str = Field(default="auto", max_length=1_024)
    """Slots that `seqd up` starts, joined by commas, such as cpu:0,cpu:1,train@cpu. auto: one
    serving slot a core or GPU, and one training slot."""
    enabled_plugins: _Names | None = None
    """Plugins to load, joined by commas; all when not set."""
    disabled_plugins: _Names = ()
    """Plugins not to load, joined by commas."""
    required_models: _Names = ()
    """Models, joined by commas, without which a worker exits: those of plugins and those that are
    made with them, such as topics."""
    required_plugins: _Names = Field(default=(), max_length=256)
    """Plugins, joined by commas, without which a worker exits, and `seqd up` does not start any:
    each must be installed and ready."""
    serves: _Names = Field(default=(), max_length=256)
    """Models, joined by commas, that a worker serves and keeps in memory; it leaves the items of
    all others to other workers. All when not set."""
    redis_timeout_s: float = Field(default=10.0, ge=3, le=300)
    """Seconds without an answer from Redis, after which a connection is given up and a new one
    made."""
    outage_s: float = Field(default=60.0, ge=0, le=86_400)
    """Seconds for which a client waits for a Redis that has gone away; when it is back, the client
    goes on where it was. A worker that starts waits as long for one. 0: it fails at once. A worker
    at work waits as long as it takes."""
    allow_eviction: bool = False
    """Run on a Redis whose maxmemory-policy throws keys away, and so parts of jobs."""
    allow_volatile: bool = False
    """Run on a Redis that writes nothing to disk: when it ends, all jobs are lost."""
    lease_s: float = Field(default=30.0, gt=0, le=3_600)
    """Seconds for which a claimed unit is reserved."""
    heartbeat_s: float = Field(default=10.0, gt=0, le=1_200)
    """Seconds between two renewals of a lease; at most half of SEQD_LEASE_S."""
    reconcile_s: float = Field(default=2.0, gt=0, le=600)
    """Seconds between two searches for work that has no lease and no wakeup."""
    slice_s: float = Field(default=30.0, gt=0, le=3_600)
    """Seconds for which a worker goes on claiming work after one wakeup."""
    drain_s: float = Field(default=1.0, ge=0, le=3_600)
    """Seconds for which a worker that is to end goes on with the items in hand; what is not done by
    then is released and done again elsewhere."""
    max_silent_s: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds for which a plugin may compute without asking whether to stop; then its process is
    ended. Where C code holds the interpreter lock, that is up to two heartbeats later."""
    unit_budget_factor: float = Field(default=50.0, ge=0, le=100_000)
    """How many times as long as expected a plugin may compute items; then its process is ended,
    also where it asks whether to stop. Expected is what the last items with the same version and
    parameters took on this worker. 0: as long as it asks whether to stop. Trainings, and the first
    items after a model was loaded, are not bounded so. More or longer items than before, and those
    after ten minutes of rest, have SEQD_MAX_SILENT_S at least."""
    unit_budget_floor_s: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds that SEQD_UNIT_BUDGET_FACTOR leaves a plugin at least. Raise it where a model may
    compile for new lengths of texts, or wait for another service, for longer."""
    max_attempts: int = Field(default=3, ge=1, le=20)
    """How often a unit is started before its items are given up."""
    backoff_s: float = Field(default=1.0, ge=0, le=600)
    """Wait before the third start of a unit; doubles with each."""
    unfit_grace_s: float = Field(default=120.0, ge=0, le=86_400)
    """Seconds for which a job waits while no worker that is up can run it, for a reason that may
    pass, such as a disk that is away. Then it fails with the reasons. A model that no worker has
    any more stays in the catalog for as long."""
    max_pending_bytes: int = Field(default=64 * 1024 * 1024, ge=64 * 1024)
    """Compressed input of one job that may wait in Redis; a client that is ahead of the workers
    waits."""
    max_claim_bytes: int = Field(default=16 * 1024 * 1024, ge=1024 * 1024, le=1024**3)
    """Bytes of input, not compressed, that a worker takes at once. A unit with more than that is
    taken alone. A worker needs up to ten times as much memory for it."""
    shared_file_bytes: int = Field(default=32 * 1024 * 1024, ge=0)
    """Workers that have nothing to compute read a plain file of lines side by side, where at least
    so many bytes of it are left; 0: one worker reads a file alone."""
    model_cache_bytes: int = Field(default=2 * 1024**3, ge=0)
    """Bytes of memory for loaded models; the least used is unloaded first."""
    unload_wait_s: float = Field(default=2.0, ge=0, le=600)
    """Seconds for which a worker that has other work leaves work to others for which it would have
    to unload a model. A worker without other work does so where another has the model in memory. 0:
    it leaves nothing."""
    abandoned_upload_s: float = Field(default=900.0, gt=0)
    """Seconds without a sign of life of its client, after which an upload fails."""
    upload_silence_s: float = Field(default=10.0, gt=0, le=600)
    """Seconds without a sign of life of an upload's client, after which another client that sends
    the same input under the same idempotency key goes on with it; at most half of
    SEQD_ABANDONED_UPLOAD_S."""
    checkpoint_s: float = Field(default=20.0, gt=0, le=86_400)
    """Seconds between two checkpoints of a training, beside the one after each epoch."""
    visibility_timeout_s: int = Field(default=3_600, ge=1, le=86_400)
    """Seconds after which Celery delivers a wakeup again that a worker still handles; harmless,
    since the ledger knows who works on what."""
    max_tenant_jobs: int = Field(default=100_000, ge=1)
    """Jobs of one tenant that may be open at once."""
    max_tenant_items: int = Field(default=50_000_000, ge=1)
    """Items of one tenant that may wait at once."""
    max_tenant_bytes: int = Field(default=1024**3, ge=64 * 1024)
    """Compressed input of one tenant that may wait in Redis at once."""
    max_tenant_kept_bytes: int = Field(default=4 * 1024**3, ge=64 * 1024)
    """Bytes of results and ended jobs of one tenant that Redis keeps; beyond them its oldest ended
    jobs are removed before their time."""
    max_results_ttl_s: int = Field(default=366 * 24 * 3_600, ge=60)
    """Largest results_ttl_s of a job: seconds for which it is kept after its end."""
    min_kept_s: int = Field(default=60, ge=0, le=7 * 24 * 3_600)
    """Seconds for which an ended job is kept at least when Redis is short of memory; older ones are
    removed before new work is refused."""
    max_stream_bytes: int = Field(default=1024**2, ge=1024)
    """Bytes of text deltas that one streaming job keeps in Redis for late readers; the oldest are
    removed first, and all of them when the job completes."""
    max_output_characters: int = Field(default=2_000_000, ge=1_000, le=8_000_000)
    """Characters that one item may make a model write, by the parameters of its job; more is
    refused when the job is handed in."""
    max_memory_share: float = Field(default=0.8, gt=0, le=1)
    """Share of Redis's maxmemory above which new jobs are refused and uploads wait."""
    max_job_units: int = Field(default=1_000, ge=1, le=1_000_000)
    """Units of one job that may be worked on at once, by all workers together."""

    usage_days: int = Field(default=90, ge=0, le=3_660)
    """Days for which the daily use of each tenant is kept; 0: it is not counted."""

    max_failures: int = Field(default=10_000, ge=0, le=1_000_000)
    """Dead letters that Redis keeps, the newest; 0: none. There is one of 0.5 to 10 kB for each
    unit of which items failed, and for each job that failed."""
    failures_ttl_s: int = Field(default=7 * 24 * 3_600, ge=60, le=366 * 24 * 3_600)
    """Seconds for which a dead letter is kept at most."""
    max_inbox_entries: int = Field(default=10_000, ge=1, le=10_000_000)
    """Entries that may wait in the inbox; the newest beyond are rejected."""

    max_audit_entries: int = Field(default=10_000, ge=1, le=10_000_000)
    """Acts that the audit keeps, or some more; the oldest go."""

    max_log_bytes: int = Field(default=16 * 1024 * 1024, ge=64 * 1024, le=1024**4)
    """Bytes of one log file of `seqd up`, of a worker or of its Redis; then it is set aside as .1,
    the one before as .2 and so on."""
    log_files: int = Field(default=4, ge=1, le=1_000)
    """Files kept of each log, the one that is written to among them."""
    log_format: Literal["text", "json"] = "text"
    """How workers write their log: text, lines for people, or json, one object a line with the job,
    unit, model and trace that it is about."""
    secrets_dir: Path | None = None
    """Folder of files that each hold a setting and bear its name in small letters, such as
    seqd_redis_url, as Docker, Kubernetes and systemd hand secrets over. A variable goes before a
    file."""

    gateway_host: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    """Address on which `seqd gateway` listens; 0.0.0.0 for all of the machine."""
    gateway_port: int = Field(default=8080, ge=0, le=65_535)
    """Port of `seqd gateway`; 0: any that is free."""
    gateway_cert_file: _File = None
    """Certificate (PEM) of `seqd gateway`, with those between it and its authority: it speaks HTTPS
    then. Read when it starts."""
    gateway_key_file: _File = None
    """Key (PEM) of the certificate in SEQD_GATEWAY_CERT_FILE, without a passphrase; unset where
    that file holds it."""
    gateway_proxies: _Names = Field(default=(), max_length=64)
    """Proxies, as addresses and networks joined by commas, whose X-Forwarded-For and
    X-Forwarded-Proto `seqd gateway` believes; it serves nobody without a key then."""
    gateway_max_body_bytes: int = Field(default=16 * 1024**2, ge=1024)
    """Bytes of the body of a request to `seqd gateway` at most; a file has
    SEQD_GATEWAY_MAX_FILE_BYTES."""
    gateway_max_requests: int = Field(default=4_000, ge=1, le=100_000)
    """Requests that `seqd gateway` has open at a time at most, streams included; others are told to
    come again."""
    gateway_files: Path | str | None = None
    """Folder of the files that callers of `seqd gateway` upload, and that workers read: one folder,
    under one path, for all of them, or a URL such as s3://bucket/folder, by seqd[s3]. Default:
    `files` in SEQD_DATA_DIR."""
    gateway_max_file_bytes: int = Field(default=1024**3, ge=1024)
    """Bytes of one uploaded file at most."""
    gateway_tenant_file_bytes: int = Field(default=10 * 1024**3, ge=1024)
    """Bytes of uploaded files that one tenant may keep; more is refused."""
    gateway_files_ttl_s: int = Field(default=30 * 24 * 3_600, ge=60, le=3_660 * 24 * 3_600)
    """Seconds for which an uploaded file is kept; a caller may ask for fewer."""
    gateway_private_webhooks: bool = False
    """Whether webhooks may go to loopback, link-local and private addresses, and by http; else to
    the public internet by https alone."""

    exporter_host: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    """Address on which `seqd exporter` listens; 0.0.0.0 for all of the machine."""
    exporter_port: int = Field(default=9808, ge=0, le=65_535)
    """Port of `seqd exporter`; 0: any that is free."""
    worker_metrics_host: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    """Address on which a worker serves its metrics; 0.0.0.0 for all of the machine."""
    worker_metrics_port: int = Field(default=0, ge=0, le=65_535)
    """Port on which a worker serves metrics; of `seqd up` that of the first slot, and each next
    slot has the next port. 0: none. It needs `seqd[exporter]`."""
    worker_labels: _Names = Field(default=(), max_length=MAX_WORKER_LABELS)
    """Labels of the workers, joined by commas, such as pool=a,zone=b, by which `seqd workers` means
    them."""

    slot: str = Field(default="cpu:0", max_length=128)
    """Slot of this worker; `seqd worker` sets it."""
    worker: str = Field(default="", max_length=256)
    """Name of this worker; `seqd worker` sets it."""

    device: str = Field(default="", max_length=512)
    """Device of this worker: UUID, bytes of memory, name; who starts it sets it."""
    channel: str = Field(default="", max_length=512)
    """Memory of this worker; its parent sets it."""
    supervised: bool = False
    """True for the workers of `seqd up`, which sets it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from: a caller, the environment, then files of secrets."""
        return init_settings, _Environment(settings_cls), file_secret_settings

    @field_validator("store_url")
    @classmethod
    def _is_a_place_in_a_bucket(cls, url: str | None) -> str | None:
        if url is None or _STORE_URL.fullmatch(url):
            return url
        raise ValueError(
            "allowed: s3://BUCKET or s3://BUCKET/FOLDER, of letters, digits and `._-`, without "
            "credentials, which come by AWS_PROFILE and the like. For a folder set SEQD_DATA_DIR"
        )

    @field_validator("gateway_files", mode="before")
    @classmethod
    def _is_a_folder_or_a_place(cls, value: object) -> object:
        if not isinstance(value, str) or not is_url(value):
            return Path(value).absolute() if isinstance(value, str | Path) else value
        if not is_place(value) or "@" in value:
            raise ValueError(f"allowed: a folder, or a URL such as {_PLACE_FORM}")
        return value.rstrip("/")

    @field_validator("worker_labels")
    @classmethod
    def _are_labels(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        keys = [label.partition("=")[0] for label in labels]
        for label in labels:
            if _WORKER_LABEL.fullmatch(label) is None:
                raise ValueError(f"{label!r} is no label; allowed: {_LABEL_FORM}")
            key = label.partition("=")[0]
            if keys.count(key) > 1:
                raise ValueError(f"{key!r} is there {keys.count(key)} times; give each key once")
        return labels

    @field_validator("serves")
    @classmethod
    def _are_names_of_models(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if MODEL_NAME.fullmatch(name) is None:
                raise ValueError(
                    f"{name!r} is no name of a model; allowed: small letters, digits and `_`, a "
                    "letter first, 40 characters, without a version"
                )
        return names

    @field_validator("gateway_proxies")
    @classmethod
    def _are_addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError:
                raise ValueError(
                    f"{proxy!r} is no address; allowed: addresses and networks, such as 10.0.0.7 "
                    "and 10.0.0.0/24"
                ) from None
        return proxies

    @field_validator("heartbeat_s")
    @classmethod
    def _fits_into_the_lease(cls, heartbeat_s: float, info: ValidationInfo) -> float:
        lease_s = info.data.get("lease_s")  # absent where it is wrong itself
        if lease_s is not None and heartbeat_s > lease_s / 2:
            raise ValueError(f"allowed: at most half of SEQD_LEASE_S, which is {lease_s:g}")
        return heartbeat_s

    @field_validator("upload_silence_s")
    @classmethod
    def _ends_before_an_upload_is_abandoned(cls, silence_s: float, info: ValidationInfo) -> float:
        abandoned_s = info.data.get("abandoned_upload_s")  # absent where it is wrong itself
        if abandoned_s is not None and silence_s > abandoned_s / 2:
            raise ValueError(
                f"allowed: at most half of SEQD_ABANDONED_UPLOAD_S, which is {abandoned_s:g}"
            )
        return silence_s

    @field_validator("min_kept_s")
    @classmethod
    def _is_no_longer_than_any_job_is_kept(cls, kept_s: int, info: ValidationInfo) -> int:
        most_s = info.data.get("max_results_ttl_s")  # absent where it is wrong itself
        if most_s is not None and kept_s > most_s:
            raise ValueError(f"allowed: at most SEQD_MAX_RESULTS_TTL_S, which is {most_s}")
        return kept_s

    @field_validator("disabled_plugins")
    @classmethod
    def _are_not_enabled_as_well(
        cls, disabled: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        both = sorted(set(disabled) & set(info.data.get("enabled_plugins") or ()))
        if both:
            raise ValueError(f"SEQD_ENABLED_PLUGINS names {', '.join(both)}, too; allowed: one")
        return disabled

    @field_validator(*ROOTS, mode="before")
    @classmethod
    def _split_colons(cls, value: object) -> object:
        roots = value
        if isinstance(value, str):
            roots = [root.strip() for root in _ROOT.findall(value) if root.strip()]
        if not isinstance(roots, tuple | list):
            return roots
        urls = [root for root in roots if isinstance(root, str) and is_url(root)]
        # A colon may have parted a key from its secret.
        if not all(map(is_place, urls)) or (urls and any("@" in str(root) for root in roots)):
            raise ValueError(f"allowed: folders, and URLs such as {_PLACE_FORM}")
        return tuple(root if root in urls else Path(root) for root in roots)

    @property
    def keys(self) -> Keys:
        """Redis key names under the prefix."""
        return Keys(self.prefix)

    @property
    def gateway_url(self) -> str:
        """Address of the gateway, where its port is given."""
        scheme = "http" if self.gateway_cert_file is None else "https"
        return f"{scheme}://{self.gateway_host}:{self.gateway_port}"

    @property
    def files_root(self) -> Path | str:
        """Folder, or URL, of the files that callers of the gateway upload."""
        return self.gateway_files or (self.data_dir / "files").absolute()

    @property
    def readable_roots(self) -> tuple[Path | str, ...]:
        """Folders whose files workers read: the input roots, and that of uploaded files."""
        return (*(self.input_roots or ()), self.files_root)

    @property
    def labels(self) -> dict[str, str]:
        """`worker_labels`, by key."""
        return dict(label.split("=", 1) for label in self.worker_labels)

    @property
    def store_dir(self) -> Path:
        """Folder of the model store, or of this host's mirror of the one at a URL."""
        if self.store_url is None:
            return self.data_dir / "models"
        return self.data_dir / "shared_models" / sha256(self.store_url.encode()).hexdigest()[:16]


class _Environment(EnvSettingsSource):
    """Reads the environment as operators fill it, by files of variables and templates.

    Spaces around a value, and one pair of quotes, as `docker run --env-file` leaves them there, are
    no part of it. A value that is empty then counts as not set.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        if isinstance(value, str):
            value = bare_value(value)
            if not value and field_name not in ROOTS:
                value = None
        return value, key, is_complex


def description_of(name: str) -> str:
    """Return what a setting is, in words."""
    return texts_below_fields(Settings).get(name, "")


def variables_of_seqd() -> dict[str, str]:
    """Return the variables of this process whose name begins with `SEQD_`, in any case."""
    return {name: value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}


def bare_value(text: str) -> str:
    """Return a value without the spaces around it and without one pair of quotes."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text


def load_settings(**overrides: object) -> Settings:
    """Read the environment, with `overrides` on top of it.

    Raises InvalidSettings, which names the variable, its value and what is allowed.
    """
    try:
        settings = Settings(_secrets_dir=_secrets_dir(), **overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        fault = faults_of(error)[0]
        name = fault.field.partition(".")[0]
        field = Settings.model_fields.get(name)
        may_be_url = name in (*ROOTS, "gateway_files")
        value = MASK if field is not None and (may_be_url or not field.repr) else fault.value
        meant = "no such setting" if field is None else description_of(name)
        raise InvalidSettings(
            f"{PREFIX}{name.upper()} is {value}: {fault.allowed}. What it is: {meant}"
            f"{_of_kubernetes(fault)}"
        ) from None
    if settings.redis_url is not None:
        remember_address(settings.redis_url)
    if settings.redis_sentinel_password is not None:
        remember_password(settings.redis_sentinel_password)
    return settings


def _secrets_dir() -> Path | None:
    """Return the folder of SEQD_SECRETS_DIR, which has to be known before all else is read."""
    name = f"{PREFIX}SECRETS_DIR"
    given = next((text for key, text in os.environ.items() if key.upper() == name), "")
    folder = bare_value(given)
    if not folder:
        return None
    if not Path(folder).is_dir():
        meant = description_of("secrets_dir")
        raise InvalidSettings(f"{name} is {folder!r}, which is no folder. What it is: {meant}")
    return Path(folder)


def _of_kubernetes(fault: Fault) -> str:
    """Return what to do where a value is the address that Kubernetes sets for a service."""
    if fault.value is None or SERVICE_ADDRESS.match(fault.value.strip("'\"")) is None:
        return ""
    return (
        " Kubernetes has set it, for a service of that name: give the pod `enableServiceLinks: "
        "false`, or the service another name."
    )

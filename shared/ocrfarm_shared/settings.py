"""The only reader of environment variables. Every setting is `OCRFARM_` + its name in capitals.

The order that the promise rests on is checked when settings are read, and a farm that breaks it refuses to start:
    3 x heartbeat <= lease < hard time limit < visibility timeout < result TTL
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, get_args
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

PREFIX = "OCRFARM_"
NODE_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
# These may stand in a file that OCRFARM_..._FILE names: so a container is given a secret, and who looks at its settings sees a path alone.
IN_FILES = ("redis_password", "api_key", "webhook_secret", "node_redis_url", "node_token")


class SettingsError(Exception):
    """A setting is wrong; the message names it and says what it takes."""


class Settings(BaseModel):
    """All settings of all roles. Durations are seconds, sizes bytes, unless the name says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # where things are
    state: Path = Field(Path(".ocrfarm"), description="Folder for everything that the farm keeps on this machine.")
    redis_url: str | None = Field(None, description="One's own Redis; left out, `ocrfarm up` starts an embedded one.")
    redis_user: str | None = Field(
        None, description="Of one's own Redis: the role's user; infra/redis makes one a role."
    )
    redis_password: str | None = Field(None, description="Of that user, or of one's own Redis without users.")
    namespace: str = Field(
        "of",
        pattern=r"^[a-z0-9_-]{1,32}$",
        description="Prefix of every Redis key; one farm, one prefix.",
        json_schema_extra={"takes": "1 to 32 small letters, digits, - and _"},
    )
    host: str = Field(
        "127.0.0.1",
        description="Where the gateway listens; beyond this machine it needs a key, or OCRFARM_OPEN_TO_ALL.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Of the gateway; 0: any free port.")
    server_names: str = Field(
        "", description="Names under which a proxy in front serves this farm, comma separated; localhost is always one."
    )
    compat_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="A second port of the gateway, for scripts written for small OCR services (5000 there); 0: none.",
    )
    compat_wait_s: float = Field(
        60, gt=0, le=600, description="How long /ocr, /api/ocr and /predict wait for the farm."
    )
    flower_port: int = Field(5555, ge=0, le=65535, description="Of Flower, on this machine alone; 0: any free port.")
    redis_port: int = Field(0, ge=0, le=65535, description="Of the embedded Redis; 0: any free port.")
    redis_fsync: str = Field(
        "everysec",
        pattern="^(everysec|always)$",
        description="Of the embedded Redis: how much a power loss may cost; docs/reliability.md has both prices.",
    )
    redis_host: str | None = Field(
        None,
        pattern=r"^[0-9A-Za-z][0-9A-Za-z.:-]{0,252}$",
        description="Of the embedded Redis: an address of this machine, in a private network or a tunnel, that it listens on too, so that "
        "nodes elsewhere can join; 127.0.0.1: nodes of this machine alone; left out: none joins.",
        json_schema_extra={"takes": "one address of this machine, such as 192.168.1.10"},
    )
    redis_maxmemory_mb: int = Field(
        1024, ge=2, description="Of the embedded Redis; when it is full the farm answers 503."
    )
    workers: int = Field(0, ge=0, le=512, description="Worker processes; 0: one a core.")
    gateways: int = Field(
        1,
        ge=1,
        le=64,
        description="Gateway processes on the one address; with two, one serves while the other restarts.",
    )
    flower: bool = Field(True, description="0: `ocrfarm up` starts no Flower.")
    flower_host: str = Field(
        "127.0.0.1",
        description="Where Flower listens; elsewhere than on the farm's own machine it needs the two below.",
    )
    flower_user: str | None = Field(
        None,
        pattern=r"^[^:,\s]{1,64}$",
        description="Flower's login (HTTP basic auth).",
        json_schema_extra={"takes": "up to 64 signs, no colon, comma or space among them"},
    )
    flower_password: str | None = Field(
        None,
        pattern=r"^[^,\s]{12,128}$",
        description="Flower's login; Flower itself takes no comma.",
        json_schema_extra={"takes": "12 to 128 signs, no comma or space among them"},
    )
    url: str | None = Field(None, description="Where the command line finds the farm; default: http://host:port.")
    api_key: str | None = Field(None, description="Sent by the command line and the client.")
    open_to_all: Literal["", "yes-anyone-may-read-and-send"] = Field(
        "",
        description="`yes-anyone-may-read-and-send`: no key is asked for, wherever the gateway listens; whoever reaches the port may send "
        "documents, and read and delete those of all others.",
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Of every part's log.")
    log_format: str = Field(
        "json",
        pattern="^(json|text)$",
        description="Of the gateway's, dispatcher's and workers' logs; text: for people.",
    )

    # what is taken
    max_upload_mb: float = Field(50, gt=0, description="Of one document; 413 beyond.")
    max_pages: int = Field(2000, ge=1, description="Of one document.")
    max_megapixels: float = Field(80, gt=0, description="Of one page, after decoding or rendering.")
    max_queued: int = Field(200_000, ge=1, description="Jobs under way in the whole farm before it answers 503.")

    max_waiting_s: float = Field(
        6 * 3600,
        ge=0,
        description="503 where the first page of the lane that a document would join has waited longer; 0: never.",
    )
    max_streams: int = Field(
        256,
        ge=1,
        description="Event streams that one gateway holds open; 503 beyond, and 429 for one key's half of them.",
    )
    min_free_disk_mb: float = Field(500, ge=0, description="Left on the disk of the uploads; with less, 503.")
    # of a tenant, where its key says nothing else
    tenant_jobs_per_minute: int = Field(
        0, ge=0, description="Of a tenant whose key says nothing else, as all TENANT ones; 0: no limit. 429 beyond."
    )
    tenant_mb_per_day: float = Field(0, ge=0, description="Megabytes sent in 24 hours; 0: no limit.")
    tenant_pages_per_day: int = Field(0, ge=0, description="Pages read in 24 hours; 0: no limit.")
    tenant_queued: int = Field(
        0, ge=0, description="Jobs under way at once; 0: half of max_queued where keys are used, else no limit."
    )
    tenant_records: int = Field(
        100_000, ge=0, description="Jobs kept with their results, those under way included; 429 beyond."
    )

    # batches
    max_batch_items: int = Field(100_000, ge=1, le=1_000_000, description="Documents of one batch.")
    max_batch_upload_mb: float = Field(
        2000,
        gt=0,
        description="One request's files together, or one zip; each document in it still obeys max_upload_mb.",
    )
    max_zip_ratio: float = Field(
        100,
        ge=2,
        description="Bytes that a zip may unpack to, by its own size; what is beyond is refused as a zip bomb.",
    )
    batch_open_s: float = Field(
        3600, gt=0, description="A batch that nobody closes is closed that long after its last file."
    )

    # webhooks
    webhook_hosts: str = Field(
        "",
        description="Where webhooks may go, comma separated: `hooks.example.org` (which may be a private address), `*.example.org` and `*` "
        "(public addresses alone); empty: none are sent.",
    )
    webhook_secret: str | None = Field(
        None,
        min_length=24,
        description="What webhooks are signed with, for each tenant a key made from it; left out: none are sent.",
    )
    webhook_timeout_s: float = Field(
        10, gt=0, le=60, description="What a target has to take one, look-up of its name included."
    )
    webhook_give_up_s: float = Field(
        24 * 3600, ge=0, description="How long a webhook that is not taken is tried again."
    )

    # reading
    dpi: int = Field(200, ge=72, le=400, description="At which PDF pages are rendered, where a job says nothing else.")
    model_folder: Path | None = Field(None, description="Where built models are kept; default: state/models.")
    profiles: str = Field(
        "",
        description="Profiles that this node reads, comma separated (`fast` on a small machine); empty: all whose models it has.",
    )
    preload: str = Field("", description="Profiles to load at boot, comma separated; empty: the default profile.")

    # time
    heartbeat_s: float = Field(5, gt=0, description="How often a worker says that it still reads its page.")
    lease_s: float = Field(15, gt=0, description="A page whose worker has said nothing for so long is read elsewhere.")
    sweep_s: float = Field(5, gt=0, description="How often the dispatcher looks for what was lost.")
    soft_time_limit_s: float = Field(100, gt=0, description="A page that takes longer is broken off: `timeout`.")
    hard_time_limit_s: float = Field(120, gt=0, description="Then the process that reads it is killed.")
    visibility_timeout_s: float = Field(
        180, gt=0, description="After that long Celery's broker gives a message out again; the second net."
    )
    result_ttl_s: float = Field(24 * 3600, gt=0, description="How long a result is kept; 410 afterwards.")
    record_ttl_s: float = Field(
        7 * 24 * 3600, gt=0, description="How long an ended job's record answers 410 before it is 404."
    )
    max_attempts: int = Field(3, ge=1, le=20, description="Of a page, before its job is a dead letter.")
    max_clock_skew_s: float = Field(
        30, gt=0, description="A worker whose clock differs more from Redis' refuses to start."
    )

    # processes
    max_tasks_per_child: int = Field(
        500, ge=0, description="Pages that a worker process reads before it is replaced; 0: never replaced."
    )
    max_memory_per_child_mb: int = Field(
        1500, ge=0, description="A worker process that holds more after a page is replaced; 0: no limit."
    )
    hard_memory_per_child_mb: int = Field(
        4000, ge=0, description="What a worker process may take at most while it reads a page; 0: no limit."
    )

    # the process that opens documents (one beside each worker process)
    decode_memory_mb: int = Field(2500, ge=0, description="Address space that opening a page may take; 0: no limit.")
    decode_cpu_s: int = Field(60, ge=0, description="Processor seconds that opening a page may take; 0: no limit.")
    decode_max_documents: int = Field(1000, ge=0, description="Opened before the process is replaced; 0: never.")

    # nodes that join over the network
    node_redis_url: str | None = Field(
        None,
        description="Read by the gateway: Redis as a node elsewhere reaches it, with the name and password of the user `worker` in it, "
        "`redis://worker:…@farm:6379/0`. It is given to whoever joins with a node token; left out: nobody can.",
    )
    node: str | None = Field(
        None,
        pattern=NODE_ID,
        description="What this worker node is called; default: its host name, and for one that joined a name of its own.",
        json_schema_extra={"takes": "up to 64 letters, digits, dots, - and _"},
    )
    join_url: str | None = Field(None, description="The farm that `ocrfarm worker join` joins.")
    node_token: str | None = Field(None, description="The node token that it shows; `ocrfarm node token` makes one.")
    node_cache_mb: float = Field(
        1000, gt=0, description="Uploads that a node which joined keeps on its disk, those last used."
    )

    commit: str = Field("", description="Of the release that runs; images set it.")

    @model_validator(mode="after")
    def _order(self) -> Self:
        chain = [
            ("3 x OCRFARM_HEARTBEAT_S", 3 * self.heartbeat_s, "OCRFARM_LEASE_S", self.lease_s, True),
            ("OCRFARM_LEASE_S", self.lease_s, "OCRFARM_HARD_TIME_LIMIT_S", self.hard_time_limit_s, False),
            (
                "OCRFARM_SOFT_TIME_LIMIT_S",
                self.soft_time_limit_s,
                "OCRFARM_HARD_TIME_LIMIT_S",
                self.hard_time_limit_s,
                False,
            ),
            (
                "OCRFARM_HARD_TIME_LIMIT_S",
                self.hard_time_limit_s,
                "OCRFARM_VISIBILITY_TIMEOUT_S",
                self.visibility_timeout_s,
                False,
            ),
            (
                "OCRFARM_VISIBILITY_TIMEOUT_S",
                self.visibility_timeout_s,
                "OCRFARM_RESULT_TTL_S",
                self.result_ttl_s,
                False,
            ),
        ]
        for left, a, right, b, equal_is_fine in chain:
            if a > b or (a == b and not equal_is_fine):
                sign = "<=" if equal_is_fine else "<"
                raise ValueError(
                    f"{left} ({a:g}) must be {sign} {right} ({b:g}), else a page could be lost or run twice"
                )
        return self

    # ------------------------------------------------------------------ what follows from them
    @field_validator("redis_host")
    @classmethod
    def _one_address(cls, host: str | None) -> str | None:
        """Redis speaks in clear, so it is shown to one network and never to all."""
        if host is not None and not host.strip("0.:"):
            raise ValueError("every address of the machine, and Redis speaks in clear: name one of a private network")
        return host

    @property
    def max_upload_bytes(self) -> int:
        return int(self.max_upload_mb * 1_000_000)

    @property
    def min_free_disk_bytes(self) -> int:
        return int(self.min_free_disk_mb * 1_000_000)

    @property
    def max_pixels(self) -> int:
        return int(self.max_megapixels * 1_000_000)

    @property
    def worker_count(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def blob_folder(self) -> Path:
        return self.state / "blobs"

    @property
    def models_folder(self) -> Path:
        return self.model_folder or self.state / "models"

    @property
    def own_models_folder(self) -> Path:
        """Models that people added, a folder each: `ocrfarm models add`."""
        return self.state / "own-models"

    @property
    def farm_url(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared, not bound
        return self.url or f"http://{host}:{self.port}"

    @property
    def broker_url(self) -> str:
        """The Redis address with the password in it; raises SettingsError where no Redis is named."""
        if not self.redis_url:
            raise SettingsError("No Redis is named: set OCRFARM_REDIS_URL, or use `ocrfarm up`, which starts one.")
        if self.redis_user and "@" in self.redis_url:
            raise SettingsError(
                "OCRFARM_REDIS_URL names a password, and OCRFARM_REDIS_USER another user: leave the password out of the URL and put "
                "the user's into OCRFARM_REDIS_PASSWORD."
            )
        if self.redis_password and "@" not in self.redis_url:
            scheme, _, rest = self.redis_url.partition("://")
            user = quote(self.redis_user or "", safe="")
            return f"{scheme}://{user}:{quote(self.redis_password, safe='')}@{rest}"
        return self.redis_url

    def environment(self) -> dict[str, str]:
        """The variables that make a child process read these same settings."""
        out: dict[str, str] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value is not None and value != field.default:
                out[PREFIX + name.upper()] = ("1" if value else "0") if isinstance(value, bool) else str(value)
        return out

    def child_environment(self) -> dict[str, str]:
        """What a child process is started with: this process's environment, with these settings in place of its own."""
        own = {PREFIX + name.upper() for name in type(self).model_fields} | {_file_variable(n) for n in IN_FILES}
        return {name: value for name, value in os.environ.items() if name not in own} | self.environment()


def read_settings(environ: dict[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment; keyword arguments that are not None win. Raises SettingsError."""
    source = dict(os.environ) if environ is None else environ
    values: dict[str, Any] = {
        name: source[PREFIX + name.upper()] for name in Settings.model_fields if source.get(PREFIX + name.upper())
    }
    values |= {k: v for k, v in overrides.items() if v is not None}
    for name in IN_FILES:
        if name not in values and (path := source.get(_file_variable(name))):
            values[name] = _secret_in(path, _file_variable(name))
    try:
        return Settings(**values)
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        if not first["loc"]:  # our own sentence about several of them
            raise SettingsError(f"{first['msg'].removeprefix('Value error, ')}.") from None
        name = str(first["loc"][0])
        if name not in Settings.model_fields:
            raise SettingsError(f"There is no setting {PREFIX}{name.upper()}.") from None
        raise SettingsError(f"{PREFIX}{name.upper()} is {first['input']!r}; it takes {takes(name)}.") from None


def _file_variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}_FILE"


def _secret_in(path: str, variable: str) -> str:
    """What the file holds, without the line's end. Raises SettingsError."""
    try:
        secret = Path(path).read_text("utf8").strip()
    except (OSError, UnicodeDecodeError) as err:
        why = err.strerror if isinstance(err, OSError) else "it is no text"
        raise SettingsError(
            f"{variable} names {path}, which cannot be read ({why}); name a file that this user may read."
        ) from None
    if not secret:
        raise SettingsError(f"{variable} names {path}, which is empty; put the secret into it.")
    return secret


def takes(name: str) -> str:
    """What a setting's variable may hold, in words."""
    field = Settings.model_fields[name]
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "takes" in extra:
        return str(extra["takes"])
    pattern = next((found for part in field.metadata if (found := getattr(part, "pattern", None))), None)
    if pattern:
        return f"one of {', '.join(pattern.strip('^$()').split('|'))}"
    kinds = set(get_args(field.annotation)) or {field.annotation}
    if bool in kinds:
        return "1 or 0"
    if Path in kinds:
        return "a folder"
    if not kinds & {int, float}:
        literal = [f"`{value}`" for value in get_args(field.annotation) if isinstance(value, str) and value]
        return f"{' or '.join(literal)}, or nothing" if literal else "a text"
    bounds = {
        key: value
        for part in field.metadata
        for key in ("gt", "ge", "lt", "le")
        if (value := getattr(part, key, None)) is not None
    }
    words = {"gt": "more than {}", "ge": "{} at least", "lt": "less than {}", "le": "{} at most"}
    said = " and ".join(words[key].format(f"{value:g}") for key, value in bounds.items())
    return ("a whole number" if int in kinds else "a number") + (f", {said}" if said else "")


def unknown_variables(environ: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """Variables that look like settings and are none, each with the one that may have been meant."""
    known = [PREFIX + name.upper() for name in Settings.model_fields] + [_file_variable(name) for name in IN_FILES]
    strange = [
        name for name in (os.environ if environ is None else environ) if name.startswith(PREFIX) and name not in known
    ]
    return {name: next(iter(get_close_matches(name, known, 1, 0.8)), None) for name in sorted(strange)}


@cache
def settings() -> Settings:
    """This process's settings, read once."""
    return read_settings()


# Read by the C library when a program starts: a worker's memory comes in huge pages. A page's tensors come and go by the hundred
# megabytes, and taking and giving back small pages is a tenth of the whole work (measured: 26 ms a page instead of 97).
WORKER_START = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def prepare_worker_environment(*, workers: int | None = None, preload: str | None = None) -> None:
    """Set what libraries read from the environment when they are imported. Call it before Celery, OpenCV or ONNX Runtime is.

    One thread a process: more threads than cores slow a farm many times over. SIGTERM as SIGQUIT: Celery's bounded shutdown.
    `WORKER_START` is for the programs that this one starts; for itself it is too late.
    The arguments, where given, win over OCRFARM_WORKERS and OCRFARM_PRELOAD for this process and its children.
    """
    os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "REMAP_SIGTERM": "SIGQUIT"})
    for name, value in WORKER_START.items():
        os.environ.setdefault(name, value)
    if workers is not None:
        os.environ[PREFIX + "WORKERS"] = str(workers)
    if preload is not None:
        os.environ[PREFIX + "PRELOAD"] = preload
    settings.cache_clear()

"""Every knob of the house. Nothing else reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _switched_on(value: object) -> object:
    """A switch as Hugging Face's own library reads it: four words mean yes, everything else no."""
    return value.strip().upper() in {"1", "ON", "YES", "TRUE"} if isinstance(value, str) else value


def _unset_if_empty(value: object) -> object:
    return None if value == "" else value


def _without_brackets(value: object) -> object:
    """Of an IPv6 address, as compose files write it: `[::1]`."""
    return value.strip("[]") if isinstance(value, str) else value


PublishAddress = Annotated[str, BeforeValidator(_without_brackets)]
"""An address on the host of a container."""

HubSwitch = Annotated[bool, BeforeValidator(_switched_on)]
"""A switch of Hugging Face's library, which other programs on this machine may have set."""

HubFolder = Annotated[Path | None, BeforeValidator(_unset_if_empty)]
"""A folder that other programs may have set, to nothing too."""


class Settings(BaseSettings):
    """Settings from the environment (names in capitals, e.g. `DATA_DIR`) or from a `.env` file."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    data_dir: Path = Path("~/.local/share/sadtalker").expanduser()
    """Folder for everything that outlives a process: cached avatars, videos, stores."""

    cache_max_bytes: int = Field(2_000_000_000, ge=0)
    """Size of the cache folder, bytes; what was not used for longest goes first."""

    engine: str = "auto"
    """`auto`, `mesh`, `sadtalker` or the name of another installed engine: that of requests which name none.
    `auto` takes `sadtalker` where a GPU, torch and the checkpoints are at hand, else `mesh`."""

    sadtalker_checkpoints_path: Path | None = None
    """Folder with SadTalker's checkpoints; unset: the folder `checkpoints` in `DATA_DIR`."""

    sadtalker_checkpoints_url: str | None = None
    """Address of a folder with the checkpoints under their own names, such as a mirror of yours, from which
    `sadtalker models download` gets them; unset: where they were published."""

    sadtalker_device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """Where the SadTalker networks run: `cpu`, `cuda`, `cuda:1` ...; `auto`: the first GPU, else the CPU."""

    sadtalker_precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Numbers in which the SadTalker networks draw frames; `auto` is `bfloat16` on a GPU that has it, else
    `float32`. Everything that is done once per video is done in `float32`."""

    sadtalker_batch_size: int = Field(0, ge=0, le=1024)
    """Frames that the SadTalker networks draw at once; 0: as many as the memory suggests. A request that runs
    out of memory goes on with half of it."""

    sadtalker_compile: bool = False
    """Let torch compile the SadTalker networks at the start: takes up to minutes and needs a C++ compiler;
    frames are faster afterwards."""

    sadtalker_inference: Path | None = None
    """Unix socket of a `sadtalker inference`, which runs the SadTalker networks for this process. Unset:
    `serve` starts one for its workers, other commands load the networks themselves."""

    hf_home: HubFolder = None
    """Folder of Hugging Face's library; unset: `huggingface` in `XDG_CACHE_HOME`."""

    hf_hub_cache: HubFolder = None
    """Its cache, where checkpoints are looked for before they are downloaded; unset: `hub` in `HF_HOME`."""

    xdg_cache_home: HubFolder = None
    """Folder for the caches of this user's programs; unset: `~/.cache`."""

    hf_endpoint: str = "https://huggingface.co"
    """Address of the Hugging Face Hub or of a mirror."""

    hf_hub_offline: HubSwitch = False
    """Download nothing: checkpoints come from the cache of Hugging Face's library or not at all."""

    transformers_offline: HubSwitch = False
    """The same switch by its older name."""

    max_image_bytes: int = Field(20_000_000, ge=1)
    """Largest source image, bytes."""

    max_image_pixels: int = Field(50_000_000, ge=1)
    """Largest source image, width times height in pixels, checked before it is decoded."""

    min_face_pixels: int = Field(64, ge=16)
    """Smallest face height that is animated, pixels."""

    max_audio_bytes: int = Field(50_000_000, ge=1)
    """Largest driven audio, bytes."""

    max_audio_seconds: float = Field(600.0, gt=0)
    """Longest driven audio, seconds; enforced while decoding."""

    voice: str = "auto"
    """Voice of texts that name none: an id from `sadtalker say --list`; `auto` is the best that is
    installed."""

    voice_threads: int = Field(0, ge=0, le=64)
    """Threads on which a voice speaks; 0: two, or one where there is one core."""

    max_idle_seconds: float = Field(600.0, gt=0)
    """Longest idle video, seconds."""

    host: str = "127.0.0.1"
    """Address on which the service listens; `0.0.0.0` for all of this machine's."""

    port: int = Field(8000, ge=0, le=65_535)
    """TCP port on which the service listens; 0 takes a free one."""

    publish_address: PublishAddress = ""
    """Address on which a container's port is published; empty: no container, `HOST` says who may connect.
    Where it is not a loopback address, `serve` does not start without keys. The image sets `0.0.0.0`."""

    workers: int | None = Field(None, ge=0)
    """Processes that make videos; unset: one per two cores. 0 serves HTTP only, for workers elsewhere."""

    redis_url: str | None = None
    """Server of the cache, `redis://`, `rediss://` or `unix://`; unset: an embedded one."""

    queue_url: str | None = None
    """Server of queue and sessions, which must not evict; unset: that of `REDIS_URL`, or an embedded one."""

    redis_host: str | None = None
    """Host of the cache's server, in place of `REDIS_URL`."""

    redis_port: int = Field(6379, ge=1, le=65_535)
    """Port that goes with `REDIS_HOST`."""

    redis_db: int = Field(0, ge=0)
    """Database that goes with `REDIS_HOST`."""

    cache_maxmemory: int = Field(2_000_000_000, ge=16_000_000)
    """Memory of the embedded cache server, bytes; what was not used for longest goes first."""

    artefact_url: str | None = None
    """Where originals, recordings and videos lie, as an fsspec URL (`file:///data`, `s3://bucket/folder`);
    unset: the folder `artefacts` in `DATA_DIR`."""

    artefact_max_bytes: int = Field(20_000_000_000, ge=0)
    """Size of the artefact store, bytes: above it the videos used longest ago go first, then recordings."""

    video_retention_seconds: float = Field(7 * 86_400.0, gt=0)
    """How long a video is kept after its last use, seconds."""

    speech_retention_seconds: float = Field(7 * 86_400.0, gt=0)
    """How long a recording is kept after its last use, seconds."""

    portrait_retention_seconds: float = Field(90 * 86_400.0, gt=0)
    """How long a source image, and with it the avatar, is kept after its last use, seconds."""

    cache_month_seconds: float = Field(30 * 86_400.0, gt=0)
    """Lifetime of cached artefacts of tier 1 (face detection, crop, mesh), seconds."""

    cache_week_seconds: float = Field(7 * 86_400.0, gt=0)
    """Lifetime of cached artefacts of tier 2 (gestures, visemes, background, motion), seconds."""

    session_ttl_seconds: float = Field(3_600.0, ge=1)
    """How long a session is remembered after its last change once it has ended, seconds."""

    max_waiting: int = Field(100, ge=1)
    """Most requests that wait in a lane; the next one is answered 429 with `Retry-After`."""

    vip_in_a_row: int = Field(8, ge=1)
    """So many VIP requests are served before a waiting standard one has its turn."""

    max_attempts: int = Field(3, ge=1)
    """Starts of a job whose worker dies each time, before it counts as failed."""

    lease_seconds: float = Field(15.0, ge=2)
    """A worker that has not been heard of for so long has lost its job to another one, seconds."""

    job_base_seconds: float = Field(120.0, gt=0)
    """Time limit of a job, seconds, apart from the part that grows with its length."""

    job_seconds_per_second: float = Field(6.0, gt=0)
    """Time limit of a job, seconds more for each second of video."""

    shutdown_grace_seconds: float = Field(60.0, ge=0)
    """After SIGTERM a running job may go on for so long, then it is handed back to the queue, seconds."""

    worker_max_bytes: int = Field(6_000_000_000, ge=100_000_000)
    """A worker whose process has taken more memory than that is replaced after its job, bytes."""

    drain_seconds: float = Field(1.0, ge=0)
    """After SIGTERM the API says for so long that it is not ready and refuses new work, before it stops
    listening, seconds; longer where a load balancer needs time to notice."""

    idempotency_seconds: float = Field(86_400.0, gt=0)
    """How long an `Idempotency-Key` is remembered, seconds."""

    upload_timeout_seconds: float = Field(120.0, gt=0)
    """A request's body must have arrived after so long, seconds."""

    send_timeout_seconds: float = Field(60.0, gt=0)
    """A client that takes nothing of its answer for so long is cut off, seconds."""

    api_keys: str = ""
    """Keys that may use the API, as a JSON list: `[{"name": "shop", "key": "...", "owner": "shop",
    "admin": false, "vip": true, "per_minute": 60}]`, the first two required; empty: no key is asked for."""

    api_keys_file: Path | None = None
    """File with such a JSON list, in place of `API_KEYS`."""

    cors_origins: str = ""
    """Origins whose pages may call the API, separated by commas; `*` for all, empty for none."""

    allowed_hosts: str = ""
    """Names under which the service answers without API keys, separated by commas, besides `localhost`,
    loopback addresses and the hosts of `CORS_ORIGINS`; `*` for all."""

    webhook_secret: str = ""
    """Secret that signs callbacks (Standard Webhooks, `whsec_...`); empty: callbacks are not signed."""

    webhook_allow_private: bool = False
    """Whether callbacks may go to private and loopback addresses."""

    metrics_port: int = Field(0, ge=0, le=65_535)
    """TCP port, on `HOST`, on which `sadtalker worker` answers `/metrics`; 0: none. `sadtalker serve` needs
    none: its API tells of the workers beside it."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """`json` for machines, `console` for people; `auto` is `console` on a terminal."""

    log_level: Literal["auto", "debug", "info", "warning", "error"] = "auto"
    """Least important events that are logged; `auto` is `warning` on a terminal, where somebody reads along,
    and `info` elsewhere."""

    @property
    def checkpoints_folder(self) -> Path:
        """Where SadTalker's checkpoints lie, whether or not the folder exists."""
        return (self.sadtalker_checkpoints_path or self.data_dir / "checkpoints").expanduser()

    @property
    def hub_cache_folder(self) -> Path:
        """Cache of Hugging Face's library, whether or not the folder exists."""
        home = self.hf_home or (self.xdg_cache_home or Path("~/.cache")) / "huggingface"
        return (self.hf_hub_cache or home / "hub").expanduser()

    @property
    def offline(self) -> bool:
        """Whether nothing may be downloaded."""
        return self.hf_hub_offline or self.transformers_offline


def set_environment(values: Mapping[str, str]) -> None:
    """Set variables of this process's environment, for its children and for libraries that read it."""
    os.environ.update(values)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process."""
    return Settings()


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process that may know everything: that of this one, and `extra`."""
    return {**os.environ, **extra}


def worker_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process that makes videos: without what is for the API alone. It reads what
    strangers have uploaded."""
    return {
        name: value for name, value in child_environment(extra).items() if name.upper() not in _OF_THE_API
    }


def bare_environment() -> dict[str, str]:
    """The environment of a child process that decodes what strangers have uploaded, and needs no setting: how
    programs and libraries are found and how they work, no secret, no address."""
    return {
        name: value for name, value in os.environ.items() if name in _BARE or name.startswith(_BARE_PREFIXES)
    }


_OF_THE_API = frozenset({"API_KEYS", "API_KEYS_FILE", "WEBHOOK_SECRET"})
_BARE = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "SYSTEMROOT"),
    }
)
_BARE_PREFIXES = ("LC_", "PYTHON", "OMP_", "MKL_", "OPENBLAS_", "NUMBA_", "MALLOC_", "COVERAGE_", "COV_CORE_")

"""All settings of the service. No other module reads settings from the environment."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import SettingsConfigDict

from sadtalker_service.live_settings import LiveSettings


def _switched_on(value: object) -> object:
    """Read a switch as Hugging Face's library does: four words mean yes, everything else means no."""
    return value.strip().upper() in {"1", "ON", "YES", "TRUE"} if isinstance(value, str) else value


def _unset_if_empty(value: object) -> object:
    return None if value == "" else value


def _without_brackets(value: object) -> object:
    """Remove the brackets that compose files put around an IPv6 address: `[::1]`."""
    return value.strip("[]") if isinstance(value, str) else value


PublishAddress = Annotated[str, BeforeValidator(_without_brackets)]
"""An address on the host that runs the container."""

HubSwitch = Annotated[bool, BeforeValidator(_switched_on)]
"""A switch of Hugging Face's library. Other programs on this machine may have set it."""

HubFolder = Annotated[Path | None, BeforeValidator(_unset_if_empty)]
"""A folder that other programs may have set, possibly to an empty text."""


class Settings(LiveSettings):
    """Settings from the environment (names in capitals, e.g. `DATA_DIR`) or from a `.env` file."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    data_dir: Path = Path("~/.local/share/sadtalker").expanduser()
    """Folder for all persistent data: cached avatars, videos, stores."""

    cache_max_bytes: int = Field(2_000_000_000, ge=0)
    """Maximum size of the cache folder, bytes. The least recently used artefacts are removed first."""

    engine: str = "auto"
    """Engine for requests that name none: `auto`, `mesh`, `sadtalker` or another installed engine. `auto` is
    `sadtalker` if a GPU, torch and the checkpoints are available, else `mesh`."""

    sadtalker_checkpoints_path: Path | None = None
    """Folder with SadTalker's checkpoints. Default: the folder `checkpoints` in `DATA_DIR`."""

    sadtalker_checkpoints_url: str | None = None
    """URL of a folder from which `sadtalker models download` gets the checkpoints, under their original names
    (for example your own mirror). Default: the places where they were published."""

    sadtalker_device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """Device of the SadTalker networks: `cpu`, `cuda`, `cuda:1` ... `auto` is the first GPU, else the CPU."""

    sadtalker_precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format for rendering frames with the SadTalker networks. `auto` is `bfloat16` on a GPU that
    supports it, else `float32`. Stages that run once per video always use `float32`."""

    sadtalker_batch_size: int = Field(0, ge=0, le=1024)
    """Number of frames that the SadTalker networks render at once. 0 chooses a number that fits the memory. A
    request that runs out of memory continues with half as many."""

    sadtalker_compile: bool = False
    """Compile the SadTalker networks with torch at the start: takes minutes and needs a C++ compiler, but
    speeds up rendering."""

    sadtalker_encoder: Literal["auto", "x264", "nvenc"] = "auto"
    """Encoder of the SadTalker engine's mp4 files: `x264`, or `nvenc` of the GPU. `auto` is `nvenc` if the
    networks run on a GPU that has one. Where it does not work, `x264` is used, and the log says why."""

    sadtalker_inference: Path | None = None
    """Unix socket of a `sadtalker inference` process, which runs the SadTalker networks for this process.
    Default: `serve` starts one for its workers, and other commands load the networks themselves."""

    hf_home: HubFolder = None
    """Folder of Hugging Face's library. Default: `huggingface` in `XDG_CACHE_HOME`."""

    hf_hub_cache: HubFolder = None
    """Cache of that library, searched before checkpoints are downloaded. Default: `hub` in `HF_HOME`."""

    xdg_cache_home: HubFolder = None
    """Folder for the caches of this user's programs. Default: `~/.cache`."""

    hf_endpoint: str = "https://huggingface.co"
    """URL of the Hugging Face Hub or of a mirror."""

    hf_hub_offline: HubSwitch = False
    """Never download. Checkpoints can then only come from the cache of Hugging Face's library."""

    transformers_offline: HubSwitch = False
    """Older name of `HF_HUB_OFFLINE`."""

    max_image_bytes: int = Field(20_000_000, ge=1)
    """Largest source image, bytes."""

    max_image_pixels: int = Field(50_000_000, ge=1)
    """Largest source image, width times height in pixels. Checked before decoding."""

    min_face_pixels: int = Field(64, ge=16)
    """Smallest face height that is accepted, pixels."""

    max_audio_bytes: int = Field(50_000_000, ge=1)
    """Largest driven audio, bytes."""

    max_audio_seconds: float = Field(600.0, gt=0)
    """Longest driven audio, seconds; enforced while decoding. It may be hours: memory does not grow with it.
    `MAX_AUDIO_BYTES` must allow for it too."""

    voice: str = "auto"
    """Default voice: an id from `sadtalker say --list`, or `auto` for the best one that is installed."""

    voice_threads: int = Field(0, ge=0, le=64)
    """Threads of a voice. 0: two, or one on a machine with one core."""

    max_idle_seconds: float = Field(600.0, gt=0)
    """Longest idle video, seconds."""

    host: str = "127.0.0.1"
    """Address on which the service listens. `0.0.0.0` means all addresses of this machine."""

    port: int = Field(8000, ge=0, le=65_535)
    """TCP port on which the service listens. 0 chooses a free one."""

    publish_address: PublishAddress = ""
    """Address on which a container's port is published; empty outside a container. If it is not a loopback
    address, `serve` does not start without keys. The image sets `0.0.0.0`."""

    workers: int | None = Field(None, ge=0)
    """Number of worker processes. Default: one per two cores. 0 serves HTTP only, for workers elsewhere."""

    redis_url: str | None = None
    """URL of the cache server: `redis://`, `rediss://` or `unix://`. Default: an embedded server."""

    queue_url: str | None = None
    """Server URL for queue and sessions; it must not evict. Default: `REDIS_URL`, or an embedded one."""

    redis_host: str | None = None
    """Host of the cache server, as an alternative to `REDIS_URL`."""

    redis_port: int = Field(6379, ge=1, le=65_535)
    """Port that goes with `REDIS_HOST`."""

    redis_db: int = Field(0, ge=0)
    """Database that goes with `REDIS_HOST`."""

    cache_maxmemory: int = Field(2_000_000_000, ge=16_000_000)
    """Memory of the embedded cache server, bytes. The least recently used keys are removed first."""

    artefact_url: str | None = None
    """Storage for source images, driven audio and videos, as an fsspec URL (`file:///data`,
    `s3://bucket/folder`). Default: the folder `artefacts` in `DATA_DIR`."""

    artefact_max_bytes: int = Field(20_000_000_000, ge=0)
    """Size limit of the artefact store, bytes. The least recently used videos go first, then driven audio."""

    video_retention_seconds: float = Field(7 * 86_400.0, gt=0)
    """How long a video is kept after its last use, seconds."""

    speech_retention_seconds: float = Field(7 * 86_400.0, gt=0)
    """How long driven audio is kept after its last use, seconds."""

    portrait_retention_seconds: float = Field(90 * 86_400.0, gt=0)
    """How long a source image and its avatars are kept after their last use, seconds."""

    cache_month_seconds: float = Field(30 * 86_400.0, gt=0)
    """Lifetime of cached artefacts of tier 1 (face detection, crop, mesh), seconds."""

    cache_week_seconds: float = Field(7 * 86_400.0, gt=0)
    """Lifetime of cached artefacts of tier 2 (gestures, visemes, background, motion), seconds."""

    session_ttl_seconds: float = Field(3_600.0, ge=1)
    """How long a finished session is kept after its last change, seconds."""

    max_waiting: int = Field(100, ge=1)
    """Maximum number of requests that wait in a lane. Further ones get 429 with `Retry-After`."""

    vip_in_a_row: int = Field(8, ge=1)
    """Number of VIP requests in a row before a waiting standard request is served."""

    max_attempts: int = Field(3, ge=1)
    """Number of attempts at a job. If its worker dies in each of them, the job fails."""

    lease_seconds: float = Field(15.0, ge=2)
    """How long a worker may go without a sign of life before its job is given to another one, seconds."""

    job_base_seconds: float = Field(120.0, gt=0)
    """Fixed part of a job's time limit, seconds."""

    job_seconds_per_second: float = Field(6.0, gt=0)
    """Additional time limit of a job, seconds for each second of video."""

    shutdown_grace_seconds: float = Field(60.0, ge=0)
    """How long a running job may continue after SIGTERM before it returns to the queue, seconds."""

    worker_max_bytes: int = Field(6_000_000_000, ge=100_000_000)
    """Memory limit of a worker process, bytes. If it uses more, it is replaced after its job."""

    drain_seconds: float = Field(1.0, ge=0)
    """How long the API reports that it is not ready after SIGTERM, and refuses new work, before it stops
    listening, seconds. Increase this if a load balancer needs more time to notice."""

    idempotency_seconds: float = Field(86_400.0, gt=0)
    """How long an `Idempotency-Key` is remembered, seconds."""

    upload_timeout_seconds: float = Field(120.0, gt=0)
    """Time limit for receiving a request's body, seconds."""

    send_timeout_seconds: float = Field(60.0, gt=0)
    """Time after which a client that reads nothing of its response is disconnected, seconds."""

    api_keys: str = ""
    """API keys as a JSON list: `[{"name": "shop", "key": "...", "owner": "shop", "admin": false,
    "vip": true, "live": true, "per_minute": 60}]`. `name` and `key` are required. Empty: the API needs no
    key."""

    api_keys_file: Path | None = None
    """File with such a JSON list, as an alternative to `API_KEYS`."""

    cors_origins: str = ""
    """Origins whose pages may call the API, separated by commas. `*` means all, empty means none."""

    allowed_hosts: str = ""
    """Host names that the service accepts without API keys, separated by commas, in addition to `localhost`,
    loopback addresses and the hosts of `CORS_ORIGINS`. `*` means all."""

    webhook_secret: str = ""
    """Secret for signing callbacks (Standard Webhooks, `whsec_...`). Empty: callbacks are not signed."""

    webhook_allow_private: bool = False
    """Allow callbacks to private and loopback addresses."""

    metrics_port: int = Field(0, ge=0, le=65_535)
    """TCP port on `HOST` on which `sadtalker worker` answers `/metrics`. 0: none. `sadtalker serve` needs
    none, because its API includes the metrics of its workers."""

    mark_videos: bool = True
    """Sign every finished video with a C2PA manifest that says that it is synthetic. See docs/marking.md."""

    marking_key_file: Path | None = None
    """Private key for signing, PEM without a password. Default: a key that is made once, in `DATA_DIR`."""

    marking_certificate_file: Path | None = None
    """Certificate of that key and those of its issuers, PEM. Set both or neither."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """`json` for machines, `console` for people. `auto` is `console` on a terminal, else `json`."""

    log_level: Literal["auto", "debug", "info", "warning", "error"] = "auto"
    """Lowest level of events that are logged. `auto` is `warning` on a terminal, else `info`."""

    @property
    def checkpoints_folder(self) -> Path:
        """Folder of SadTalker's checkpoints; it may not exist."""
        return (self.sadtalker_checkpoints_path or self.data_dir / "checkpoints").expanduser()

    @property
    def hub_cache_folder(self) -> Path:
        """Cache folder of Hugging Face's library; it may not exist."""
        home = self.hf_home or (self.xdg_cache_home or Path("~/.cache")) / "huggingface"
        return (self.hf_hub_cache or home / "hub").expanduser()

    @property
    def offline(self) -> bool:
        """True if downloads are disabled."""
        return self.hf_hub_offline or self.transformers_offline


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process."""
    return Settings()

"""Downloads over real HTTP from a misbehaving server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.support.checkpoint_server import Answer, FileServer, Waits

from sadtalker_service.engines.sadtalker.checkpoints.transfer import OnProgress, TransferFailed, transfer

DATA = np.random.default_rng(3).bytes(2_000_000)
OTHER = np.random.default_rng(4).bytes(2_000_000)


@pytest.fixture
def get(
    server: FileServer, client: httpx.Client, part: Path, waits: Waits, quiet: OnProgress
) -> Callable[..., bool]:
    """Transfer `/weights`."""
    server.files["/weights"] = DATA

    def run(size: int | None = None, on_progress: OnProgress | None = None, attempts: int = 3) -> bool:
        policy = waits.policy(attempts)
        return transfer(
            client, f"{server.url}/weights", part, size=size, policy=policy, on_progress=on_progress or quiet
        )

    return run


def test_file_arrives_with_progress(get: Callable[..., bool], part: Path) -> None:
    on_progress: list[tuple[int, int | None]] = []
    assert get(size=len(DATA), on_progress=lambda done, total: on_progress.append((done, total))) is False
    assert part.read_bytes() == DATA
    assert (on_progress[0], on_progress[-1]) == ((0, 2_000_000), (2_000_000, 2_000_000))
    assert len(on_progress) > 5


def test_lost_connection_resumes_where_it_ended(
    get: Callable[..., bool], part: Path, server: FileServer
) -> None:
    server.answers["/weights"] = [Answer(cut_after=700_000), Answer(cut_after=700_000)]
    assert get() is True
    assert part.read_bytes() == DATA
    assert server.ranges() == [None, "bytes=700000-", "bytes=1400000-"]
    assert all(headers["if-range"] for _, headers in server.requests[1:])


def test_next_run_resumes_where_the_last_one_gave_up(
    get: Callable[..., bool], part: Path, server: FileServer
) -> None:
    server.answers["/weights"] = [Answer(cut_after=500_000), Answer(status=503), Answer(status=503)]
    with pytest.raises(TransferFailed, match="503"):
        get(attempts=3)
    assert part.stat().st_size == 500_000
    assert get() is True
    assert part.read_bytes() == DATA
    assert server.ranges()[-1] == "bytes=500000-"


def test_file_that_changed_meanwhile_is_downloaded_again(
    get: Callable[..., bool], part: Path, server: FileServer
) -> None:
    server.answers["/weights"] = [Answer(cut_after=500_000), Answer(status=404)]
    with pytest.raises(TransferFailed):
        get()
    server.files["/weights"] = OTHER
    assert get() is False
    assert part.read_bytes() == OTHER


def test_part_from_another_address_is_not_resumed(
    get: Callable[..., bool],
    part: Path,
    server: FileServer,
    client: httpx.Client,
    waits: Waits,
    quiet: OnProgress,
) -> None:
    server.files["/mirror"] = OTHER
    server.answers["/mirror"] = [Answer(cut_after=500_000), Answer(status=404)]
    policy = waits.policy()
    with pytest.raises(TransferFailed):
        transfer(client, f"{server.url}/mirror", part, size=None, policy=policy, on_progress=quiet)
    get()
    assert part.read_bytes() == DATA


@pytest.mark.parametrize("answer", [Answer(whole=True), Answer(shifted=7), Answer(status=416)])
def test_server_with_a_wrong_part_sends_the_whole_file(
    answer: Answer, get: Callable[..., bool], part: Path, server: FileServer
) -> None:
    server.answers["/weights"] = [Answer(cut_after=500_000), answer]
    assert get() is False
    assert part.read_bytes() == DATA


def test_without_a_validator_nothing_is_joined(
    get: Callable[..., bool], part: Path, server: FileServer
) -> None:
    server.validators = False
    server.answers["/weights"] = [Answer(cut_after=500_000)]
    assert get() is False
    assert part.read_bytes() == DATA
    assert server.ranges() == [None, None]


def test_complete_part_is_not_requested_again(get: Callable[..., bool], server: FileServer) -> None:
    get()
    assert get() is True
    assert len(server.requests) == 1


def test_busy_server_is_retried_after_growing_waits(
    get: Callable[..., bool], part: Path, server: FileServer, waits: Waits
) -> None:
    server.answers["/weights"] = [Answer(status=429, headers=(("Retry-After", "20"),)), Answer(status=502)]
    get()
    assert part.read_bytes() == DATA
    first, second = waits.seconds
    assert first == 20.0
    assert waits.told[0] == "the server answered 429; retrying in 20 s"
    assert 1.5 <= second <= 2.5


def test_attempts_end(get: Callable[..., bool], server: FileServer, waits: Waits) -> None:
    server.answers["/weights"] = [Answer(status=500)] * 9
    with pytest.raises(TransferFailed, match=r"the server answered 500 \(4 attempts\)"):
        get(attempts=4)
    assert len(server.requests) == 4
    assert len(waits.seconds) == 3


def test_progress_gives_new_attempts(get: Callable[..., bool], part: Path, server: FileServer) -> None:
    server.answers["/weights"] = [Answer(cut_after=200_000)] * 8
    get(attempts=2)
    assert part.read_bytes() == DATA


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_final_refusal_is_not_repeated(status: int, get: Callable[..., bool], server: FileServer) -> None:
    server.answers["/weights"] = [Answer(status=status)] * 9
    with pytest.raises(TransferFailed, match=str(status)):
        get()
    assert len(server.requests) == 1


def test_silent_server_times_out(get: Callable[..., bool], part: Path, server: FileServer) -> None:
    server.answers["/weights"] = [Answer(pause=3.0)]  # the client's timeout is one second
    assert get() is True
    assert part.read_bytes() == DATA


def test_slow_server_is_waited_for(get: Callable[..., bool], part: Path, server: FileServer) -> None:
    server.answers["/weights"] = [Answer(pause=0.2)]
    assert get() is False
    assert len(server.requests) == 1


def test_file_of_another_length_is_rejected_before_transfer(
    get: Callable[..., bool], part: Path, server: FileServer
) -> None:
    with pytest.raises(TransferFailed, match=r"it has 2,000,000 bytes there, not 3,000,000"):
        get(size=3_000_000)
    assert part.stat().st_size == 0


def test_file_of_unknown_length_arrives(get: Callable[..., bool], part: Path, server: FileServer) -> None:
    server.answers["/weights"] = [Answer(unsized=True)]
    get()
    assert part.read_bytes() == DATA


def test_redirect_is_followed_with_the_range(
    get: Callable[..., bool], part: Path, server: FileServer
) -> None:
    server.files["/storage"] = DATA
    server.answers["/weights"] = [Answer(elsewhere=f"{server.url}/storage")] * 2
    server.answers["/storage"] = [Answer(cut_after=500_000)]
    assert get() is True
    assert part.read_bytes() == DATA
    assert [path for path, _ in server.requests] == ["/weights", "/storage"] * 2
    assert server.ranges() == [None, None, "bytes=500000-", "bytes=500000-"]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/weights", "http://", "weights"])
def test_invalid_address_is_rejected_at_once(
    url: str, client: httpx.Client, part: Path, waits: Waits, quiet: OnProgress
) -> None:
    with pytest.raises(TransferFailed):
        transfer(client, url, part, size=None, policy=waits.policy(), on_progress=quiet)
    assert waits.seconds == []


def test_closed_port_is_retried(client: httpx.Client, part: Path, waits: Waits, quiet: OnProgress) -> None:
    policy = waits.policy()
    with pytest.raises(TransferFailed, match=r"refused \(3 attempts\)"):
        transfer(client, "http://127.0.0.1:9/weights", part, size=None, policy=policy, on_progress=quiet)

"""Signing videos as synthetic: what a verifier reads, and whose key it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.support.manifests import manifest_of, origin_of

from sadtalker_service.domain import Rendering
from sadtalker_service.errors import MarkingFailed
from sadtalker_service.media.fragments import refragment
from sadtalker_service.media.marking.credentials import FILE, credentials_of
from sadtalker_service.media.marking.marker import GENERATOR, Marker
from sadtalker_service.media.marking.tags import tags_of
from sadtalker_service.media.video import write_video
from sadtalker_service.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds of noise."""
    random = np.random.default_rng(3)
    batches = (random.integers(0, 255, (5, 64, 64, 3), dtype=np.uint8) for _ in range(10))
    rendering = Rendering(np.full((64, 96, 3), 90, np.uint8), (0, 0, 64, 64), 25, 50, batches)
    write_video(rendering, tmp_path / "v.mp4", tags=tags_of("trainedAlgorithmicMedia"))
    return tmp_path / "v.mp4"


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0)]


def test_a_verifier_reads_who_made_it_and_how(settings: Settings, video: Path) -> None:
    before, size = packets(video), video.stat().st_size
    assert Marker(credentials_of(settings), "1.2.3").sign(video, "compositeWithTrainedAlgorithmicMedia")
    store = manifest_of(video)
    assert store["validation_state"] == "Valid"
    (manifest,) = store["manifests"].values()
    assert manifest["claim_generator_info"][0]["name"] == GENERATOR
    assert manifest["claim_generator_info"][0]["version"] == "1.2.3"
    assert origin_of(store) == "compositeWithTrainedAlgorithmicMedia"
    assert packets(video) == before
    assert video.stat().st_size - size < 20_000, "no picture in it"
    assert sorted(path.name for path in video.parent.iterdir()) == ["data", "v.mp4"]


def test_the_manifest_names_no_file_and_no_machine(settings: Settings, tmp_path: Path, video: Path) -> None:
    named = video.rename(tmp_path / "a-face-with-a-name.mp4")
    Marker(credentials_of(settings), "1").sign(named, "trainedAlgorithmicMedia")
    told = json.dumps(manifest_of(named))
    for word in ("a-face-with-a-name", str(tmp_path), "thumbnail", "author", "title"):
        assert word not in told


def test_a_changed_video_is_not_valid(settings: Settings, video: Path) -> None:
    Marker(credentials_of(settings), "1").sign(video, "trainedAlgorithmicMedia")
    data = bytearray(video.read_bytes())
    data[len(data) // 2] ^= 1
    assert manifest_of(bytes(data))["validation_state"] == "Invalid"


def test_mov_is_signed_and_webm_says_that_it_cannot_be(settings: Settings, video: Path) -> None:
    marker = Marker(credentials_of(settings), "1")
    mov, webm = video.with_suffix(".mov"), video.with_suffix(".webm")
    with av.open(str(video)) as source, av.open(str(mov), "w") as target:
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)
    assert marker.sign(mov, "trainedAlgorithmicMedia")
    assert manifest_of(mov, "video/quicktime")["validation_state"] == "Valid"
    webm.write_bytes(b"webm")
    assert not marker.sign(webm, "trainedAlgorithmicMedia")
    assert webm.read_bytes() == b"webm"


def test_the_key_is_made_once_and_for_this_user_only(settings: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: credentials_of(settings), range(8)))
    assert len({one.key for one in made}) == 1
    assert credentials_of(settings) == made[0]
    assert (settings.data_dir / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.data_dir.iterdir()] == [FILE]
    assert made[0].key not in repr(made[0])


Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def certificate(key: Key, until: timedelta = timedelta(days=30)) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A publisher")])
    now = datetime.now(UTC) - timedelta(days=10)
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    public = key.public_key()
    made = (
        x509.CertificateBuilder(name, name, public, x509.random_serial_number(), now, now + until)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def own(settings: Settings, key: Key, chain: bytes) -> Settings:
    """Settings that name files with this key and these certificates."""
    folder = settings.data_dir.parent
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (folder / "chain.pem").write_bytes(chain)
    files = {"marking_key_file": folder / "key.pem", "marking_certificate_file": folder / "chain.pem"}
    return settings.model_copy(update=files)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
        lambda: rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "Ed25519", "RSA"],
)
def test_an_own_key_signs(settings: Settings, video: Path, make: Callable[[], Key]) -> None:
    key = make()
    chosen = own(settings, key, certificate(key))
    Marker(credentials_of(chosen), "1").sign(video, "trainedAlgorithmicMedia")
    store = manifest_of(video)
    assert store["validation_state"] == "Valid"
    (manifest,) = store["manifests"].values()
    assert manifest["signature_info"]["issuer"] == "A publisher"
    assert not settings.data_dir.exists()


def test_a_key_that_cannot_sign_is_told(settings: Settings) -> None:
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    with pytest.raises(MarkingFailed, match="do not belong together"):
        credentials_of(own(settings, key, certificate(other)))
    with pytest.raises(MarkingFailed, match="not valid today"):
        credentials_of(own(settings, key, certificate(key, until=timedelta(days=1))))
    with pytest.raises(MarkingFailed, match=r"must be PEM"):
        credentials_of(own(settings, key, b"nothing"))
    half = settings.model_copy(update={"marking_key_file": Path("key.pem")})
    with pytest.raises(MarkingFailed, match="Set both"):
        credentials_of(half)
    gone = half.model_copy(update={"marking_certificate_file": Path("none.pem")})
    with pytest.raises(MarkingFailed, match="Cannot read"):
        credentials_of(gone)
    ours = settings.data_dir / FILE
    ours.parent.mkdir()
    ours.write_text("half a ke")
    with pytest.raises(MarkingFailed, match="cannot be used"):
        credentials_of(settings)


def test_tags_stay_in_a_stream_of_a_finished_file(video: Path, tmp_path: Path) -> None:
    pieces = list(refragment(video))
    (tmp_path / "stream.mp4").write_bytes(b"".join(pieces))
    with av.open(str(tmp_path / "stream.mp4")) as stream:
        assert stream.metadata["comment"].endswith("/trainedAlgorithmicMedia")
        assert len(list(stream.decode(video=0))) == 50

"""The key and the certificate that sign videos: from the settings, or made once.

Those that were made are in one file, `DATA_DIR/marking.pem`, so that one never exists without the other. The
certificate is signed by its own key, so no authority vouches for it. A verifier reports that a file is
unchanged, and that the signer is unknown.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sadtalker_service.errors import MarkingFailed
from sadtalker_service.files import whole_file
from sadtalker_service.settings import Settings

log = structlog.get_logger(__name__)

FILE = "marking.pem"
"""Name of the made file in `DATA_DIR`."""

_PRIVATE = 0o600
_VALID = timedelta(days=3650)
"""A signature without a trusted timestamp is valid only as long as its certificate."""
_CLOCKS = timedelta(days=1)
"""The certificate is valid from this long before now, because clocks of other machines differ."""
_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
"""Elliptic curve -> name of the algorithm in C2PA (specification 2.1, section 13.2.1)."""


@dataclass(frozen=True)
class Credentials:
    """What signs a video."""

    key: str = ""
    """Private key, PEM (PKCS #8)."""
    certificates: str = ""
    """Certificate of the key, and then those of its issuers, PEM."""
    algorithm: str = "es256"
    """Name of the algorithm in C2PA."""

    def __repr__(self) -> str:
        return f"Credentials(algorithm={self.algorithm!r})"  # the key belongs in no log


def credentials_of(settings: Settings) -> Credentials:
    """The key and certificate of the settings, or those of this installation, made now if there are none.

    Raises `MarkingFailed` if they cannot be read or made, or do not fit each other.
    """
    key, certificate = settings.marking_key_file, settings.marking_certificate_file
    if bool(key) != bool(certificate):
        raise MarkingFailed("Set both MARKING_KEY_FILE and MARKING_CERTIFICATE_FILE, or neither.")
    if key and certificate:
        return _checked(_read(key), _read(certificate), f"{key} and {certificate}")
    path = settings.data_dir.expanduser() / FILE
    if not path.exists():
        _make(path)
    both = _read(path)
    return _checked(both, both, str(path))


def _checked(key: str, certificates: str, where: str) -> Credentials:
    try:
        private = serialization.load_pem_private_key(key.encode(), None)
        chain = x509.load_pem_x509_certificates(certificates.encode())
    except (ValueError, TypeError) as error:
        raise MarkingFailed(
            f"The key and certificate for marking in {where} cannot be used: {error}. They must be PEM, the "
            "key without a password."
        ) from error
    if private.public_key() != chain[0].public_key():
        raise MarkingFailed(f"The key and the first certificate in {where} do not belong together.")
    if not chain[0].not_valid_before_utc <= datetime.now(UTC) <= chain[0].not_valid_after_utc:
        raise MarkingFailed(f"The certificate for marking in {where} is not valid today. Renew it.")
    if isinstance(private, ec.EllipticCurvePrivateKey):
        algorithm = _ALGORITHMS.get(private.curve.name)
    elif isinstance(private, ed25519.Ed25519PrivateKey):
        algorithm = "ed25519"
    else:
        algorithm = "ps256" if isinstance(private, rsa.RSAPrivateKey) else None
    if algorithm is None:
        raise MarkingFailed(f"The key for marking in {where} is of a kind that C2PA does not know.")
    return Credentials(
        _pem(private),
        "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in chain),
        algorithm,
    )


def _make(path: Path) -> None:
    """Write a new key with its certificate, unless another process is first."""
    key = ec.generate_private_key(ec.SECP256R1())
    text = _pem(key) + _self_signed(key).public_bytes(serialization.Encoding.PEM).decode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path.with_name(f"{FILE}.{os.getpid()}"), _PRIVATE) as unfinished:
            unfinished.write_text(text)
            try:
                path.hardlink_to(unfinished)  # unlike a rename it fails if the file exists
            except FileExistsError:
                return
    except OSError as error:
        raise MarkingFailed(
            f"Cannot write {path}, the key for marking videos: {error.strerror}. Set DATA_DIR to a folder "
            "that can be written, or MARKING_KEY_FILE and MARKING_CERTIFICATE_FILE, or MARK_VIDEOS=false."
        ) from error
    finally:
        path.with_name(f"{FILE}.{os.getpid()}").unlink(missing_ok=True)
    log.info(
        "marking_key_made",
        file=str(path),
        remark="Videos are signed with a certificate of unknown issuer. See docs/marking.md.",
    )


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate as C2PA 2.1 asks for (section 14.5.1), without any name of this machine."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SadTalker service"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Installation of SadTalker service"),
        ]
    )
    now, public = datetime.now(UTC), key.public_key()
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _pem(key: object) -> str:
    encoded: bytes = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded.decode()


def _read(path: Path) -> str:
    try:
        return path.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise MarkingFailed(f"Cannot read {path}, which marking needs: {error}.") from error

"""Make the data of the voices from the packages that hold it: pronunciations and the styles of Kokoro's
voices.

    .venv/bin/python tools/make_voice_data.py misaki-0.9.4-py3-none-any.whl kokoro-js-1.2.1.tgz

Get the two files with `pip download --no-deps misaki==0.9.4` and `npm pack kokoro-js@1.2.1`. What is written,
and the origin of each file, is in `src/sadtalker_service/speech/voices/data/ORIGIN.json`.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from letter_rules import train

TARGET = Path(__file__).resolve().parents[1] / "src/sadtalker_service/speech/voices/data"
RANK = 16
"""A style is 510 rows of 256 numbers, one row per length of the text. Sixteen directions hold all of it but
1e-5."""
DICTIONARIES = {"en_us": "us", "en_gb": "gb"}


def main() -> None:
    misaki, kokoro = (Path(name) for name in sys.argv[1:3])
    TARGET.mkdir(exist_ok=True)
    with zipfile.ZipFile(misaki) as wheel:
        for name, prefix in DICTIONARIES.items():
            write_dictionary(wheel, name, prefix)
        (TARGET / "LICENSE").write_bytes(wheel.read("misaki-0.9.4.dist-info/licenses/LICENSE"))
    with tarfile.open(kokoro) as package:
        write_styles(package)
    sources = {file.name: sha256(file.read_bytes()) for file in (misaki, kokoro)}
    files = {
        path.name: sha256(path.read_bytes())
        for path in sorted(TARGET.iterdir())
        if path.suffix in {".xz", ".safetensors"}
    }
    origin = {
        "made_by": "tools/make_voice_data.py",
        "licence": "Apache-2.0",
        "sources": sources,
        "files": files,
    }
    (TARGET / "ORIGIN.json").write_text(json.dumps(origin, indent=2) + "\n")


def write_dictionary(wheel: zipfile.ZipFile, name: str, prefix: str) -> None:
    """Lines `word TAB phonemes`, sorted by their bytes; a word with several pronunciations has
    `TAG:phonemes|TAG:phonemes`. The checked dictionary goes before the generated one."""
    gold: dict[str, Any] = json.loads(wheel.read(f"misaki/data/{prefix}_gold.json"))
    silver: dict[str, Any] = json.loads(wheel.read(f"misaki/data/{prefix}_silver.json"))
    words = {**silver, **gold}
    write(f"{name}.tsv.xz", sorted((word, entry(value)) for word, value in words.items()))
    spoken = {word: value if isinstance(value, str) else value["DEFAULT"] for word, value in gold.items()}
    write(f"{name}_letters.tsv.xz", sorted(train(spoken).items()))


def entry(value: str | dict[str, str | None]) -> str:
    """A pronunciation as it is written in a line."""
    if isinstance(value, str):
        return value
    return "|".join(f"{tag}:{phonemes or ''}" for tag, phonemes in value.items())


def write(name: str, lines: list[tuple[str, str]]) -> None:
    """A compressed table."""
    text = "".join(f"{key}\t{value}\n" for key, value in sorted(lines, key=lambda line: line[0].encode()))
    (TARGET / name).write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


def write_styles(package: tarfile.TarFile) -> None:
    """Each voice as two factors, float32 (510, RANK) and (RANK, 256)."""
    factors: dict[str, np.ndarray] = {}
    for member in package.getmembers():
        path = Path(member.name)
        if path.suffix != ".bin" or (file := package.extractfile(member)) is None:
            continue
        style = np.frombuffer(io.BytesIO(file.read()).getvalue(), "<f4").reshape(510, 256)
        left, values, right = np.linalg.svd(style.astype(np.float64), full_matrices=False)
        factors[f"{path.stem}.rows"] = (left[:, :RANK] * values[:RANK]).astype(np.float32)
        factors[f"{path.stem}.basis"] = right[:RANK].astype(np.float32)
        error = np.abs(factors[f"{path.stem}.rows"] @ factors[f"{path.stem}.basis"] - style).max()
        print(f"{path.stem:16} largest error {error:.1e} of {np.abs(style).max():.2f}")
    save_file(factors, TARGET / "kokoro_styles.safetensors")


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main()

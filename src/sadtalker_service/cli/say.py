"""`sadtalker say`: speak a text into a sound file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from sadtalker_service.cli.spelling import SadTalkerCommand
from sadtalker_service.domain import SpokenText
from sadtalker_service.errors import InvalidOption
from sadtalker_service.files import output_errors, whole_file
from sadtalker_service.media.sound_writer import SOUND_FORMATS, write_sound
from sadtalker_service.pipeline.cached import CachedComputation
from sadtalker_service.pipeline.from_files import open_cache
from sadtalker_service.pipeline.spoken import CachedVoice
from sadtalker_service.settings import get_settings
from sadtalker_service.speech.voices.catalogue import LANGUAGES
from sadtalker_service.speech.voices.choice import resolve
from sadtalker_service.speech.voices.port import VOICE_RATE
from sadtalker_service.speech.voices.speaker import installed_voices, read_text, recite, voice_for
from sadtalker_service.store.cache import NoCache

_EXAMPLES = """\b
Examples:
  sadtalker say "Hello, this is a voice." --output hello.wav
  sadtalker say "Buenos días." --language es --output hola.mp3
  sadtalker say --voice bm_george --rate 1.2 --output news.wav - < news.txt
  sadtalker say --list
"""


@click.command("say", cls=SadTalkerCommand, epilog=_EXAMPLES)
@click.argument("text", required=False)
@click.option("--voice", default="", metavar="ID", help="A voice from --list [default: VOICE].")
@click.option("--language", default="", metavar="TAG", help="en-us, en-gb, es ...: its first voice.")
@click.option("--rate", type=float, default=1.0, show_default=True, help="How fast, 0.5 to 2.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="speech.wav",
    show_default=True,
    help=f"Sound file: {', '.join(name for name in SOUND_FORMATS if name != 'pcm')}.",
)
@click.option("--list", "as_list", is_flag=True, help="List the voices that can speak here.")
@click.option("--no_cache", is_flag=True, help="Speak everything again and store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print phonemes and words with their times.")
def command(text: str | None, **given: Any) -> None:
    """Speak TEXT, plain or with SSML, into a sound file. TEXT is - for the standard input."""
    if given["as_list"]:
        _list_voices(as_json=bool(given["as_json"]))
        return
    if text is None:
        raise click.UsageError("Give a text, - for the standard input, or --list.")
    output: Path = given["output"]
    sound = SOUND_FORMATS.get(output.suffix.lower().lstrip("."))
    if sound is None:
        raise InvalidOption(f"{output} must end in .{', .'.join(SOUND_FORMATS)}.", param="output")
    settings, start = get_settings(), time.perf_counter()
    words = sys.stdin.read() if text == "-" else text
    spoken = resolve(SpokenText(words, given["voice"], given["rate"]), given["language"], settings.voice)
    script = read_text(spoken)
    cache = NoCache() if given["no_cache"] else open_cache(settings)
    voice = CachedVoice(voice_for(script.card, settings.voice_threads), CachedComputation(cache))
    samples, timeline = recite(script, voice)
    with whole_file(output) as unfinished, output_errors(output):
        unfinished.write_bytes(b"".join(write_sound([samples], VOICE_RATE, sound, len(samples))))
    took, length = time.perf_counter() - start, len(samples) / VOICE_RATE
    for warning in script.warnings:
        click.echo(f"warning: {warning}", err=True)
    if given["as_json"]:
        report = {"output": str(output), "voice": script.card.id, "seconds": round(length, 6)}
        click.echo(json.dumps({**report, "wall_seconds": round(took, 6), **timeline.to_json()}))
        return
    click.echo(
        f"{output}: {script.card.id}, {length:.1f} s in {took:.2f} s, {length / took:.1f} times real time"
    )


def _list_voices(*, as_json: bool) -> None:
    voices = installed_voices()
    if as_json:
        click.echo(json.dumps([card.to_json() for card in voices]))
        return
    table = Table("id", "name", "language", "")
    for card in voices:
        table.add_row(card.id, card.name, f"{card.language} {LANGUAGES[card.language]}", card.gender)
    Console().print(table)

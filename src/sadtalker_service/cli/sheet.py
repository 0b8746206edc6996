"""`sadtalker sheet`: a contact sheet of the mouth shapes, blinks and poses of a source image."""

from __future__ import annotations

from pathlib import Path

import click
from PIL import Image

from sadtalker_service.cli.spelling import SadTalkerCommand
from sadtalker_service.domain import PREPROCESS_MODES, PreprocessMode
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.engines.mesh.sheet import contact_sheet
from sadtalker_service.files import output_errors, whole_file
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.from_files import open_cache
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.sources import lazy_source_image
from sadtalker_service.settings import get_settings
from sadtalker_service.store.cache import NoCache


@click.command("sheet", cls=SadTalkerCommand)
@click.argument("photo", metavar="SOURCE_IMAGE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), default="sheet.png", show_default=True)
@click.option("--preprocess", type=click.Choice(PREPROCESS_MODES), default="crop", show_default=True)
@click.option("--no_cache", is_flag=True, help="Recompute everything and store nothing.")
def command(photo: Path, output: Path, preprocess: PreprocessMode, no_cache: bool) -> None:
    """Draw the mouth shapes, blinks and poses of SOURCE_IMAGE in one PNG."""
    settings, engine = get_settings(), MeshEngine()
    pipeline = Pipeline(engine, NoCache() if no_cache else open_cache(settings))
    image = lazy_source_image(photo, settings)
    prepared = pipeline.prepare(image, RenderOptions(preprocess=preprocess))
    picture = Image.fromarray(contact_sheet(prepared.avatar))
    with whole_file(output) as unfinished, output_errors(output):
        picture.save(unfinished, format="PNG")
    click.echo(f"{output}: {picture.width}x{picture.height}")

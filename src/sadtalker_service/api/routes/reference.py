"""`/docs` and `/redoc`: the OpenAPI document as web pages, without files from other hosts.

Swagger UI and ReDoc come with the package `fastapi-offline`. Only its files are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from fastapi import APIRouter, Response
from starlette.responses import FileResponse, HTMLResponse

from sadtalker_service.api.routes.home import PAGE_HEADERS
from sadtalker_service.errors import NotFound

open_router = APIRouter(include_in_schema=False)

_OURS = Path(__file__).parents[1] / "reference"
_TYPES: Mapping[str, str] = MappingProxyType({".js": "text/javascript", ".css": "text/css"})
_OF_THE_PACKAGE = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js"})
_FILES = _OF_THE_PACKAGE | {"swagger.js", "redoc.js", "redoc.css"}
_POLICY = "Content-Security-Policy"
_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",  # an empty one that ReDoc fills rule by rule
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='",  # for its scroll bars
)
"""Hashes of the `<style>` elements that ReDoc adds to its page."""
_LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
"""ReDoc's own logo, which it loads from its makers' server; the text beside it still names them."""
_NO_PICTURE = b"data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


@open_router.get("/docs")
def swagger() -> Response:
    """The Swagger page, on which routes can be tried."""
    return HTMLResponse((_OURS / "swagger.html").read_bytes(), headers=dict(PAGE_HEADERS))


@open_router.get("/redoc")
def redoc() -> Response:
    """The ReDoc page, for reading."""
    policy = PAGE_HEADERS[_POLICY].replace("style-src 'self'", " ".join(("style-src 'self'", *_STYLES)))
    return HTMLResponse((_OURS / "redoc.html").read_bytes(), headers={**PAGE_HEADERS, _POLICY: policy})


@open_router.get("/docs/assets/{name}")
def asset(name: str) -> Response:
    """A file of one of the two pages. Raises `NotFound`."""
    if name not in _FILES:
        raise NotFound("There is nothing at this address. See /docs.")
    kind, headers = _TYPES[Path(name).suffix], {"Cache-Control": "no-cache"}
    if name == "redoc.standalone.js":
        return Response(_redoc_script(), headers=headers, media_type=kind)
    folder = _packaged() if name in _OF_THE_PACKAGE else _OURS
    return FileResponse(folder / name, headers=headers, media_type=kind)


@lru_cache(maxsize=1)
def _redoc_script() -> bytes:
    return (_packaged() / "redoc.standalone.js").read_bytes().replace(_LOGO, _NO_PICTURE)


def _packaged() -> Path:
    """The folder of the package's files; the package itself is not imported."""
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise NotFound("The files of this page are not installed. Reinstall the project's packages.")
    return Path(spec.origin).parent / "static"

"""Options of a video, declared once. The form, the command line and the cache key derive from them."""

from sadtalker_service.options.render_options import RenderOptions

__all__ = ["RenderOptions"]

"""What both sides of the word alignment process know."""

from __future__ import annotations

import struct

LENGTH = struct.Struct("<I")
"""Header of a request: the number of bytes of samples that follow. A reply is a line of JSON."""

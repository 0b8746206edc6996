"""Change the rate of sound that arrives in pieces."""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.media.low_pass import low_pass

Samples = NDArray[np.float32]

_REACH = 16
"""Half the length of the filter, in samples of the lower rate. Its delay: 1 ms at 16 kHz."""
_PASS = 0.92
"""Share of the band that passes."""


class StreamResampler:
    """A polyphase filter that returns each sample as early as possible. Pieces give the same as the whole.

    The libraries' streams hold back up to 30 ms, which a live voice cannot afford.
    """

    def __init__(self, source: int, target: int) -> None:
        """Both rates in Hz."""
        common = gcd(source, target)
        self._up, self._down = target // common, source // common
        longer = max(self._up, self._down)
        taps = 2 * _REACH * longer
        kernel = low_pass(taps + 1, _PASS / longer, beta=8.0) * self._up
        self._width = -(-len(kernel) // self._up)
        padded = np.pad(kernel, (0, self._width * self._up - len(kernel)))
        self._phases = padded.reshape(self._width, self._up).T.astype(np.float32)
        self._kept = np.zeros(self._width - 1, np.float32)
        self._taken = 0
        self._given = 0

    def push(self, samples: Samples) -> Samples:
        """float32 (m,) at the target rate, for the next (n,) at the source rate."""
        if self._up == self._down:
            return samples
        joined = np.concatenate([self._kept, samples])
        first = self._taken - len(self._kept)
        self._taken += len(samples)
        until = -(-self._taken * self._up // self._down)
        at = np.arange(self._given, until) * self._down
        newest = at // self._up - first
        windows = joined[newest[:, None] - np.arange(self._width)]
        self._given = until
        self._kept = joined[len(joined) - self._width + 1 :]
        self._wrap()
        return np.asarray(np.einsum("ij,ij->i", windows, self._phases[at % self._up]), np.float32)

    def _wrap(self) -> None:
        """Keep the counters small: both rates meet after `_down` samples."""
        turns = self._taken // self._down
        self._taken -= turns * self._down
        self._given -= turns * self._up

"""Compiled loops of the renderer.

Each one is a numba kernel that releases the GIL and caches its machine code on disk. They share one image
format, texels. A texel is an RGB pixel with each channel in its own 16 bits of an unsigned 64-bit integer, so
that one multiplication weights all channels at once. Texels have twice the resolution of the source.

Functions that run per pixel take numbers. If they take arrays or the scene, they are inlined
(`inline="always"`). A real call would increment and decrement the reference count of every array, which costs
more than the work itself.
"""

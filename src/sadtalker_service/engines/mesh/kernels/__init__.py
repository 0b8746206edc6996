"""The compiled loops of the renderer.

Each is a numba kernel without the GIL and with its machine code cached on disk. They share one picture
format: texels, RGB pixels with each channel in its own 16 bits of an unsigned 64-bit integer, at twice the
resolution of the source, so that one multiplication weighs all channels at once.

What is called for every pixel takes numbers, or is inlined (`inline="always"`) if it takes arrays or the
scene: a call would count a reference of every array up and down again, which costs more than the work.
"""

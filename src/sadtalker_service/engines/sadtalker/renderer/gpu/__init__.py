"""The form of the renderer for a GPU: channels last from the first layer to the last, and everything between
two convolutions in one pass.

A map is (B, H, W, C) and contiguous here, a volume (B, D, H, W, C). Convolutions get a view of it, so nothing
is copied between layouts. Convolutions have no bias: the pass after them adds it. The form also runs on a
CPU, where the tests compare it with the trained form, but the form for a CPU is faster there.
"""

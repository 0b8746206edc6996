"""The engines that draw, behind one port (`base.py`)."""

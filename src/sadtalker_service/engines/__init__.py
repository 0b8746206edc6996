"""The engines that draw, behind one port (`port.py`)."""

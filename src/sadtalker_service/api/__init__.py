"""The HTTP face: reads requests, calls the front desk, renders what it says. Decides nothing."""

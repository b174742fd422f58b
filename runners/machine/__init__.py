"""The machine, the device and the precision that a network runs with."""

"""The machine, device and precision of a run."""

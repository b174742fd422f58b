"""The folder of a run: facts, logs, checkpoints, progress."""

"""Run directories: facts, logs, checkpoints and progress."""

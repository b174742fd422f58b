"""The state of a run on the disk: the room's one door."""

from runners.machine import machine, surroundings
from runners.state.checkpoint import Checkpoint
from runners.state.folder import RunFolder, read_facts
from runners.state.rows import read_rows
from runners.state.seeds import deterministic, reseed
from runners.state.settings import other_machine, same_settings, space_hash

__all__ = [
    "Checkpoint",
    "RunFolder",
    "deterministic",
    "machine",
    "other_machine",
    "read_facts",
    "read_rows",
    "reseed",
    "same_settings",
    "space_hash",
    "surroundings",
]

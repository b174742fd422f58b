"""The state of a run on the disk: the room's one door."""

from runners.facts import read_facts
from runners.machine import machine, surroundings
from runners.state.checkpoint import Checkpoint, last_checkpoint
from runners.state.folder import RunFolder, standing
from runners.state.rows import read_rows
from runners.state.seeds import deterministic, reseed, set_generators
from runners.state.settings import other_machine, same_settings, space_hash
from runners.state.tensors import below, optimiser_tensors, restore_optimiser, under

__all__ = [
    "Checkpoint",
    "RunFolder",
    "below",
    "deterministic",
    "last_checkpoint",
    "machine",
    "optimiser_tensors",
    "other_machine",
    "read_facts",
    "read_rows",
    "reseed",
    "restore_optimiser",
    "same_settings",
    "set_generators",
    "space_hash",
    "standing",
    "surroundings",
    "under",
]

"""What a run leaves on disk and goes on from: the room's one door."""

from runners.state.checkpoint import Checkpoint
from runners.state.compare import same_settings
from runners.state.facts import machine, space_hash
from runners.state.folder import RunFolder
from runners.state.seeds import deterministic

__all__ = [
    "Checkpoint",
    "RunFolder",
    "deterministic",
    "machine",
    "same_settings",
    "space_hash",
]

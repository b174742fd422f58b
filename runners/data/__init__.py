"""Data sets: the room's one door."""

"""The forms of a network: files, programs, their checks and speed."""

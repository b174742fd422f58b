"""The forms of a network: files, programs, their tests and latencies."""

"""The command `nasir`, and its commands by subject."""

from runners.cli.entry import COMMANDS, app, main

__all__ = ["COMMANDS", "app", "main"]

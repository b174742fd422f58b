"""`python -m nasir` runs the command `nasir`."""

import gc
from importlib import import_module

from nasir.lazy import import_beside


def main() -> None:
    """Runs the command line of this process.

    Modules are not garbage: collecting among them takes a third of a command's time.
    """
    gc.set_threshold(200_000)
    import_beside("runners")
    import_module("runners.cli").main()


if __name__ == "__main__":
    main()

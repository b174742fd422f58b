"""`python -m nasir` runs the command `nasir`."""

from importlib import import_module

from nasir.lazy import import_beside


def main() -> None:
    """Runs the command line of this process."""
    import_beside("runners")
    import_module("runners.cli").main()


if __name__ == "__main__":
    main()

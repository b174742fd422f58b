"""`python -m runners` runs the command `nasir`."""

from runners.cli import main

main()

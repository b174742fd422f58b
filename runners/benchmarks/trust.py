"""Whether a pickle that asks for more than data may be loaded: what the user said."""

from collections.abc import Callable

from nasir.errors import quoted
from runners.output import print_warning


def trusting(allowed: bool) -> Callable[[str], bool]:
    """A function that is asked with the name a pickle wants to call; it says on stderr why."""

    def asked(name: str) -> bool:
        if allowed:
            print_warning(
                f"the file asks for {quoted(name)}, which may run code; --trust-pickle allows it"
            )
        return allowed

    return asked

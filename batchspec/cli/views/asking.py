"""Questions to people before something that cannot be undone."""

import sys

from rich.text import Text

from batchspec.cli.views.streams import print_prose, stderr
from batchspec.cli.views.words import clean
from batchspec.errors import DeclinedError


def confirm(
    question: str, *, declined: str = "Declined; nothing was changed.", word: str = "yes"
) -> None:
    """Ask a person; only one word is agreement.

    Raises:
        DeclinedError: The answer is another one, or there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise DeclinedError("Nobody is there to agree: this is no terminal. Add `--auto-approve`.")
    console = stderr()
    print_prose(console, [Text(), Text(clean(question), "bold")])
    console.print(Text(f"Only {clean(word)!r} is accepted: ", "bold"), end="")
    if sys.stdin.readline().strip() != word:
        raise DeclinedError(declined)

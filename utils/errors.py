"""The one exception that speaks to users."""

LONGEST = 1200


class UserError(ValueError):
    """A mistake of the user's, told in one line: what is wrong, where, and the fix.

    What it quotes from files and libraries may hold line breaks, control characters or whole pages: these become
    spaces, and of a very long message the middle is left out. Scripts print it without a traceback and end with exit
    status 2 (`utils.cli.run_script`).
    """

    def __init__(self, message: str) -> None:
        line = "".join(letter if letter.isprintable() else " " for letter in message)
        if len(line) > LONGEST:
            line = f"{line[:LONGEST * 2 // 3]} ... {line[-LONGEST // 3:]}"
        super().__init__(line)

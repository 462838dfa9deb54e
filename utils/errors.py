"""The one exception that speaks to users."""


class UserError(ValueError):
    """A mistake of the user's, told in one line: what is wrong, where, and the fix.

    Scripts print the message without a traceback and end with exit status 2 (`utils.cli.run_script`).
    """

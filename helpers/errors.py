"""The two ways in which this package tells you that something is wrong."""


class HelpersError(Exception):
    """Something you can mend: the message names what is wrong, where, and what to do."""


class HelpersWarning(UserWarning):
    """Something you should know: work goes on, but look at it."""

"""The root of every error a person is meant to read, and the mark of those that pass by themselves. What belongs here: these
two types only; each step defines its own.
"""


class ThumbrankError(Exception):
    """Something a user can mend: the message is one sentence that names the thing and the mend, and carries no secret.

    The command line prints it and exits with status 1; anything else that escapes is a defect and keeps its traceback.
    """


class TransientError(ThumbrankError):
    """It may pass without anybody's doing: the same step may succeed in a while (a busy server, a network that is away).

    Everything else is permanent: a key that is refused stays refused until a person mends it. A day's quota that is spent is
    neither, as nothing failed: the step ends there and says when it can go on.
    """

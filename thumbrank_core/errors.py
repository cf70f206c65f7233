"""The root of every error a person is meant to read. What belongs here: the base type only; each step defines its own."""


class ThumbrankError(Exception):
    """Something a user can mend: the message is one sentence that names the thing and the mend, and carries no secret.

    The command line prints it and exits with status 1; anything else that escapes is a defect and keeps its traceback.
    """

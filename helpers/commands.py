"""What the commands ``python -m helpers.<name>`` have in common."""

import sys
from contextlib import contextmanager


@contextmanager
def plainly():
    """End a command with one sentence, not a traceback, where the user can mend something: a file, a setting, a network.

    Examples
    --------
    >>> with plainly():
    ...     raise ValueError("say which source")
    Traceback (most recent call last):
    SystemExit: say which source
    """
    try:
        yield
    except (OSError, ValueError) as error:
        sys.exit(str(error))

"""Progress bars, which ``TQDM_DISABLE=1`` silences in notebooks too: tqdm itself heeds it on terminals only."""

import os

from tqdm import auto


def tqdm(*args, **options):
    """``tqdm.auto.tqdm``, silent where ``TQDM_DISABLE=1``: a bar in a stored notebook would stay at 0 % for ever.

    Examples
    --------
    >>> list(tqdm("ab", disable=True))
    ['a', 'b']
    """
    return auto.tqdm(*args, **{"disable": os.environ.get("TQDM_DISABLE") == "1"} | options)

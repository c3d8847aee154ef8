"""The names nearest to a misspelt one, for error messages."""

import difflib
from typing import Iterable


def nearest(name: str, names: Iterable[str], most: int = 3) -> str:
    """The known names nearest to ``name``, as the end of a sentence.

    Args:
        name (str): The given name.
        names (Iterable[str]): The known names.
        most (int): The largest number of names to give. Defaults to 3.

    Returns:
        str: ``'Nearest: "a", "b".'``, or all names if none is near.
    """
    names = [str(known) for known in names if known]
    near = difflib.get_close_matches(str(name), names, n=most, cutoff=0.5)
    if near:
        return 'Nearest: ' + ', '.join(f'"{known}"' for known in near) + '.'
    if not names:
        return 'There are none.'
    shown = ', '.join(f'"{known}"' for known in names[:12])
    return f'There are: {shown}{" …" if len(names) > 12 else ""}.'

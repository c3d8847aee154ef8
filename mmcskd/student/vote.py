"""Who answers at test time."""

from typing import Optional, Sequence, Tuple, Union

from ..checks.suggest import nearest


def check_vote(
    vote: Optional[Union[str, Sequence[str]]], voters: Sequence[str], key: str
) -> Tuple[str, ...]:
    """The voters that a config names.

    Args:
        vote (str | Sequence[str], optional): Names of voters, or None for all of them.
        voters (Sequence[str]): Those there are.
        key (str): Where the config names them, for the message.

    Returns:
        tuple[str, ...]: One or more of ``voters``.

    Raises:
        ValueError: For an unknown or repeated voter, or none at all.
    """
    vote = tuple(voters) if vote is None else (vote,) if isinstance(vote, str) else tuple(vote)
    for voter in vote:
        if voter not in voters:
            raise ValueError(f'{key}: "{voter}" has no vote. ' + nearest(voter, voters))
    if not vote or len(set(vote)) < len(vote):
        raise ValueError(f'{key} is {vote}, expected one or more of {tuple(voters)}.')
    return vote

"""Classes are compared by name wherever two sides have names."""

import re
from itertools import combinations
from typing import Any, Dict, List, Mapping, Optional, Sequence

# Shares of names that may differ by their spelling.
SPELLING = 0.05

Names = Optional[Sequence[str]]


def check_class_names(named: Mapping[str, Names]) -> List[str]:
    """Refuse two lists of classes that mean different ones by the same number.

    Names are compared without case, punctuation and what follows a comma. A list may end before the
    other, as of a set of images that lacks the last classes.

    Args:
        named (Mapping[str, Sequence[str] | None]): Place that names classes, as a config key → the
            names in the order of their numbers; None if it has none.

    Returns:
        list[str]: Warnings, of lists that have no name in common, or few that differ.

    Raises:
        ValueError: If a number means different classes, with the places, the number and both names.
    """
    known = {place: [str(name) for name in names] for place, names in named.items() if names}
    warnings = []
    for (first, names), (second, others) in combinations(known.items(), 2):
        plain, plain_others = list(map(_plain, names)), list(map(_plain, others))
        pairs = list(zip(plain, plain_others))
        differing = [i for i, (one, other) in enumerate(pairs) if one != other]
        if not differing:
            continue
        at = differing[0]
        said = f'class {at} is "{names[at]}" in {first} and "{others[at]}" in {second}'
        common = {*plain} & {*plain_others}
        moved = [i for i in differing if plain[i] in common or plain_others[i] in common]
        if moved:
            at = moved[0]
            raise ValueError(
                f'Class {at} is "{names[at]}" in {first} and "{others[at]}" in {second}: the same '
                'classes have other numbers there. Give both the same classes in the same order: '
                '`classes` or `metainfo` of a dataset says it, and every class needs its folder, '
                'an empty one if it has no images.'
            )
        if common and len(differing) > SPELLING * len(pairs):
            raise ValueError(
                f'{said[0].upper()}{said[1:]}, {len(differing)} of {len(pairs)} differ: give both '
                'the same classes.'
            )
        warnings.append(
            f'{len(differing)} of {len(pairs)} classes have other names: {said}. Whether they are '
            'the same, in the same order, is not known.'
        )
    return warnings


def check_run_classes(
    model: Any, datasets: Mapping[str, Any], given: Optional[Mapping[str, Names]] = None
) -> List[str]:
    """Compare the classes of a run's datasets, teacher and weights.

    Args:
        model (nn.Module): The model, or an algorithm with a ``teacher``.
        datasets (Mapping[str, Any]): Config key → dataset.
        given (Mapping[str, Sequence[str] | None], optional): Further names. Defaults to None.

    Returns:
        list[str]: Warnings, as of :func:`check_class_names`.

    Raises:
        ValueError: As of :func:`check_class_names`.
    """
    named: Dict[str, Names] = {key: dataset_classes(each) for key, each in datasets.items()}
    named['the checkpoint'] = model_classes(model)
    named['model.teacher_ckpt'] = model_classes(getattr(model, 'teacher', None))
    return check_class_names({**named, **(given or {})})


def dataset_classes(dataset: Any) -> Names:
    """The classes of a dataset in the order of their numbers.

    Args:
        dataset (Any): A dataset; one of MMEngine has ``metainfo``.
    """
    return _listed((getattr(dataset, 'metainfo', None) or {}).get('classes'))


def model_classes(model: Any) -> Names:
    """The classes that a model answers, in the order of its logits.

    Args:
        model (Any): A model. :func:`mmcskd.runs.weights.load_weights` notes what a checkpoint says,
            as MMPretrain's ``get_model`` does.
    """
    return _listed((getattr(model, '_dataset_meta', None) or {}).get('classes'))


def checkpoint_classes(content: Any) -> Names:
    """The classes of the training that wrote a checkpoint.

    Args:
        content (Any): Content of the file; ``meta`` of MMEngine, or of MMCV 1 with ``CLASSES``.
    """
    meta = content.get('meta') if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return None
    found = meta.get('dataset_meta')
    classes = found.get('classes') if isinstance(found, Mapping) else meta.get('CLASSES')
    return _listed(classes)


def _listed(names: Any) -> Names:
    whole = isinstance(names, (list, tuple)) and names
    return names if whole and all(isinstance(name, str) for name in names) else None


def _plain(name: str) -> str:
    return re.sub(r'[\W_]+', ' ', name.split(',')[0]).strip().casefold() or name

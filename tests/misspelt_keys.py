"""Every key of configs, misspelt: whether any passes."""

import copy

from mmengine.config import Config
from mmengine.registry import TRANSFORMS, VISUALIZERS, DefaultScope
from mmrazor.registry import HOOKS
from mutations import RUN

from mmcskd.checks.config_check import check_config

PARTS = (*RUN, 'test_dataloader', 'test_cfg', 'test_evaluator')
# Names that one chooses: of default hooks, and of weights, which the built model knows.
CHOSEN = {('default_hooks',), ('optim_wrapper', 'paramwise_cfg', 'custom_keys')}


def keys(part, path=()):
    """Paths of all keys of dicts, and the types that they are given to."""
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(part, dict) and len(path) > 0 and path not in CHOSEN:
            yield (*path, key), str(part.get('type'))
        if isinstance(value, (dict, list, tuple)):
            yield from keys(value, (*path, key))


def misspelt(cfg, path):
    """The config with one key that is no longer what is read, and the new key."""
    cfg = copy.deepcopy(cfg)
    part = cfg
    for key in path[:-1]:
        part = part[key]
    key = f'{path[-1]}q'
    part[key] = part.pop(path[-1])
    return Config(cfg), key


def build_inner(cfg, place):
    """Of hooks, transforms and the visualizer, what hands arguments on refuses when it is built."""
    registries = dict(custom_hooks=HOOKS, pipeline=TRANSFORMS, visualizer=VISUALIZERS)
    for end, key in enumerate(place[:-1]):
        if key in registries:
            part = cfg
            for inner in place[: end + 1 + isinstance(place[end + 1], int)]:
                part = part[inner]
            registries[key].build(part)


def those_that_pass(paths):
    """Misspelt keys of runs and distillers that no check refuses, and all that were tried.

    Students and teachers refuse what they do not know when they are built. Data need not be there.

    Args:
        paths (Iterable[Path]): Of configs; what is no run is left out.
    """
    seen, passed = set(), []
    for path in paths:
        cfg = Config.fromfile(path)
        if not {'optim_wrapper', 'model'} <= set(cfg) or 'runner_type' in cfg:
            continue
        cfg = cfg._cfg_dict.to_dict()
        parts = {name: cfg[name] for name in PARTS if cfg.get(name)}
        parts['model'] = {'distiller': cfg['model'].get('distiller', {})}
        for place, kind in keys(parts):
            sign = (kind, *(key for key in place if isinstance(key, str)))
            if sign in seen or place == ('model', 'distiller'):
                continue
            seen.add(sign)
            changed, key = misspelt(cfg, place)
            try:
                with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
                    check_config(changed)
                    build_inner(changed, place)
                passed.append((path.stem, place))
            except (TypeError, ValueError) as error:
                if key not in str(error) and place[-1] not in str(error):
                    passed.append((path.stem, place, str(error)[:200]))
    return passed, seen

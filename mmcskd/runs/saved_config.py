"""Configs in files of weights: read, checked and written as data, never executed.

MMEngine executes a config's text and imports any module that a ``type`` names. That is right for a
config that the user starts and wrong for one that comes with a file.
"""

import ast
import contextlib
import re
import sys
from typing import Any, Dict, Iterable, Iterator, Optional

from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry
from mmengine.registry import registry as registry_module

from .bounds import MAX_DEPTH, MAX_TEXT, VARIABLE, lifted, shallow

NUMBERS = dict(inf=float('inf'), nan=float('nan'))
PLAIN = (str, int, float, bool, type(None))
# Keys that load other files or are for training only.
DROPPED = ('init_cfg', 'pretrained', 'checkpoint_path', '_delete_')
# Words: no file, URL or call; some of MMPretrain's transforms pass a string to `eval`.
WORDS = re.compile(r'[\w .,+-]*')
FILES = (
    '.bin', '.ckpt', '.json', '.npz', '.onnx', '.pkl', '.pt', '.pth', '.py', '.safetensors',
    '.tar', '.yaml', '.yml', '.zip',
)  # fmt: skip


class SavedConfigError(ValueError):
    """A config in a file of weights that is more than data or cannot be written as data."""


def read_saved_config(text: str, keys: Iterable[str]) -> ConfigDict:
    """The named top-level settings of a config's ``pretty_text``.

    The text is parsed. It may have literals, lists, tuples, dictionaries and calls of ``dict`` with
    them, the forms in which ``pretty_text`` writes such values. Other settings may have any form.

    Args:
        text (str): A checkpoint's ``meta['cfg']``.
        keys (Iterable[str]): The wanted settings.

    Returns:
        mmengine.ConfigDict: The settings found.

    Raises:
        SavedConfigError: If the text is no Python, too long or too deep, or a wanted setting is
            more than plain data.
    """
    keys, settings = set(keys), {}
    for statement in _statements(text):
        name = _assigned(statement)
        if name in keys:
            settings[name] = _value(statement.value, name)
    return ConfigDict(settings)


def check_saved_config(part: Any, key: str, registry: Registry) -> Any:
    """Check that a part of a saved config may be built, and remove keys that load other files.

    Every ``type`` in it must be registered already: by a package that the user's own command or
    config has imported. Nothing is imported because the part names it.

    Args:
        part (Any): From :func:`read_saved_config`.
        key (str): Its config key, for messages.
        registry (mmengine.Registry): The registry of its types; parent registries count too.

    Returns:
        Any: A copy without ``init_cfg``, ``pretrained`` and other keys of this kind.

    Raises:
        SavedConfigError: For a type that is not registered, an unknown scope, a key that is no
            word, a value that is no plain one, or a string of more than words.
    """
    if isinstance(part, dict):
        found = {}
        for name, value in part.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise SavedConfigError(
                    f'The saved config has the key {name!r} in {key}, expected words.'
                )
            if name in DROPPED:
                continue
            place = f'{key}.{name}'
            if name == 'type':
                found[name] = _known_type(value, place, registry)
            elif name == '_scope_':
                if _node(registry, value) is None:
                    raise SavedConfigError(
                        f'The saved config sets {place} to {value!r}: unknown scope.'
                    )
                found[name] = value
            else:
                found[name] = check_saved_config(value, place, registry)
        return type(part)(found)
    if isinstance(part, (list, tuple)):
        return type(part)(
            check_saved_config(value, f'{key}.{index}', registry)
            for index, value in enumerate(part)
        )
    if not isinstance(part, PLAIN):
        raise SavedConfigError(f'The saved config sets {key} to {part!r}, expected plain values.')
    if isinstance(part, str) and (not WORDS.fullmatch(part) or part.lower().endswith(FILES)):
        raise SavedConfigError(
            f'The saved config sets {key} to {part!r}, expected plain words: what takes it may '
            'read other files or evaluate it.'
        )
    return part


def registered(name: Any, registry: Registry) -> Optional[type]:
    """The class that is registered under a name; unlike ``Registry.get`` it imports nothing.

    Args:
        name (Any): ``'X'``, looked up in the registry and its parents, ``'scope.X'``, or
            ``'package.module.X'``, the form of configs that import their classes.
        registry (mmengine.Registry): The registry.

    Returns:
        type | None: The class, or None.
    """
    if not isinstance(name, str):
        return None
    scope, _, plain = name.rpartition('.')
    if not scope:
        return _lookup(plain, registry)
    node = _node(registry, scope)
    if node is not None:
        return _lookup(plain, node)
    found = _lookup(plain, registry)
    package = getattr(found, '__module__', '').split('.')[0]
    return found if package == scope.split('.')[0] else None


@contextlib.contextmanager
def importing_nothing() -> Iterator[None]:
    """Forbid imports by name while a saved config is built.

    Types are checked before; some classes look up other arguments too, such as timm's
    ``norm_layer``.
    """
    stock = registry_module.get_object_from_string, registry_module.import_module
    registry_module.get_object_from_string = lambda name: None
    registry_module.import_module = _imported_already
    try:
        yield
    finally:
        registry_module.get_object_from_string, registry_module.import_module = stock


def _imported_already(name: str) -> Any:
    if name not in sys.modules:
        raise ImportError(f'{name} is not imported because a saved config names it.')
    return sys.modules[name]


def config_text(config: Config) -> str:
    """Write a config whose text gives plain values when it is loaded.

    Args:
        config (mmengine.Config): A config of plain values.

    Returns:
        str: Its ``pretty_text``.

    Raises:
        SavedConfigError: If that text differs from the config, as for keys that are no words, or if
            MMEngine would substitute something in it.
    """
    wanted = config.to_dict()
    try:
        text = config.pretty_text
        read: Dict[str, Any] = {}
        for statement in _statements(text):
            name = _assigned(statement)
            if name is None:
                raise SavedConfigError(f'`{_shown(statement)}` is no setting.')
            read[name] = _value(statement.value, name)
    except (SyntaxError, ValueError) as error:
        raise SavedConfigError(f'The config cannot be written as plain values: {error}') from None
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    # MMEngine replaces `{{…}}` in a config's text before it reads it.
    if read != wanted or '{{' in text or names & {*NUMBERS}:
        raise SavedConfigError(
            'The config cannot be written as plain values: its text would be read as another one. '
            'Take braces, quotes and numbers that are not finite out of its keys and values.'
        )
    return text


def _statements(text: str) -> list:
    if len(text) > MAX_TEXT and not lifted():
        raise SavedConfigError(
            f'The saved config has {len(text)} characters, expected at most {MAX_TEXT}; '
            f'{VARIABLE}=off in the environment lifts the bound.'
        )
    try:
        with shallow():
            return ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SavedConfigError(f'The saved config is no plain config ({error}).') from error


def _assigned(statement: ast.AST) -> Optional[str]:
    """The name of a setting."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target = statement.targets[0]
    return target.id if isinstance(target, ast.Name) else None


def _value(node: Any, key: str, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise SavedConfigError(
            f'The saved config is nested more than {MAX_DEPTH} deep: {key[:60]} ….'
        )
    if isinstance(node, ast.Constant) and isinstance(node.value, PLAIN):
        return node.value
    if isinstance(node, ast.Name) and node.id in NUMBERS:
        return NUMBERS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, key, depth + 1)
        if isinstance(value, (int, float)):
            return -value
    elif isinstance(node, (ast.List, ast.Tuple)):
        kind = list if isinstance(node, ast.List) else tuple
        return kind(_value(item, key, depth + 1) for item in node.elts)
    elif isinstance(node, ast.Dict) and all(isinstance(name, ast.Constant) for name in node.keys):
        names: Any = node.keys
        return {
            name.value: _value(item, f'{key}.{name.value}', depth + 1)
            for name, item in zip(names, node.values)
        }
    elif _is_dict_call(node):
        found = {}
        for given in node.args:  # `dict({'a.b': 1})`, for names that are no identifiers
            found.update(_value(given, key, depth + 1))
        for word in node.keywords:
            found[word.arg] = _value(word.value, f'{key}.{word.arg}', depth + 1)
        return found
    raise SavedConfigError(
        f'The saved config sets {key} to something else than plain data: `{_shown(node)}`.'
    )


def _is_dict_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == 'dict'
        and all(isinstance(given, ast.Dict) for given in node.args)
        and all(word.arg is not None for word in node.keywords)
    )


def _known_type(name: Any, key: str, registry: Registry) -> str:
    if registered(name, registry) is None:
        raise SavedConfigError(
            f'The saved config sets {key} to {name!r}, which is not registered, and nothing is '
            'imported because a file of weights names it. If it is a class of yours, import its '
            'module in your command or config.'
        )
    scope, _, plain = name.rpartition('.')
    return name if _node(registry, scope) is not None else plain


def _lookup(plain: str, node: Optional[Registry]) -> Optional[type]:
    while node is not None:
        if plain in node.module_dict:
            return node.module_dict[plain]
        node = node.parent
    return None


def _node(registry: Registry, scope: Any) -> Optional[Registry]:
    """The existing registry of a scope, of the same kind."""
    return registry.root._search_child(scope) if isinstance(scope, str) else None


def _shown(node: ast.AST) -> str:
    try:
        return ast.unparse(node)[:60]
    except RecursionError:
        return '…'

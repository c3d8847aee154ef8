"""The measures of the package's structure: files and lines of a step, import cycles, lines of code.

``python .dev_scripts/measures.py`` prints the table of docs/architecture.md;
``--page docs/architecture.md`` writes it there, between the markers.
"""

import argparse
import ast
import inspect
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Iterator, List, Set

import networkx
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmpretrain.structures import DataSample
from mmrazor.registry import HOOKS, MODELS

import mmcskd

PACKAGE = Path(mmcskd.__file__).resolve().parent
ROOT = PACKAGE.parent
CONFIG = ROOT / 'configs' / 'cskd_deit-s_regnety.py'
SOURCES = ('.py', '.sh')
MARKERS = ('<!-- measures -->', '<!-- /measures -->')
# Each measure, and what this script found in release 0.1.
ROWS = (
    ('files of `mmcskd` that run in one plain online step: the algorithm alone', '16'),
    ('the same, with the hook and its schedule', '19'),
    ('lines of these files and of the configs', '2,466 in 22 files'),
    ('the same, with building the model and the first step', '3,602 in 33 files'),
    ('parts of `mmcskd` that import each other in a cycle', '7'),
    ('lines of `mmcskd` / `tools` / `tests`', '11.5k / 5.3k / 13.7k'),
    ('ways to be a student', '2'),
)


def files_that_run(run: Callable) -> Set[Path]:
    """Files of the package of which a function is called.

    Args:
        run (Callable): Without arguments.

    Returns:
        set[Path]: The files.
    """
    found = set()

    def note(frame, event, _):
        if event == 'call':
            found.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return {Path(name) for name in found if Path(name).is_relative_to(PACKAGE)}


class Step:
    """One training step of a small form of ``CONFIG`` on the CPU.

    The teacher is a RegNetY of 3 M parameters with random weights, the student a DeiT of two
    layers; all else is as in the config. The first step prepares the teacher, the second is plain.

    Attributes:
        alone (set[Path]): Files that run in loss and backward pass of the plain step.
        with_hook (set[Path]): The same with ``CKFHook``.
        with_start (set[Path]): The same with building the model and the first step.
    """

    def __init__(self) -> None:
        start = files_that_run(self._start)
        self.alone = files_that_run(self._step)
        self.with_hook = self.alone | files_that_run(self._set_fusion_weight)
        self.with_start = self.with_hook | start

    def _start(self) -> None:
        cfg = Config.fromfile(CONFIG)
        model = cfg.model
        model.update(teacher_ckpt=None, random_teacher=True)
        model.teacher.backbone.model_name = 'regnety_002'
        model.teacher.head.in_channels = 368
        small = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
        model.architecture.backbone.arch = small
        model.architecture.head.in_channels = 24
        self.algorithm = MODELS.build(model).train()
        hook = next(hook for hook in cfg.custom_hooks if hook.type == 'mmrazor.CKFHook')
        self.hook = HOOKS.build(hook)
        self.runner = SimpleNamespace(
            model=self.algorithm, iter=0, max_iters=10, message_hub=MessageHub('measures')
        )
        self.inputs = torch.randn(2, 3, 224, 224)
        self.samples = [DataSample().set_gt_label(label) for label in range(2)]
        self.hook.before_train(self.runner)
        self._set_fusion_weight()
        self._step()

    def _set_fusion_weight(self) -> None:
        self.hook.before_train_iter(self.runner, 0)

    def _step(self) -> None:
        losses = self.algorithm(self.inputs, self.samples, mode='loss')
        sum(value for name, value in losses.items() if 'loss' in name).backward()


def config_chain(path: Path) -> List[Path]:
    """A config and the configs of this repository that it inherits, directly or not."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    bases = next(
        (ast.literal_eval(node.value) for node in tree.body if _assigns(node, '_base_')), ()
    )
    found = [path]
    for base in [bases] if isinstance(bases, str) else bases:
        if '::' not in base:
            found += config_chain((path.parent / base).resolve())
    return found


def _assigns(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) == name


def import_cycles() -> List[str]:
    """Folders of the package, and modules at its top, that import each other in a cycle."""
    graph = networkx.DiGraph()
    for path in PACKAGE.rglob('*.py'):
        own = _part(path)
        for imported in _imports(path):
            if own != '__init__' and imported != own:
                graph.add_edge(own, imported)
    cycles = [each for each in networkx.strongly_connected_components(graph) if len(each) > 1]
    return sorted(folder for cycle in cycles for folder in cycle)


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix('').parts[0]


def _imports(path: Path) -> Iterator[str]:
    package = path.parent.relative_to(ROOT).parts
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = (*above, *(node.module or '').split('.'))
            names = [module] if module[1:2] not in ((), ('',)) else [
                ('mmcskd', alias.name) for alias in node.names
            ]  # fmt: skip
        elif isinstance(node, ast.Import):
            names = [alias.name.split('.') for alias in node.names]
        else:
            continue
        for name in names:
            if name[0] == 'mmcskd' and len(name) > 1:
                target = PACKAGE / name[1]
                if target.is_dir() or target.with_suffix('.py').is_file():
                    yield name[1]


def lines(*paths: Path) -> int:
    """Lines of files, or of the Python and shell files below folders."""
    files = [
        each
        for path in paths
        for each in ([path] if path.is_file() else sorted(path.rglob('*')))
        if each.is_file() and each.suffix in SOURCES
    ]
    return sum(len(each.read_text(encoding='utf-8').splitlines()) for each in files)


def ways_to_be_a_student() -> List[str]:
    """Registered classes that define a distillation head of their own."""
    classes = (getattr(mmcskd, name) for name in mmcskd.__all__)
    return [
        each.__name__
        for each in classes
        if inspect.isclass(each) and 'distillation_logits' in vars(each)
    ]


def table() -> str:
    """The measures in Markdown."""
    step = Step()
    configs = config_chain(CONFIG)
    reading, whole = [*step.with_hook, *configs], [*step.with_start, *configs]
    thousands = (lines(ROOT / name) / 1000 for name in ('mmcskd', 'tools', 'tests'))
    found = (
        str(len(step.alone)),
        str(len(step.with_hook)),
        f'{lines(*reading):,} in {len(reading)} files',
        f'{lines(*whole):,} in {len(whole)} files',
        _listed(import_cycles()),
        ' / '.join(f'{number:.1f}k' for number in thousands),
        _listed(ways_to_be_a_student()),
    )
    rows = [f'| {name} | {before} | {now} |' for (name, before), now in zip(ROWS, found)]
    return '\n'.join(['| measure | before | now |', '|---|---|---|', *rows])


def _listed(names: List[str]) -> str:
    return f'{len(names)}' + (f': {", ".join(names)}' if names else '')


def main(argv=None) -> None:
    """Print the table, list the files of a step, or write the table into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--page', type=Path, help='write the table between the markers of a page')
    parser.add_argument('--files', action='store_true', help='list the files of a step instead')
    args = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    if args.files:
        step = Step()
        parts = (step.alone, step.with_hook - step.alone, step.with_start - step.with_hook)
        for files in (*map(sorted, parts), config_chain(CONFIG)):
            print(*(f'{lines(path):5} {path.relative_to(ROOT)}' for path in files), '', sep='\n')
    elif args.page is None:
        print(table())
    else:
        before, rest = args.page.read_text(encoding='utf-8').split(MARKERS[0])
        after = rest.split(MARKERS[1])[1]
        text = f'{before}{MARKERS[0]}\n\n{table()}\n\n{MARKERS[1]}{after}'
        args.page.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()

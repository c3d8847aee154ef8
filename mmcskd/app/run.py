"""What `mmcskd distill` left in a folder: accuracies, predictions, exports, the report."""

import json
from math import sqrt
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope
from torch import nn

from .launch import build_student
from .log import quietly

STEPS = ('teacher', 'baseline', 'student')


class Run:
    """A finished or half-finished run of ``mmcskd distill``.

    Args:
        out (str | Path): Its folder.

    Raises:
        ValueError: If there is none.
    """

    def __init__(self, out: Union[str, Path]) -> None:
        self.out = Path(out).expanduser().resolve()
        self._models: Dict[str, nn.Module] = {}
        if not (self.out / 'command.json').is_file():
            raise ValueError(f'RUN "{out}" is no folder of a run: "command.json" is not there.')

    @property
    def metrics(self) -> Dict[str, dict]:
        """The ``metrics.json`` of each finished step."""
        files = {step: self.out / step / 'metrics.json' for step in STEPS}
        return {step: json.loads(file.read_text()) for step, file in files.items() if file.exists()}

    @property
    def accuracy(self) -> float:
        """The student's accuracy in percent on test, or on val if there is no test split.

        Raises:
            ValueError: If the student is not finished.
        """
        metrics = self._finished('student')
        return (metrics.get('test') or metrics['val'])['accuracy']

    @property
    def classes(self) -> List[str]:
        """Names of the classes, in the order of the labels."""
        return json.loads((self.out / 'data' / 'found.json').read_text('utf-8'))['classes']

    def config(self, step: str = 'student') -> Config:
        """The config with which a step was trained.

        Args:
            step (str): ``'teacher'``, ``'student'`` or ``'baseline'``. Defaults to ``'student'``.
        """
        return Config.fromfile(self.out / step / 'config.py')

    @quietly()
    def model(self, step: str = 'student') -> Any:
        """A step's model with its weights, in evaluation mode, with its ``data_preprocessor``.

        Args:
            step (str): As in :meth:`config`.

        Raises:
            ValueError: If the step is not finished.
        """
        if step not in self._models:
            checkpoint = self.out / step / self._finished(step)['checkpoint']
            self._models[step] = build_student(self.config(step), str(checkpoint)).eval()
        return self._models[step]

    @quietly()
    @torch.no_grad()
    def predict(
        self,
        images: Union[str, Path, Sequence[Union[str, Path]]],
        top_k: int = 5,
        step: str = 'student',
    ) -> Union[dict, List[dict]]:
        """The classes of pictures.

        Args:
            images (str | Path | Sequence): One file or several.
            top_k (int): Most classes to name. Defaults to 5.
            step (str): Whose answer. Defaults to ``'student'``.

        Returns:
            dict | list[dict]: For each file ``file``, ``classes`` and their ``probabilities``, the
            most probable first; a dict for a single file.

        Raises:
            ValueError: For a file that is no picture, or if the step is not finished.
        """
        if isinstance(images, (str, Path)):
            return self.predict([images], top_k, step)[0]
        model, names = self.model(step), self.classes
        pipeline = [dict(each) for each in self.config(step).val_dataloader.dataset.pipeline]
        if pipeline[0]['type'] == 'LoadImageFromFile':
            pipeline[0]['type'] = 'LoadWholeImage'  # says which file is no picture
        found = []
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            view = Compose(pipeline)
            for image in images:
                if not Path(image).is_file():
                    raise ValueError(f'IMAGE "{image}" is no file.')
                try:
                    sample = view(dict(img_path=str(image)))
                except ValueError as error:
                    raise ValueError(f'IMAGE {str(error).split(":")[0]}.') from None
                score = model.val_step(default_collate([sample]))[0].pred_score
                best = score.topk(min(top_k, len(names)))
                found.append(
                    dict(
                        file=str(image),
                        classes=[names[index] for index in best.indices],
                        probabilities=[round(float(value), 6) for value in best.values],
                    )
                )
        return found

    @quietly()
    def export(
        self, file: Optional[Union[str, Path]] = None, to: str = 'onnx', force: bool = False
    ) -> List[str]:
        """Write the student for another library; its answers are compared.

        Args:
            file (str | Path, optional): Defaults to None: ``student`` in the run's folder, with the
                suffix of the target.
            to (str): ``'onnx'``, ``'timm'``, ``'mmpretrain'``, ``'safetensors'``, ``'backbone'`` or
                ``'openvino'``. Defaults to ``'onnx'``.
            force (bool): Overwrite. Defaults to False.

        Returns:
            list[str]: What was written, and how far the answers differ.
        """
        from .deployment import export_run

        self._finished('student')
        return export_run(self.out, to, None if file is None else Path(file), force)

    @quietly()
    def report(self) -> Path:
        """Write ``report.html`` and ``README.md`` anew.

        Returns:
            Path: ``report.html``.
        """
        from .report import write_report

        return write_report(self.out)

    def table(self) -> str:
        """Accuracies with their 95 % intervals, as text."""
        metrics = self.metrics
        splits = [split for split in ('val', 'test') if any(split in m for m in metrics.values())]
        names = {step: f'{step}, {metrics[step]["name"]}' for step in metrics}
        width = max(map(len, names.values()), default=0) + 2
        lines = ['Accuracy in %, with 95 % intervals (Wilson)']
        lines.append(' ' * width + ''.join(f'{split:>21}' for split in splits))
        for step, each in metrics.items():
            cells = ''.join(f'{_spelt(each.get(split)):>21}' for split in splits)
            lines.append(f'{names[step]:{width}}{cells}')
        return '\n'.join(lines)

    def _finished(self, step: str) -> dict:
        metrics = self.metrics
        if step not in metrics:
            raise ValueError(
                f'RUN {self.out} has no finished {step}: give the command of the run again, it is '
                'in its command.json.'
            )
        return metrics[step]


def wilson(correct: int, count: int) -> Tuple[float, float]:
    """The 95 % interval of a share, in percent (Wilson 1927).

    Args:
        correct (int): How many of them.
        count (int): Of how many.
    """
    z = 1.959964
    share, square = correct / count, z * z / count
    centre = (share + square / 2) / (1 + square)
    half = z / (1 + square) * sqrt(share * (1 - share) / count + square / (4 * count))
    return 100 * (centre - half), 100 * (centre + half)


def _spelt(split: Optional[Dict[str, Any]]) -> str:
    if split is None:
        return '–'
    low, high = wilson(split['correct'], split['n'])
    return f'{split["accuracy"]:.1f} ({low:.1f}–{high:.1f})'

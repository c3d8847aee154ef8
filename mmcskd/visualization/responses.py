"""The class responses of teacher and student at each location of a photograph."""

from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Tuple

import mmcv
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS
from mmrazor.models.task_modules.recorder import RecorderManager
from torch import Tensor, nn

from ..checks.class_names import model_classes
from ..method import fuse


class Responses(NamedTuple):
    """The responses to one photograph."""

    image: np.ndarray
    """(height, width, 3) of uint8, RGB: the models' input before normalisation."""
    spatial_response: Tensor
    """d (C, H, W), the teacher's response at each location."""
    global_response: Tensor
    """g (C,), the teacher's response to the whole image."""
    student_response: Optional[Tensor]
    """z_s (C, H, W), the student's responses on the teacher's grid; None without a checkpoint."""
    names: List[str]
    """Names of the C classes."""

    def fused(self, weight: float) -> Tensor:
        """The target at one fusion weight: t = λ·d + (1 − λ)·g.

        Args:
            weight (float): λ in [0, 1].

        Returns:
            Tensor: (C, H, W).
        """
        return fuse(self.spatial_response, self.global_response, weight)


class ResponseReader:
    """Responses of a config's teacher and, with a checkpoint, of its student.

    Photographs go through the config's test pipeline, data preprocessor and teacher view. The
    recorders and the connector of training read the responses.

    Args:
        cfg (mmengine.Config): A training config that distils.
        teacher (nn.Module): The teacher, with its weights and the data preprocessor of the run.
        student (nn.Module, optional): The student with its weights. Defaults to None: the responses
            of the teacher alone.

    Raises:
        ValueError: If the config has no test pipeline.
    """

    def __init__(
        self, cfg: Config, teacher: nn.Module, student: Optional[nn.Module] = None
    ) -> None:
        self.dataset = _test_dataset(cfg)
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
            self.pipeline = Compose(self.dataset.pipeline)
        self.teacher: Any = teacher.eval()
        self.response = _attach(cfg, self.teacher, 'teacher_recorders', 'SpatialResponse')
        self.student = student
        if student is not None:
            self.tokens = _attach(cfg, student.eval(), 'student_recorders', 'PatchToken')

    @torch.no_grad()
    def __call__(self, path: str) -> Responses:
        """The responses to one photograph.

        Args:
            path (str): An image file.

        Returns:
            Responses: Image, responses and class names.

        Raises:
            ValueError: If the file is missing or no image.
        """
        batch = self._load(path)
        inputs = batch['inputs']
        manager, recorder = self.response
        with manager:
            self.teacher(inputs, mode='tensor')
        spatial_response, global_response = recorder.get_record_data()[:2]
        student_response = None
        if self.student is not None:
            manager, recorder = self.tokens
            with manager:
                self.student(inputs, mode='tensor')
            grid = spatial_response.shape[-2:]
            student_response = recorder.get_record_data()(grid)[0].float()
        image = _denormalised(inputs[0], self.teacher.data_preprocessor)
        return Responses(
            image,
            spatial_response[0].float(),
            global_response[0].float(),
            student_response,
            class_names(self.dataset, global_response.shape[1], self.student, self.teacher),
        )

    def _load(self, path: str) -> dict:
        """A photograph as a preprocessed batch of one."""
        if not Path(path).is_file():
            raise ValueError(f'IMAGE "{path}" is no file.')
        try:
            img = mmcv.imread(str(path))
        except Exception:  # OpenCV's own, for an empty file
            img = None
        if img is None:
            raise ValueError(f'IMAGE "{path}" cannot be read as an image: give a JPEG or PNG.')
        # `img` serves pipelines without a loading transform, of datasets that draw their images.
        sample = self.pipeline(
            dict(img_path=str(path), img=img, img_shape=img.shape[:2], ori_shape=img.shape[:2])
        )
        batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
        return self.teacher.data_preprocessor(batch, training=False)


def class_names(dataset: dict, count: int, *models: Any) -> List[str]:
    """Names of the classes, from the checkpoints of models, the dataset's config or its class.

    Args:
        dataset (dict): The dataset's config; ``classes`` may be a file, which is read.
        count (int): C.
        *models (nn.Module | None): With what :func:`mmcskd.runs.weights.load_weights` noted.

    Returns:
        list[str]: C names; ``'class 7'`` and so on if none are known.
    """
    known = (model_classes(model) for model in models)
    named = next((names for names in known if names and len(names) == count), None)
    named = named or dataset.get('classes') or (dataset.get('metainfo') or {}).get('classes')
    if isinstance(named, str):
        named = Path(named).read_text(encoding='utf-8').splitlines()
    kind = dataset.get('type')
    if named is None and kind is not None:
        kind = DATASETS.get(kind.split('.')[-1]) if isinstance(kind, str) else kind
        named = (getattr(kind, 'METAINFO', None) or {}).get('classes')
    if named is None or len(named) != count:
        return [f'class {index}' for index in range(count)]
    return [str(name).split(',')[0] for name in named]  # ImageNet's list synonyms


def _test_dataset(cfg: Config) -> ConfigDict:
    """The dataset with the test pipeline, inside any wrappers."""
    dataset = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset') or {}
    while dataset.get('pipeline') is None and dataset.get('dataset'):
        dataset = dataset['dataset']
    if dataset.get('pipeline') is None:
        raise ValueError(
            f'CONFIG "{cfg.filename}" sets no test_dataloader.dataset.pipeline, which prepares '
            'the photographs.'
        )
    return dataset


def _attach(cfg: Config, model: nn.Module, side: str, kind: str) -> Tuple:
    """Put the config's recorder of a type on a model, or the default one."""
    configured = (cfg.model.get('distiller') or {}).get(side) or {}
    chosen = next((each for each in configured.values() if each.get('type') == kind), None)
    with DefaultScope.overwrite_default_scope('mmrazor'):
        manager = RecorderManager(dict(drawn=chosen or dict(type=kind)))
        manager.initialize(model)
    return manager, manager.get_recorder('drawn')


def _denormalised(inputs: Tensor, preprocessor: Any) -> np.ndarray:
    """Model input (3, height, width) → image (height, width, 3) of uint8, RGB."""
    image = inputs.float()
    if hasattr(preprocessor, 'mean'):
        image = image * preprocessor.std + preprocessor.mean
    # MMPretrain's pipelines load BGR; the preprocessor converts it where the config asks for RGB.
    if not getattr(preprocessor, 'to_rgb', False):
        image = image.flip(0)
    return image.round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()

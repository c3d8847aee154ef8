from collections import Counter
from typing import List, Optional

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import IterBasedTrainLoop
from mmrazor.registry import HOOKS

from ..checks.model_check import model_channels
from .load_whole_image import LoadWholeImage
from .wrapped_model import unwrapped


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Refuse data that would block or mislead the training, before it starts.

    - All processes must have the same number of batches, at least one: a process that ends early
      leaves the others waiting in their gradient exchange.
    - Labels must be within the model's classes. On CUDA another label is an assertion of the
      device, without the name of the image.
    - The first batch must have as many channels as ``mean`` has numbers and as the model takes.
    - The log has the number of images that :class:`~mmcskd.LoadWholeImage` skipped, after each
      epoch or the same number of iterations, wrapped and concatenated datasets included.
    - A warning names classes without an image: a subset may lack them, or a download is broken.

    Labels are read from datasets that list them without opening an image (``get_gt_labels``, as in
    MMPretrain), also inside others that repeat or join them; other datasets are not checked.

    Raises:
        ValueError: Before training, if the batches or labels are wrong; at the first batch, for
            other channels.
    """

    priority = 'VERY_HIGH'
    _seen = False  # a batch
    _before = 0  # skipped images of the run that is resumed

    def before_train(self, runner) -> None:
        """Check shards and labels."""
        # The hub of a resumed run is that of the first process.
        hub = runner.message_hub
        self._before = hub.get_info('skipped_images', 0) if is_main_process() else 0
        loader = runner.train_dataloader
        lengths = all_gather_object(len(loader))
        if min(lengths) == 0 or len(set(lengths)) > 1:
            raise ValueError(
                f'train_dataloader has {" / ".join(map(str, lengths))} batches on the processes, '
                f'expected the same number > 0 on all: {len(loader.dataset)} images at batch size '
                f'{loader.batch_size} (drop_last={loader.drop_last}) do not go round. Take fewer '
                'processes, a smaller batch_size, drop_last=False or sampler.round_up=True.'
            )
        classes = _num_classes(unwrapped(runner))
        labels = None if classes is None else _labels(loader.dataset)
        if classes is None or labels is None:
            return
        counts = Counter(labels)
        bad = {label: count for label, count in counts.items() if not 0 <= label < classes}
        if bad:
            label, count = next(iter(bad.items()))
            raise ValueError(
                f'train_dataloader.dataset has {sum(bad.values())} labels outside of 0 to '
                f'{classes - 1}, the first is {label} ({count} times): set the number of classes '
                'of model, teacher and data_preprocessor to that of the dataset.'
            )
        empty = [label for label in range(classes) if label not in counts]
        if empty:
            names = loader.dataset.metainfo.get('classes') or range(classes)
            named = [str(names[i]) if i < len(names) else str(i) for i in empty[:3]]
            runner.logger.warning(
                f'{len(empty)} of {classes} classes have no image in train_dataloader.dataset, '
                f'such as {", ".join(named)}.'
            )

    def before_train_iter(self, runner, batch_idx: int, data_batch: DATA_BATCH = None) -> None:
        """Compare the channels of the first batch with what they meet."""
        if not self._seen and isinstance(data_batch, dict) and 'inputs' in data_batch:
            _check_channels(data_batch['inputs'], unwrapped(runner))
        self._seen = True

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Report in an iteration-based loop, which has one epoch."""
        due = isinstance(runner.train_loop, IterBasedTrainLoop) and self.every_n_train_iters(
            runner, len(runner.train_dataloader)
        )
        # The last iteration is reported at the end of the epoch.
        if due and not self.is_last_train_iter(runner):
            self.after_train_epoch(runner)

    def after_train_epoch(self, runner) -> None:
        """Report the images that were skipped on this process."""
        skipped = self._skipped(runner)
        if skipped:
            runner.logger.warning(f'{skipped} images could not be used so far, others were taken.')
            runner.message_hub.update_info('skipped_images', skipped)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Let a resumed run count on, also from within an epoch."""
        checkpoint['message_hub']['runtime_info']['skipped_images'] = self._skipped(runner)

    def _skipped(self, runner) -> int:
        # Several datasets may share a transform.
        steps = {id(step): step for step in _steps(runner.train_dataloader.dataset)}.values()
        loading = (step for step in steps if isinstance(step, LoadWholeImage))
        return self._before + sum(int(step.skipped) for step in loading)


def _check_channels(inputs, model) -> None:
    channels = len(inputs[0]) if getattr(inputs[0], 'ndim', 0) == 3 else 1
    preprocessor = getattr(model, 'data_preprocessor', None)
    wanted = {
        'data_preprocessor.mean has numbers for': len(getattr(preprocessor, 'mean', ())),
        'data_preprocessor.std has numbers for': len(getattr(preprocessor, 'std', ())),
        'the model (backbone.in_channels) takes': model_channels(model) or 0,
    }
    for said, number in wanted.items() if channels > 1 else ():
        # One number is for every channel.
        if number > 1 and number != channels:
            raise ValueError(
                f'The images of train_dataloader have {channels} channels, but {said} {number}: '
                'set it to their number, or load them with color_type="color", which makes three.'
            )


def _steps(dataset) -> list:
    """The transforms of a dataset and of wrapped datasets."""
    inner = [*getattr(dataset, 'datasets', ()), getattr(dataset, 'dataset', None)]
    found = [step for each in inner if each is not None for step in _steps(each)]
    return found + list(getattr(getattr(dataset, 'pipeline', None), 'transforms', ()))


def _labels(dataset) -> Optional[List[int]]:
    """The labels of a dataset, or of the ones inside it, that lists them; else None."""
    if hasattr(dataset, 'get_gt_labels'):
        try:
            return list(map(int, dataset.get_gt_labels()))
        except KeyError as error:
            raise ValueError(
                f'train_dataloader.dataset gives no {error} for its images: set with_label=True, '
                'or name a dataset with labels.'
            ) from None
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    found = [None if each is None else _labels(each) for each in inner]
    return None if None in found else [label for labels in found for label in labels or ()]


def _num_classes(model) -> Optional[int]:
    head = getattr(getattr(model, 'architecture', model), 'head', None)
    found = getattr(head, 'num_classes', None)
    return found if isinstance(found, int) else None

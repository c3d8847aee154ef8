import sys
import time
from typing import Dict, List, Optional

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import EpochBasedTrainLoop
from mmrazor.registry import HOOKS
from tqdm import tqdm

# Logged values with a place in the line: of the last iterations their mean, or the last one.
MEANS = dict(loss='loss', agreement='agreement')
LAST = dict(fusion_weight='λ')


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show progress, the time left and a line for each epoch on the terminal.

    With it in a config, tools/train.py writes MMEngine's log to its file alone. A run by iterations
    has a line for each validation. Where the output is no terminal, the lines come without the bar.
    """

    # After the logger and the hooks that validate or log.
    priority = 'LOWEST'

    @master_only
    def before_train(self, runner) -> None:
        """Begin, also in the middle of a resumed run."""
        self._begun, self._first, self._seen = time.monotonic(), runner.iter, runner.iter
        self._waiting: List[str] = []
        self._bar = tqdm(
            total=runner.max_iters, initial=runner.iter, file=sys.stdout, disable=None, leave=False,
            dynamic_ncols=True, smoothing=0, unit='it',
            bar_format='{desc} {percentage:3.0f}% {bar} {n_fmt}/{total_fmt} · {rate_fmt} · '
            '{elapsed} · {remaining} left',
        )  # fmt: skip
        if runner.iter:
            self._print(f'goes on after iteration {runner.iter} of {runner.max_iters}')

    @master_only
    def before_train_epoch(self, runner) -> None:
        """Write the line of an epoch that was not validated."""
        self._write({})
        self._bar.set_description_str(_place(runner, runner.epoch + 1))

    @master_only
    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Advance the bar."""
        self._bar.update()

    @master_only
    def after_train_epoch(self, runner) -> None:
        """Keep the epoch's values for its line, which ends with those of its validation."""
        if _by_epoch(runner):
            self._waiting = self._values(runner, runner.epoch + 1)

    @master_only
    def before_val_epoch(self, runner) -> None:
        """Say what takes so long."""
        if hasattr(self, '_bar'):
            place = _place(runner, runner.epoch)
            self._bar.set_description_str(f'{place}, validation')

    @master_only
    def after_val_epoch(self, runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Write the line of the epoch."""
        if not hasattr(self, '_bar'):  # a validation by itself
            return
        if not _by_epoch(runner):
            self._waiting = self._values(runner)
        self._write(metrics or {})

    @master_only
    def after_train(self, runner) -> None:
        """Write the last line and remove the bar."""
        self._write({})
        self._bar.close()
        del self._bar

    def _values(self, runner, epoch: int = 0) -> List[str]:
        """What a line says before the validation's results."""
        hub, done = runner.message_hub, runner.iter
        steps = max(done - self._seen, 1)
        values = [_place(runner, epoch) if _by_epoch(runner) else f'iteration {done}']
        for name, label in {**MEANS, **LAST}.items():
            if f'train/{name}' in hub.log_scalars:
                scalar = hub.get_scalar(f'train/{name}')
                value = scalar.mean(steps) if name in MEANS else scalar.current()
                values.append(f'{label} {value:.3f}')
        self._seen = done
        return values

    def _write(self, metrics: Dict[str, float]) -> None:
        if not self._waiting:
            return
        values, self._waiting = self._waiting, []
        for name, value in metrics.items():
            if name.startswith('accuracy/'):
                label = name.replace('accuracy/top1', 'accuracy').replace('accuracy/', '')
                values.append(f'{label} {value:.1f} %')
            elif isinstance(value, (int, float)):
                values.append(f'{name} {value:.4g}')
        spent = time.monotonic() - self._begun
        done = max(self._seen - self._first, 1)
        left = spent / done * (self._bar.total - self._seen)
        values.append(f'{tqdm.format_interval(spent)}, {tqdm.format_interval(left)} left')
        self._print('   '.join(values))

    def _print(self, line: str) -> None:
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()  # also into a pipe as it happens


def _by_epoch(runner) -> bool:
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def _place(runner, epoch: int) -> str:
    if not _by_epoch(runner):
        return 'training'
    return f'epoch {epoch:{len(str(runner.max_epochs))}}/{runner.max_epochs}'

"""Times of several variants in turn, so that whatever else the machine does meets all of them."""

import json
import platform
import statistics
import time
from pathlib import Path
from typing import Callable, Dict, List

import mmengine
import torch
from tqdm import tqdm

import mmcskd


def interleaved(variants: Dict[str, Callable], rounds: int, warmup: int) -> Dict[str, List[float]]:
    """Seconds of each variant in each round.

    Args:
        variants (dict[str, Callable]): Functions without arguments.
        rounds (int): How often each is timed, one after the other in each round.
        warmup (int): Rounds before that are not counted.

    Returns:
        dict[str, list[float]]: ``rounds`` times a variant.
    """
    times = {name: [] for name in variants}
    for turn in tqdm(range(warmup + rounds), desc='rounds', leave=False):
        for name, run in variants.items():
            seconds = _seconds(run)
            if turn >= warmup:
                times[name].append(seconds)
    return times


def _seconds(run: Callable) -> float:
    if not torch.cuda.is_available():
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def stepper(model: torch.nn.Module, losses: Callable) -> Callable:
    """A whole training step: forward and backward pass and AdamW.

    Args:
        model (nn.Module): Whose weights are trained, at a learning rate of 0.
        losses (Callable): Without arguments; gives the total loss.

    Returns:
        Callable: The step, without arguments.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        losses().backward()
        optimizer.step()

    return step


def ratio(times: Dict[str, List[float]], over: str, *under: str) -> Dict[str, float]:
    """Median and quartiles, over the rounds, of one variant's time ÷ the sum of others'.

    Args:
        times (dict[str, list[float]]): Of :func:`interleaved`.
        over (str): The variant in question.
        *under (str): Those it is compared with.

    Returns:
        dict[str, float]: ``median``, ``low`` and ``high``.
    """
    ratios = [
        time / sum(times[name][turn] for name in under) for turn, time in enumerate(times[over])
    ]
    low, median, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return dict(median=median, low=low, high=high)


def machine() -> Dict[str, str]:
    """What the numbers were measured on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    return dict(
        device=device or platform.machine(),
        threads=str(torch.get_num_threads()),
        python=platform.python_version(),
        torch=torch.__version__,
        mmengine=mmengine.__version__,
        mmcskd=mmcskd.__version__,
    )


def report(title: str, rows: List[Dict], out: str = None) -> None:
    """Print a table and, if asked, write it as JSON.

    Args:
        title (str): What was measured.
        rows (list[dict]): One dictionary a row, with the same keys.
        out (str, optional): JSON file. Defaults to None.
    """
    about = machine()
    print(f'\n{title}\n' + ', '.join(f'{key} {value}' for key, value in about.items()) + '\n')
    print('| ' + ' | '.join(rows[0]) + ' |\n' + '|---' * len(rows[0]) + '|')
    for row in rows:
        cells = (
            f'{value:.3f}' if isinstance(value, float) else str(value) for value in row.values()
        )
        print('| ' + ' | '.join(cells) + ' |')
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(dict(title=title, machine=about, rows=rows), indent=1))
        print(f'\nWrote {out}')

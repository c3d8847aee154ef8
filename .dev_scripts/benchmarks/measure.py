"""Times of several variants in turn, so that whatever else the machine does meets all of them."""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional

import mmengine
import mmpretrain
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
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
            taken = seconds(run)
            if turn >= warmup:
                times[name].append(taken)
    return times


def seconds(run: Callable) -> float:
    """How long a function takes, and the device with what it started.

    Args:
        run (Callable): Without arguments.

    Returns:
        float: Seconds.
    """
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


def median(times: List[float]) -> float:
    """The one in the middle."""
    return statistics.median(times)


def parser(description: str, rounds: int = 9, warmup: int = 2) -> argparse.ArgumentParser:
    """What all benchmarks can be told.

    Args:
        description (str): Of the script.
        rounds (int): That are timed, by default.
        warmup (int): Rounds before that, by default.

    Returns:
        argparse.ArgumentParser: With ``--rounds``, ``--warmup``, ``--threads`` and ``--out``.
    """
    made = argparse.ArgumentParser(description=description)
    made.add_argument('--rounds', type=int, default=rounds)
    made.add_argument('--warmup', type=int, default=warmup, help='rounds that are not timed')
    made.add_argument('--threads', type=int, default=2, help='of the CPU')
    made.add_argument('--out', help='JSON file to write')
    return made


def prepare(args: argparse.Namespace) -> str:
    """Threads and seed, and where to run.

    Args:
        args (argparse.Namespace): Of :func:`parser`.

    Returns:
        str: ``'cuda'`` where there is a GPU, else ``'cpu'``.
    """
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    MMLogger.get_instance('benchmarks', log_level='WARNING')
    return 'cuda' if torch.cuda.is_available() else 'cpu'


def machine() -> Dict[str, str]:
    """What the numbers were measured on."""
    return dict(
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else _processor(),
        cores=str(os.cpu_count()),
        threads=str(torch.get_num_threads()),
        python=platform.python_version(),
        torch=torch.__version__,
        mmengine=mmengine.__version__,
        mmpretrain=mmpretrain.__version__,
        mmcskd=mmcskd.__version__,
    )


def _processor() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def as_table(rows: List[Dict]) -> str:
    """Rows in Markdown.

    Args:
        rows (list[dict]): With the same keys; values are text, numbers, or of :func:`ratio`.

    Returns:
        str: The table.
    """
    lines = ['| ' + ' | '.join(rows[0]) + ' |', '|---' * len(rows[0]) + '|']
    lines += ['| ' + ' | '.join(map(_cell, row.values())) + ' |' for row in rows]
    return '\n'.join(lines)


def _cell(value) -> str:
    if isinstance(value, dict):
        return f'{value["median"]:.2f} ({value["low"]:.2f} … {value["high"]:.2f})'
    if isinstance(value, float) and abs(value) < 1000:
        return f'{value:#.3g}'.rstrip('.')
    return f'{value:,.0f}' if isinstance(value, (int, float)) else str(value)


def report(tables: Dict[str, List[Dict]], out: Optional[str] = None) -> None:
    """Print tables and, if asked, write them as JSON.

    Args:
        tables (dict[str, list[dict]]): By name, rows as for :func:`as_table`.
        out (str, optional): JSON file. Defaults to None.
    """
    about = machine()
    print('\n' + ', '.join(f'{key} {value}' for key, value in about.items()))
    for name, rows in tables.items():
        print(f'\n{name}\n\n{as_table(rows)}')
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(dict(machine=about, tables=tables), indent=1))
        print(f'\nWrote {out}')

"""Times of several variants in turn, so that whatever else the machine does meets all of them."""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List

import mmengine
import mmpretrain
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

import mmcskd

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / '.dev_scripts'))

import page  # noqa: E402

Times = Dict[str, List[float]]


def interleaved(variants: Dict[str, Callable], args: argparse.Namespace) -> Times:
    """Seconds of each variant in each round, after rounds that are not counted."""
    times = {name: [] for name in variants}
    for turn in range(args.warmup + args.rounds):
        for name, run in variants.items():
            taken = seconds(run)
            if turn >= args.warmup:
                times[name].append(taken)
    return times


def seconds(run: Callable) -> float:
    """How long a function takes, and the device with what it started."""
    _synchronize()
    start = time.perf_counter()
    run()
    _synchronize()
    return time.perf_counter() - start


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def stepper(model: torch.nn.Module, losses: Callable) -> Callable:
    """A whole training step: forward and backward pass and AdamW, at a learning rate of 0."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        losses().backward()
        optimizer.step()

    return step


def ratios(times: Times, over: str, *under: str) -> List[float]:
    """In each round one variant's time ÷ the sum of others'."""
    each = zip(times[over], *(times[name] for name in under))
    return [time / sum(others) for time, *others in each]


def quartiles(values: List[float]) -> str:
    """Median (lower … upper quartile)."""
    low, median, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return f'{median:.2f} ({low:.2f} … {high:.2f})'


def ratio(times: Times, over: str, *under: str) -> str:
    """As :func:`ratios`, in words."""
    return quartiles(ratios(times, over, *under))


def parser(description: str, rounds: int = 9, warmup: int = 2) -> argparse.ArgumentParser:
    """What all benchmarks can be told."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument('--rounds', type=int, default=rounds)
    made.add_argument('--warmup', type=int, default=warmup, help='rounds that are not timed')
    made.add_argument('--threads', type=int, default=2, help='of the CPU')
    made.add_argument('--out', type=Path, help='JSON file to write')
    made.add_argument('--page', type=Path, help='Markdown page with a section for each table')
    return made


def prepare(args: argparse.Namespace) -> str:
    """Set threads and seed; returns ``'cuda'`` where there is a GPU, else ``'cpu'``."""
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


def cell(value) -> str:
    """A number to three digits."""
    if isinstance(value, float) and abs(value) < 1000:
        return f'{value:#.3g}'.rstrip('.')
    return f'{value:,.0f}' if isinstance(value, (int, float)) else str(value)


def report(tables: Dict[str, List[dict]], args: argparse.Namespace) -> None:
    """Print tables and write them where the command line says.

    Args:
        tables (dict[str, list[dict]]): By name, rows with the same keys.
        args (argparse.Namespace): Of :func:`parser`.
    """
    texts = {
        name: page.table(list(rows[0]), [map(cell, row.values()) for row in rows])
        for name, rows in tables.items()
    }
    texts['machine'] = ', '.join(f'{key} {value}' for key, value in machine().items()) + '.'
    for name, text in texts.items():
        print(f'\n{name}\n\n{text}')
        if args.page:
            page.replace(args.page, name, text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(dict(machine=machine(), tables=tables), indent=1))

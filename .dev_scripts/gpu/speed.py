"""What a GPU does in a second with CSKD and without: the tables of ``check.py``."""

import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

LABORATORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(LABORATORY), str(LABORATORY / 'benchmarks')]

import step  # noqa: E402
from benchmark_models import batch, build, config, total  # noqa: E402
from measure import interleaved, quartiles, ratios, seconds, stepper  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

CAST = torch.bfloat16  # of the shipped configs
CONFIGS = ('cskd_deit-ti_regnety', 'cskd_deit-s_regnety', 'cskd_deit-b_regnety')


def steps_and_memory(name, args):
    """Images a second of each variant, ratios of the time of a step, and the most memory."""
    cfg = config(name)
    size = args.batch or cfg.train_dataloader.batch_size
    algorithm = build(cfg, device=args.device)
    inputs, samples = batch(size, args.size, device=args.device)
    variants, _ = step.variants(algorithm, inputs, samples, CAST)
    times = interleaved(variants, args)
    rate = {each: size / median(taken) for each, taken in times.items()}
    row = {'config': name, 'batch': size}
    for each in ('student alone', 'CSKD', 'plain'):
        row[f'{each}, img/s'] = rate[each]
    row['teacher + student, img/s'] = size / (
        median(times['teacher']) + median(times['student alone'])
    )
    for title, under in (
        ('student', ['student alone']),
        ('(teacher + student)', ['teacher', 'student alone']),
        ('plain', ['plain']),
    ):
        row[f'CSKD ÷ {title}'] = quartiles(ratios(times, 'CSKD', *under))
    memory = {'config': name, 'batch': size}
    for each in ('student alone', 'CSKD', 'plain'):
        memory[f'{each}, GB'] = peak(variants[each], args.device)
    return row, memory


def peak(run, device):
    """Gigabytes allocated at the most, with all models of the comparison in memory."""
    if device != 'cuda':
        return 'only on CUDA'
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 1e9


def compiled(name, args):
    """A step with teacher and student compiled against one without, and what it costs first."""
    steps, first = {}, {}
    size = args.batch or config(name).train_dataloader.batch_size
    inputs, samples = batch(size, args.size, device=args.device)
    how = dict(backend='eager') if args.small else True
    for title, parts in (
        ('as it comes', {}),
        ('teacher compiled', dict(teacher=how)),
        ('both compiled', dict(teacher=how, student=how)),
    ):
        cfg = config(name)
        cfg.model.compile = parts
        algorithm = build(cfg, device=args.device)
        mixed = torch.autocast(args.device, CAST)
        one = stepper(algorithm, mixed(lambda model=algorithm: total(model, inputs, samples)))
        first[title], steps[title] = seconds(one) + seconds(one), one
    times = interleaved(steps, args)
    return [
        {
            'step': title,
            'img/s': size / median(times[title]),
            '÷ as it comes': quartiles(ratios(times, title, 'as it comes')),
            'first two steps, s': first[title],
        }
        for title in steps
    ]


def loading(name, args):
    """Images a second of the recipe's data loader, of the step, and of both."""
    cfg = config(name)
    loader = cfg.train_dataloader
    size = args.batch or loader.batch_size
    with tempfile.TemporaryDirectory() as folder:
        photographs(Path(folder), 8 if args.small else 256)
        loader.batch_size = size
        loader.dataset = dict(
            type='mmpretrain.CustomDataset', data_prefix=folder, pipeline=loader.dataset.pipeline
        )
        loader.sampler = dict(type='InfiniteSampler', shuffle=True)
        if args.small:
            loader.update(num_workers=0, persistent_workers=False)
        batches = iter(Runner.build_dataloader(loader, seed=0))
        cfg.model.data_preprocessor = cfg.data_preprocessor
        algorithm = build(cfg, device=args.device)
        mixed = torch.autocast(args.device, CAST)
        optimizer = torch.optim.AdamW(algorithm.parameters(), lr=0.0)

        def train(data):
            data = algorithm.data_preprocessor(data, True)
            optimizer.zero_grad(set_to_none=True)
            mixed(total)(algorithm, data['inputs'], data['data_samples']).backward()
            optimizer.step()

        one = next(batches)
        train(one)
        count = 2 if args.small else 40
        rates = {
            'data loader alone': lambda: [None for _ in islice(batches, count)],
            'step alone': lambda: [train(one) for _ in range(count)],
            'both': lambda: [train(data) for data in islice(batches, count)],
        }
        workers = loader.num_workers
        return [
            {'what': what, 'workers': workers, 'img/s': count * size / seconds(run)}
            for what, run in rates.items()
        ]


def photographs(folder, count):
    """JPEG files of the size of ImageNet's, in two classes."""
    generator = np.random.default_rng(0)
    for index in range(count):
        coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        place = folder / f'class_{index % 2}'
        place.mkdir(exist_ok=True)
        Image.fromarray(coarse).resize((500, 375), Image.BICUBIC).save(place / f'{index}.jpg')


def tables(args, deadline):
    """All tables; what the time does not suffice for is left out, and said.

    Args:
        args (argparse.Namespace): Of ``check.py``.
        deadline (float): Of ``time.monotonic``.

    Returns:
        tuple[dict, list[str]]: Rows by table, and what was left out.
    """
    found, left_out = {}, []
    parts = [(name, lambda name=name: steps_and_memory(name, args)) for name in args.configs]
    parts += [('loader', lambda: loading(args.configs[0], args))]
    # Last: the compiler takes longest.
    parts += [('compile', lambda: compiled(args.configs[0], args))]
    for name, run in parts:
        if time.monotonic() > deadline:
            left_out.append(name)
            continue
        rows = run()
        if name in ('compile', 'loader'):
            found[name] = rows
        else:
            for table, row in zip(('speed', 'memory'), rows):
                found.setdefault(table, []).append(row)
        if args.device == 'cuda':
            torch.cuda.empty_cache()
    return found, left_out

"""The whole in small, on real images: train a CNN, teach a ViT by CSKD, compare.

Called by demo/demo.sh. A finished stage with unchanged code and config is not repeated; an
interrupted one resumes. The old results of a changed stage are renamed.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

from mmengine.config import Config

from mmcskd.visualization.run_curves import read_curves

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'tools'))

from plot_run import draw  # noqa: E402

PROCESSES = 2
STAGES = dict(
    teacher_resnet18='teacher, ResNet-18',
    none_vit='student, no distillation',
    cskd_vit_resnet18='student, CSKD',
)


def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return str(server.getsockname()[1])


def run(*command):
    command = [str(part) for part in command]
    print('$', *command, flush=True)
    environment = dict(os.environ, PYTHON=sys.executable, PORT=free_port())
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        stopped = []

        def stop(*_):  # the run as well, which would go on for nobody
            stopped.append(True)
            process.terminate()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        if process.wait() or stopped:
            sys.exit(f'{command[0]} was stopped or failed; the same command goes on from there.')


def fingerprint(config, teacher):
    """What a stage's result depends on."""
    sha = sha256(Config.fromfile(config).pretty_text.encode() + teacher.encode())
    for source in sorted((ROOT / 'mmcskd').rglob('*.py')):
        sha.update(source.read_bytes())
    return sha.hexdigest()


def train(name, work_dir, teacher):
    """Bring one stage to its end; returns its metrics and fingerprint."""
    config = Path('configs') / 'demo' / f'{name}.py'
    mark, metrics = work_dir / 'fingerprint', work_dir / 'metrics.json'
    current = fingerprint(ROOT / config, teacher)
    if work_dir.exists() and (not mark.exists() or mark.read_text() != current):
        aside = work_dir.with_name(f'{work_dir.name}.{time.strftime("%Y%m%d_%H%M%S")}')
        print(f'{work_dir} comes from other code or another config: moved to {aside.name}.')
        shutil.move(work_dir, aside)
    work_dir.mkdir(parents=True, exist_ok=True)
    mark.write_text(current)
    if not metrics.exists():
        run('tools/dist_train.sh', config, PROCESSES, '--work-dir', work_dir, '--resume')
        checkpoint = (work_dir / 'last_checkpoint').read_text().strip()
        partial = work_dir / 'metrics.partial.json'
        arguments = (config, checkpoint, '--work-dir', work_dir / 'test', '--out', partial)
        run(sys.executable, 'tools/test.py', *arguments)
        partial.replace(metrics)
    return json.loads(metrics.read_text())['student'], current


def main():
    folder = ROOT / 'work_dirs' / 'demo'
    results, teacher = {}, ''
    for name in STAGES:
        metrics, current = train(name, folder / name, teacher)
        teacher = teacher or current
        results[name] = metrics
    runs = {label: read_curves(folder / name) for name, label in STAGES.items()}
    draw(runs, folder / 'curves.png')
    print('\nReal handwritten digits among clutter, accuracy on the test split, %')
    print(f'{"":26}{"top-1":>8}{"top-5":>8}')
    for name, label in STAGES.items():
        top1, top5 = (results[name][f'accuracy/top{k}'] for k in (1, 5))
        print(f'{label:26}{top1:8.1f}{top5:8.1f}')
    print(f'\nCurves: {folder / "curves.png"}')
    print(f'Logs:   {folder}/<run>/<time>/<time>.log')
    print(f'TensorBoard: tensorboard --logdir {folder}')


if __name__ == '__main__':
    main()

"""What a bank of responses takes: bytes a view, a read, and a training step from it.

Sizes are those of an EfficientNet-Lite0 with its ImageNet weights (tools/convert_efficientnet_lite0.py)
over views of scikit-image's photographs, made and mixed by the recipe, and of the demo's teacher
where it has been trained. Steps are timed against those of the same student without a teacher.
"""

import argparse
import copy
import tempfile
from pathlib import Path

import torch
from measure import interleaved, ratio, report, stepper
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import MessageHub
from mmengine.registry import DATASETS, DefaultScope, init_default_scope
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from mmcskd.condense import condense
from mmcskd.image_checksum import image_checksum
from mmcskd.response_bank import ShardWriter, shard_path

ROOT = Path(__file__).resolve().parents[2]
IMAGENET, EPOCHS = 1_281_167, 300
DEMO_TEACHER = 'work_dirs/demo/teacher_resnet18/epoch_6.pth'


def photographs(cfg, views):
    """Views of scikit-image's photographs by the pipeline of a config, in batches."""
    import skimage

    folder = Path(skimage.data_dir)
    files = [path for path in sorted(folder.iterdir()) if path.suffix in ('.jpg', '.png')]
    pipeline = Compose(cfg.train_dataloader.dataset.pipeline)
    samples = [
        pipeline(dict(img_path=str(files[i % len(files)]), gt_label=i % len(files)))
        for i in range(views)
    ]
    return [pseudo_collate(samples[i : i + 16]) for i in range(0, views, 16)]


def digits(cfg, views):
    """The first views of the demo's training data, in batches."""
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    samples = [dataset[i] for i in range(views)]
    return [pseudo_collate(samples[i : i + 32]) for i in range(0, views, 32)]


@torch.no_grad()
def size(config, batches_of, views, teacher):
    """Bytes a view of one teacher."""
    cfg = Config.fromfile(ROOT / 'configs' / config)
    init_default_scope('mmpretrain')
    cfg.model.teacher_ckpt = str(teacher)
    preprocessor = cfg.model.get('data_preprocessor') or cfg.data_preprocessor
    cfg.model.data_preprocessor = dict(preprocessor, _scope_='mmpretrain')
    algorithm = MODELS.build(cfg.model).train()
    (recorder,) = algorithm.distiller.teacher_recorders.recorders.values()
    candidates = places = 0
    with tempfile.TemporaryDirectory() as folder:
        writer = ShardWriter(Path(folder) / 'shard.safetensors', {})
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            batches = batches_of(cfg, views)
        for batch in batches:
            images = algorithm.data_preprocessor(batch, training=True)['inputs']
            algorithm.respond(images)
            d, g = (recorder.get_record_data(data_idx=i) for i in (0, 1))
            recorder.reset_data_buffer()
            banked = condense(d, g, int(image_checksum(images)))
            candidates += int(banked.count.sum(dtype='int64'))
            places += banked.count.size
            writer.add(banked)
        per_view = writer.write() / views
    dense = 2 * d[0].numel()
    return {
        'teacher': config,
        'views': views,
        'classes': d.shape[1],
        'grid': '×'.join(map(str, d.shape[-2:])),
        'candidates a place': candidates / places,
        'bytes a view': per_view,
        'dense float16': dense,
        'dense ÷ bank': dense / per_view,
        'GB for 300 ImageNet epochs': per_view * IMAGENET * EPOCHS / 1e9,
    }


def step(config, args, device):
    """A training step from a bank beside one without a teacher, and what the read takes of it."""
    cfg = Config.fromfile(ROOT / 'configs' / f'{config}.py')
    with tempfile.TemporaryDirectory() as folder:
        inputs = torch.randn(args.batch, 3, args.size, args.size, device=device)
        side = args.size // 32
        d = torch.randn(args.batch, 1000, side, side)
        g = d.mean((2, 3)) + 0.3 * torch.randn(args.batch, 1000)
        meta = dict(grid=[side, side], num_classes=1000)
        writer = ShardWriter(shard_path(folder, 0, 0), meta)
        writer.add(condense(d, g, int(image_checksum(inputs))))
        writer.write()
        cfg.model.bank = dict(path=folder)
        cfg.model.distiller.distill_losses.loss_cskd.fusion_weight = 0.5
        algorithm = MODELS.build(cfg.model).to(device).train()
        algorithm.teacher.open(epochs=1, length=1, rank=0)
        MessageHub.get_current_instance().update_info('iter', 0)
        student = copy.deepcopy(algorithm.student)
        samples = [DataSample().set_gt_label(i).to(device) for i in range(args.batch)]

        def banked():
            losses = algorithm.loss(inputs, samples)
            return sum(value for key, value in losses.items() if 'loss' in key)

        def read():
            answer = algorithm.teacher(inputs)
            answer.fused_classes(0.5), answer.global_classes()

        times = interleaved(
            dict(
                student=stepper(student, lambda: student(inputs, samples, mode='loss')['loss']),
                banked=stepper(algorithm, banked),
                read=read,
            ),
            args.rounds,
            args.warmup,
        )
    row = dict(config=config, batch=args.batch)
    for name, seconds in times.items():
        row[f'{name} s'] = sorted(seconds)[len(seconds) // 2]
    for key, over in (('banked ÷ student', 'banked'), ('read ÷ student', 'read')):
        found = ratio(times, over, 'student')
        row[key] = found['median']
        row[f'{key}, quartiles'] = f'{found["low"]:.3f} … {found["high"]:.3f}'
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--views', type=int, default=640, help='whose size is measured')
    parser.add_argument('--teacher', default='checkpoints/efficientnet-lite0.pth')
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--warmup', type=int, default=2)
    parser.add_argument('--threads', type=int, default=2, help='of the CPU')
    parser.add_argument('--out', help='JSON file to write')
    args = parser.parse_args()
    if not Path(args.teacher).is_file():
        raise SystemExit(
            f'--teacher "{args.teacher}" is no file: make it with '
            'python tools/convert_efficientnet_lite0.py'
        )
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    sizes = [size('pictures/efficientnet-lite0.py', photographs, args.views, args.teacher)]
    if Path(DEMO_TEACHER).is_file():
        sizes.append(size('demo/cskd_vit_resnet18.py', digits, args.views, DEMO_TEACHER))
    report('Size of a bank', sizes)
    names = ('cskd_deit-ti_regnety', 'cskd_deit-s_regnety')
    steps = [step(name, args, device) for name in names]
    report('Training steps from a bank', steps, args.out)


if __name__ == '__main__':
    main()

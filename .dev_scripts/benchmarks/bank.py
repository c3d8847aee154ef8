"""What a bank of responses takes: bytes a view, a read, and a training step from it.

Sizes are those of an EfficientNet-Lite0 with its ImageNet weights, made by
demo/convert_efficientnet_lite0.py, over views of scikit-image's photographs, made and mixed by the
recipe, and of the demo's teacher where it has been trained. Steps are timed against those of the
same student without a teacher.
"""

import copy
import hashlib
import tempfile
import zlib
from pathlib import Path
from statistics import median

import torch
from benchmark_models import batch, config, from_bank, total
from measure import ROOT, interleaved, parser, prepare, ratio, ratios, report, stepper
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from mmrazor.registry import MODELS

from mmcskd.bank.condense import condense
from mmcskd.bank.image_checksum import batch_checksum, image_checksums
from mmcskd.bank.response_bank import ShardWriter
from mmcskd.bank.top_k import TopK, mean_error

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
def sizes(name, batches_of, views, teacher, top_ks):
    """Rows of a config and its teacher's weights: bytes a view with hard labels and some k's."""
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    cfg.model.teacher_ckpt = str(teacher)
    preprocessor = cfg.model.get('data_preprocessor') or cfg.data_preprocessor
    cfg.model.data_preprocessor = dict(preprocessor, _scope_='mmpretrain')
    algorithm = MODELS.build(cfg.model).train()
    (recorder,) = algorithm.distiller.teacher_recorders.recorders.values()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        batches = batches_of(cfg, views)
    tops = [None, *map(TopK, top_ks)]
    with tempfile.TemporaryDirectory() as folder:
        writers = [ShardWriter(Path(folder) / f'{i}.safetensors', {}) for i in range(len(tops))]
        errors = [[] for _ in tops]
        for each in batches:
            images = algorithm.data_preprocessor(each, training=True)['inputs']
            algorithm.respond(images)
            d, g = (recorder.get_record_data(data_idx=i) for i in (0, 1))
            recorder.reset_data_buffer()
            for top, writer, error in zip(tops, writers, errors):
                banked = condense(d, g, batch_checksum(image_checksums(images)), top)
                writer.add(banked)
                if top is not None:
                    error.append(top.error(banked, d, g))
        return [
            _size_row(name, top, writer.batches, writer.write() / views, d, error)
            for top, writer, error in zip(tops, writers, errors)
        ]


def _size_row(name, top, batches, per_view, d, errors):
    classes, dense = d.shape[1], d[0].numel()
    places = sum(batch.count.size for batch in batches)
    kept = sum(int(batch.count.sum(dtype='int64')) for batch in batches)
    error = {key: f'{value[0]:.1e}' for key, value in mean_error(errors).items()} if top else {}
    return {
        'teacher': name.split('/')[-1],
        'top_k': top.k if top else 'hard',
        'grid': '×'.join(map(str, batches[0].count.shape[1:])),
        'classes a place': kept / places,
        'bytes a view': per_view,
        'dense float16 ÷ bank': 2 * dense / per_view,
        '300 epochs of ImageNet, GB': per_view * IMAGENET * EPOCHS / 1e9 if classes == 1000 else '',
        'total variation, λ = 1': error.get('λ = 1', '0'),
        'λ = 0.25': error.get('λ = 0.25', '0'),
        'g': error.get('g', '0'),
    }


def step(name, args, device):
    """A row: a training step from a bank beside one without a teacher, and what reading takes."""
    inputs, samples = batch(args.batch, args.size, device=device)
    with tempfile.TemporaryDirectory() as folder:
        algorithm = from_bank(config(name), folder, inputs, device)
        student = copy.deepcopy(algorithm.student)

        def read():
            answer, _ = algorithm.teacher(inputs)
            answer.fused_classes(0.5), answer.global_classes()

        times = interleaved(
            dict(
                student=stepper(student, lambda: student(inputs, samples, mode='loss')['loss']),
                banked=stepper(algorithm, lambda: total(algorithm, inputs, samples)),
                read=read,
            ),
            args,
        )
    return {
        'config': name,
        'student alone, s': median(times['student']),
        'from a bank, s': median(times['banked']),
        'from a bank ÷ alone': ratio(times, 'banked', 'student'),
        'read, ms': 1000 * median(times['read']),
        'read ÷ alone, %': 100 * median(ratios(times, 'read', 'student')),
    }


def checksum(name, args, device):
    """A row: the checksums of a batch beside a step from a bank and other digests of its bytes."""
    inputs, samples = batch(args.batch, args.size, device=device)
    content = inputs.cpu().numpy().tobytes()
    with tempfile.TemporaryDirectory() as folder:
        algorithm = from_bank(config(name), folder, inputs, device)
        times = interleaved(
            dict(
                step=stepper(algorithm, lambda: total(algorithm, inputs, samples)),
                checksum=lambda: image_checksums(inputs),
                crc=lambda: zlib.crc32(content),
                blake=lambda: hashlib.blake2b(content).digest(),
            ),
            args,
        )
    return {
        'config': name,
        'checksum, ms': 1000 * median(times['checksum']),
        'checksum ÷ step from a bank, %': 100 * median(ratios(times, 'checksum', 'step')),
        'checksum ÷ CRC-32': ratio(times, 'checksum', 'crc'),
        'checksum ÷ BLAKE2b': ratio(times, 'checksum', 'blake'),
    }


def main(argv=None):
    known = parser(__doc__, rounds=15)
    known.add_argument('--views', type=int, default=640, help='whose size is measured')
    known.add_argument('--teacher', default='checkpoints/efficientnet-lite0.pth')
    known.add_argument('--top-k', type=int, nargs='*', default=[5, 10, 50])
    known.add_argument('--batch', type=int, default=16)
    known.add_argument('--size', type=int, default=224)
    known.add_argument('--checksum', action='store_true', help='the check of the images alone')
    args = known.parse_args(argv)
    names = ('cskd_deit-ti_regnety', 'cskd_deit-s_regnety')
    if args.checksum:
        device = prepare(args)
        report({'bank-checksum': [checksum(name, args, device) for name in names]}, args)
        return
    if not Path(args.teacher).is_file():
        raise SystemExit(
            f'--teacher "{args.teacher}" is no file: make it with '
            'python demo/convert_efficientnet_lite0.py'
        )
    device = prepare(args)
    found = sizes('pictures/efficientnet-lite0', photographs, args.views, args.teacher, args.top_k)
    if Path(DEMO_TEACHER).is_file():
        found += sizes('demo/cskd_vit_resnet18', digits, args.views, DEMO_TEACHER, [])
    steps = [step(name, args, device) for name in names]
    report({'bank-size': found, 'bank-step': steps}, args)


if __name__ == '__main__':
    main()

"""The folder of a run as `mmcskd distill` leaves it, with tiny real models and made-up numbers."""

import json

import numpy as np
import torch
from mmengine.config import Config
from models import build, distiller_config, student_config, teacher_config
from PIL import Image

CLASSES = [
    'T-shirt',
    'trousers',
    '<script>alert(1)</script>',
    'a$b$c|d',
    'ça va, Łódź 犬',
    'it\'s & "so"',
]
SKILL = dict(teacher=2.6, baseline=1.6, student=2.1)


def sized(config, classes):
    """A model's config with another number of classes."""
    config['head'] = dict(config['head'], num_classes=classes)
    return config


def write_run(out, parts=('teacher', 'baseline', 'student'), test=20, classes=CLASSES):
    """Write it.

    Args:
        out (Path): The folder.
        parts (Sequence[str]): Models that the run has.
        test (int): Pictures of each class for test, the same as for val; 0: no test split.
        classes (Sequence[str]): Their names.

    Returns:
        Path: The folder.
    """
    generator, count = np.random.default_rng(0), len(classes)
    root = out / 'photos'
    files, labels = [], []
    for label in range(count):
        (root / f'c{label}').mkdir(parents=True)
        for index in range(test or 12):
            file = f'c{label}/{index}.png'
            pixels = generator.normal(110 + 15 * label, 40, (8, 8, 3)).clip(0, 255)
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.resize((48, 48), Image.BICUBIC).save(root / file)
            files.append(file)
            labels.append(label)
    splits = dict(val=(files, labels), **(dict(test=(files, labels)) if test else {}))
    write_data(out, root, classes, splits)
    config = Config(dict(
        default_scope='mmpretrain',
        data_preprocessor=dict(
            type='ClsDataPreprocessor', num_classes=count, mean=[127.5] * 3, std=[60.0] * 3,
            to_rgb=True,
            batch_augments=dict(augments=[dict(type='CutMix', alpha=1.0)], probs=[0.5])),
        val_dataloader=dict(batch_size=16, num_workers=0, dataset=dict(
            type='CustomDataset', data_root=str(root), ann_file=str(out / 'data' / 'val.txt'),
            metainfo=dict(classes=list(classes)),
            pipeline=[
                dict(type='LoadImageFromFile'), dict(type='Resize', scale=(32, 32)),
                dict(type='PackInputs')]),
            sampler=dict(type='DefaultSampler', shuffle=False)),
    ))  # fmt: skip
    config.test_dataloader = config.val_dataloader
    torch.manual_seed(0)
    for name in parts:
        folder = out / name
        folder.mkdir()
        plain = student_config() if name != 'teacher' else teacher_config()
        plain = sized(plain, count)
        model = build(plain)
        torch.save(dict(state_dict=model.state_dict()), folder / 'best.pth')
        cfg = Config(config.to_dict())
        cfg.model = plain
        if name == 'student' and 'teacher' in parts:
            cfg.model = dict(
                type='mmrazor.FrozenTeacherDistill', architecture=plain,
                teacher=sized(teacher_config(), count), distiller=distiller_config(),
                teacher_ckpt=str(out / 'teacher' / 'best.pth'),
            )  # fmt: skip
        cfg.dump(folder / 'config.py')
        predictions, metrics = {}, {}
        for split, (of_files, of_labels) in splits.items():
            logits = generator.normal(size=(len(of_labels), count))
            logits[np.arange(len(of_labels)), of_labels] += SKILL[name]
            logits[:, 1] += 0.4 * (name == 'student')
            probs = np.exp(1.6 * logits)
            probs = (probs / probs.sum(1, keepdims=True)).astype(np.float32)
            predictions.update({
                f'files_{split}': np.array(of_files), f'labels_{split}': np.array(of_labels),
                f'probs_{split}': probs,
            })  # fmt: skip
            right = int((probs.argmax(1) == of_labels).sum())
            metrics[split] = dict(
                accuracy=100 * right / len(of_labels), n=len(of_labels), correct=right
            )
        np.savez(folder / 'predictions.npz', **predictions)
        write_json(folder / 'metrics.json', dict(
            name=dict(teacher='timm:regnety_040').get(name, 'deit-tiny'), config='config.py',
            checkpoint='best.pth', params=sum(p.numel() for p in model.parameters()), epochs=12,
            seconds=125.4, **metrics,
        ))  # fmt: skip
        write_log(folder, generator, SKILL[name], name == 'student')
    return out


def write_data(out, root, classes, splits):
    (out / 'data').mkdir()
    (out / 'data' / 'classes.txt').write_text('\n'.join(classes), encoding='utf-8')
    for split, (files, labels) in splits.items():
        lines = [f'{file} {label}' for file, label in zip(files, labels)]
        (out / 'data' / f'{split}.txt').write_text('\n'.join(lines))
    counts = {
        split: {name: labels.count(index) for index, name in enumerate(classes)}
        for split, (_, labels) in splits.items()
    }
    write_json(out / 'data' / 'found.json', dict(
        root=str(root), classes=list(classes), counts=dict(train=counts['val'], **counts),
        size=dict(median=[48, 48], min=[48, 48], max=[640, 480]),
        left_out=[dict(file='c0/<b>broken.jpg', reason='cannot be read as an image')],
        duplicates=[dict(files=['c0/1.png', 'c1/2.png'], splits=['train', 'val'])],
        notes=['Split by itself: 70 % train, 15 % val, 15 % test.'],
    ))  # fmt: skip
    write_json(out / 'command.json', dict(
        command='mmcskd distill photos/ --teacher timm:regnety_040 --student deit-tiny --baseline',
        arguments=dict(data='photos/'), versions=dict(mmcskd='0.2', torch='2.14'), seed=0,
    ))  # fmt: skip


def write_log(folder, generator, skill, distils):
    lines = []
    for step in range(10, 310, 10):
        fall = np.exp(-step / 100)
        line = dict(
            lr=1e-3 * (1 - step / 310), loss=1 + 3 * fall + generator.normal(0, 0.04), step=step
        )
        if distils:
            line.update(
                loss_base=0.3 + fall, loss_deit=0.2 + fall, loss_cskd=0.5 + fall,
                fusion_weight=1 - step / 300, agreement=0.9 - 0.6 * fall,
            )  # fmt: skip
        lines.append(line)
        if step % 25 == 0:
            top = 100 * (1 - np.exp(-skill * step / 200))
            lines.append({'accuracy/top1': float(top), 'step': step // 25})
    log = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def write_json(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')

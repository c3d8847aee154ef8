"""A small run, and everything that reads a checkpoint of a student or a teacher."""

import copy

import mmcv
import numpy as np
import tool_runs
import torch
from fault_runs import runner
from mmengine.config import Config
from mmengine.runner import CheckpointLoader, load_checkpoint
from models import algorithm_config, build, student_config, teacher_config

from mmcskd import DistilledInitHook
from mmcskd.app.launch import build_student, build_teacher
from mmcskd.runs.safe_loading import read
from mmcskd.runs.weights import load_weights

CLASSES = 10


def opening(path):
    """Source text that makes a file."""
    return f'open({str(path)!r}, "w").close()'


def model_config():
    student = student_config()
    student['head']['num_classes'] = CLASSES
    return algorithm_config(architecture=student, teacher=teacher_config(num_classes=CLASSES))


def write_config(place):
    """A training config of small models on real digits."""
    model = dict(model_config(), random_teacher=False, teacher_ckpt=str(place / 'teacher.pth'))
    dataset = dict(
        type='ClutteredDigits', split='test', length=8, canvas=32,
        pipeline=[dict(type='PackInputs')],
    )  # fmt: skip
    loader = dict(
        batch_size=4, num_workers=0, dataset=dataset,
        sampler=dict(type='DefaultSampler', shuffle=False),
    )  # fmt: skip
    settings = dict(
        custom_imports=dict(imports=['mmcskd'], allow_failed_imports=False),
        default_scope='mmpretrain',
        model=model,
        data_preprocessor=dict(
            type='mmpretrain.ClsDataPreprocessor', mean=[127.0] * 3, std=[60.0] * 3
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=1),
        val_cfg=dict(),
        test_cfg=dict(),
        default_hooks=dict(
            checkpoint=dict(type='mmrazor.AtomicCheckpointHook', interval=1, save_best='auto'),
            exact_resume=dict(
                type='mmrazor.ExactResumeHook', allowed_changes=['train_cfg.max_epochs']
            ),
        ),
        custom_hooks=[dict(type='mmrazor.CKFHook')],
        randomness=dict(seed=1),
    )
    for name in ('train', 'val', 'test'):
        settings[f'{name}_dataloader'] = copy.deepcopy(loader)
        if name != 'train':
            settings[f'{name}_evaluator'] = dict(type='Accuracy', topk=(1,))
    Config(settings).dump(place / 'config.py')


def make_home(place):
    """A config, its teacher's weights, a photograph, and a run of an epoch in ``run``."""
    torch.save(
        dict(state_dict=build(teacher_config(num_classes=CLASSES)).state_dict()),
        place / 'teacher.pth',
    )
    write_config(place)
    mmcv.imwrite(np.full((32, 32, 3), 90, np.uint8), str(place / 'photograph.png'))
    tool_runs.call(
        'train', 'config.py', '--work-dir', 'run', '--cfg-options', 'train_cfg.max_epochs=1',
        cwd=place,
    )  # fmt: skip


# What reads a student's checkpoint, and what reads a teacher's, given the folder and the file.
def train(place, *options):
    tool_runs.call('train', 'config.py', '--work-dir', 'new', *options, cwd=place)


def built(config, path):
    """MMEngine's own door of a part's weights."""
    model = build(dict(config, init_cfg=dict(type='Pretrained', checkpoint=str(path))))
    model.init_weights()


def config_of(place, **options):
    cfg = Config.fromfile(place / 'config.py')
    cfg.merge_from_dict({name: str(value) for name, value in options.items()})
    return cfg


STUDENT = dict(
    loader=lambda place, path: CheckpointLoader.load_checkpoint(str(path)),
    load_checkpoint=lambda place, path: load_checkpoint(build(model_config()), str(path)),
    load_weights=lambda place, path: load_weights(build(student_of()), str(path)),
    init_hook=lambda place, path: DistilledInitHook(str(path), grid=(8, 8)).load(
        build(student_of())
    ),
    init_cfg=lambda place, path: built(student_of(), path),
    runner_load_from=lambda place, path: resumed(place / 'new', path, resume=False),
    runner_resume=lambda place, path: resumed(place / 'new', path),
    train_resume=lambda place, path: train(place, '--resume', path),
    train_load_from=lambda place, path: train(place, '--cfg-options', f'load_from={path}'),
    test=lambda place, path: tool_runs.call(
        'test', 'config.py', path, '--work-dir', 'new', cwd=place
    ),
    build_student=lambda place, path: build_student(config_of(place), str(path)),
    show_responses=lambda place, path: tool_runs.call(
        'show_responses', 'config.py', 'photograph.png', '--checkpoint', path, cwd=place
    ),
    export_student=lambda place, path: tool_runs.call(
        'export_student', path, 'out.pth', '--config', 'config.py', cwd=place
    ),
)
TEACHER = dict(
    teacher_weights=lambda place, path: load_weights(build(teacher_config(CLASSES)), str(path)),
    algorithm=lambda place, path: build(
        dict(model_config(), random_teacher=False, teacher_ckpt=str(path))
    ),
    train=lambda place, path: train(place, '--cfg-options', f'model.teacher_ckpt={path}'),
    test_teacher=lambda place, path: tool_runs.call(
        'test', 'config.py', place / 'run' / 'epoch_1.pth', '--teacher', '--work-dir', 'new',
        '--cfg-options', f'model.teacher_ckpt={path}', cwd=place,
    ),
    build_teacher=lambda place, path: build_teacher(
        config_of(place, **{'model.teacher_ckpt': path})
    ),
    bank_responses=lambda place, path: tool_runs.call(
        'bank_responses', 'config.py', '--out', 'bank', '--work-dir', 'new', '--cfg-options',
        f'model.teacher_ckpt={path}', cwd=place,
    ),
)  # fmt: skip
READERS = {**STUDENT, **TEACHER}


def student_of():
    return model_config()['architecture']


def resumed(work_dir, path, resume=True):
    """A run of its own, of the same models, an epoch on from a checkpoint."""
    run = runner(
        work_dir, epochs=2, resume=resume, load_from=str(path), model=model_config(),
        batch=4, dataset=dict(type='Pictures', length=8), param_scheduler=None,
        optim=dict(optimizer=dict(type='SGD', lr=0.01)),
        allowed=['train_cfg.max_epochs', 'classes of train_dataloader.dataset'],
    )  # fmt: skip
    run.train()


def good(place, name):
    """A file that the reader takes."""
    return place / ('run/epoch_1.pth' if name in STUDENT else 'teacher.pth')


def changed(place, name, change):
    """The file with something else in it."""
    content = read(good(place, name))
    change(content)
    torch.save(content, place / 'evil.pth')
    return place / 'evil.pth'

import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import build_optim_wrapper
from models import (
    NUM_CLASSES,
    algorithm_config,
    batch,
    build,
    distiller_config,
    student_config,
    teacher_config,
    tokens_of,
)
from torch import nn


def with_weight(algorithm, weight=0.4):
    algorithm.distiller.distill_losses['loss_cskd'].set_fusion_weight(weight)
    return algorithm


def test_losses_by_hand():
    """The three losses from their equations, each token and location on its own."""
    algorithm = with_weight(build(algorithm_config())).train()
    images, samples = batch()
    losses = algorithm(images, samples, mode='loss')
    assert set(losses) == {'loss_base', 'loss_deit', 'loss_cskd', 'agreement'}

    student, teacher = algorithm.student, algorithm.teacher
    tokens, layers = tokens_of(student, images), student.head.layers
    feature = teacher.backbone(images)[-1]
    d = torch.einsum('nkhw,ck->nchw', feature, teacher.head.fc.weight)
    d = d + teacher.head.fc.bias[:, None, None]
    g = teacher(images)
    labels = torch.cat([s.gt_label for s in samples])
    ce = nn.functional.cross_entropy
    z_tok = layers.head_dist(tokens[:, 2:]).transpose(1, 2).reshape(3, NUM_CLASSES, 8, 8)
    z_s = nn.functional.avg_pool2d(z_tok, 2)
    fused = 0.4 * d + 0.6 * g[..., None, None]
    expected = dict(
        loss_base=0.5 * ce(layers.head(tokens[:, 0]), labels),
        loss_deit=0.5 * ce(layers.head_dist(tokens[:, 1]), g.argmax(1)),
        loss_cskd=ce(z_s, fused.argmax(1)),
    )
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], loss, msg=name)
    agreement = (z_s.argmax(1) == fused.argmax(1)).float().mean()
    assert losses['agreement'] == agreement and 0 < agreement < 1


@pytest.mark.parametrize('mode', ['hard', 'soft'])
def test_same_as_the_stock_algorithm(mode):
    """From one configuration, MMRazor's own SingleTeacherDistill gives the same losses."""
    config = algorithm_config(distiller=distiller_config(mode=mode, temperature=2.0))
    lean = with_weight(build(config))
    stock_config = copy.deepcopy(config)
    del stock_config['random_teacher']
    stock = with_weight(build(dict(stock_config, type='SingleTeacherDistill')))
    stock.student.load_state_dict(lean.student.state_dict())
    stock.teacher.load_state_dict(lean.teacher.state_dict())
    images, samples = batch()
    for algorithm in (lean, stock):
        algorithm.train()
    ours = lean(images, copy.deepcopy(samples), mode='loss')
    theirs = stock(images, copy.deepcopy(samples), mode='loss')
    torch.testing.assert_close(ours['loss_base'], theirs['student.loss'])
    torch.testing.assert_close(ours['loss_deit'], theirs['distill.loss_deit'])
    torch.testing.assert_close(ours['loss_cskd'], theirs['distill.loss_cskd'])
    sum(ours.values()).backward()
    sum(theirs.values()).backward()
    for (name, a), (_, b) in zip(lean.student.named_parameters(), stock.student.named_parameters()):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


def test_every_student_weight_learns_and_no_teacher_weight():
    algorithm = with_weight(build(algorithm_config())).train()
    algorithm(*batch(), mode='loss')  # the first batch folds norms
    before = {name: value.clone() for name, value in algorithm.teacher.state_dict().items()}
    sum(algorithm(*batch(), mode='loss').values()).backward()
    for name, parameter in algorithm.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    for name, parameter in algorithm.teacher.named_parameters():
        assert parameter.grad is None and not parameter.requires_grad, name
    for name, value in algorithm.teacher.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_teacher_is_no_part_of_the_state():
    algorithm = build(algorithm_config())
    student = {f'architecture.{name}' for name in algorithm.student.state_dict()}
    assert set(algorithm.state_dict()) == student
    assert not any('teacher' in name for name, _ in algorithm.named_modules() if name != '')
    wrapper = build_optim_wrapper(algorithm, dict(optimizer=dict(type='AdamW', lr=1e-3)))
    held = {id(p) for group in wrapper.param_groups for p in group['params']}
    assert held == {id(p) for p in algorithm.student.parameters()}


def test_ema_averages_the_student_and_shares_the_teacher():
    algorithm = build(algorithm_config())
    ema = ExponentialMovingAverage(algorithm, momentum=0.5)
    assert ema.module.teacher is algorithm.teacher
    assert ema.module.student is not algorithm.student
    ema.update_parameters(algorithm)
    start = algorithm.student.head.layers.head.bias.detach().clone()
    with torch.no_grad():
        algorithm.student.head.layers.head.bias.add_(1.0)
    ema.update_parameters(algorithm)
    torch.testing.assert_close(ema.module.student.head.layers.head.bias, start + 0.5)
    assert not any('teacher' in name for name in ema.state_dict())


def test_teacher_stays_in_evaluation_mode_and_moves_along():
    algorithm = build(algorithm_config())
    assert algorithm.train() is algorithm
    assert algorithm.student.training
    assert not any(module.training for module in algorithm.teacher.modules())
    algorithm.double()
    assert {p.dtype for p in algorithm.teacher.parameters()} == {torch.float64}


def test_records_are_dropped_after_the_step():
    algorithm = with_weight(build(algorithm_config()))
    algorithm(*batch(), mode='loss')
    for manager in (algorithm.distiller.teacher_recorders, algorithm.distiller.student_recorders):
        for recorder in manager.recorders.values():
            assert recorder.data_buffer == []


def test_distillation_can_be_stopped():
    """As MMRazor's StopDistillHook does it; the teacher then rests."""
    algorithm = build(algorithm_config())
    algorithm.distillation_stopped = True
    algorithm.teacher.forward = None
    assert set(algorithm(*batch(), mode='loss')) == {'loss_base'}


def test_prediction_is_the_students():
    algorithm = build(algorithm_config()).eval()
    images, _ = batch()
    assert torch.equal(algorithm(images), algorithm.student(images))


def test_student_without_distillation_token():
    algorithm = with_weight(
        build(
            algorithm_config(
                architecture=student_config(dist_token=False),
                distiller=distiller_config(deit=False),
            )
        )
    )
    losses = algorithm(*batch(), mode='loss')
    assert set(losses) == {'loss_base', 'loss_cskd', 'agreement'}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in algorithm.parameters())


def test_agreement_of_two_losses():
    distiller = distiller_config()
    for part in ('distill_losses', 'loss_forward_mappings'):
        distiller[part]['loss_second'] = distiller[part]['loss_cskd']
    algorithm = with_weight(build(algorithm_config(distiller=distiller)))
    algorithm.distiller.distill_losses['loss_second'].set_fusion_weight(0.0)
    losses = algorithm(*batch(), mode='loss')
    assert {'agreement_cskd', 'agreement_second'} < set(losses)


def test_random_teacher_is_refused():
    with pytest.raises(ValueError, match=r'model\.teacher_ckpt .*model\.random_teacher=True'):
        build(algorithm_config(random_teacher=False))


def test_built_teacher_is_taken_as_it_is():
    teacher = build(teacher_config())
    weights = copy.deepcopy(teacher.state_dict())
    algorithm = build(algorithm_config(teacher=teacher, random_teacher=False))
    assert algorithm.teacher is teacher
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_classes_differ():
    message = r'7 classes and the teacher 9: set model\.architecture\.head\.num_classes'
    with pytest.raises(ValueError, match=message):
        build(algorithm_config(teacher=teacher_config(num_classes=9)))


def test_augmentations_of_the_student_are_used_or_refused():
    """They are its own data preprocessor's, which the algorithm has only if it is given none."""
    student = student_config()
    student['train_cfg'] = dict(augments=[dict(type='Mixup', alpha=0.8)])
    preprocessor = dict(type='mmpretrain.ClsDataPreprocessor', num_classes=NUM_CLASSES)
    with pytest.raises(
        ValueError, match=r'architecture\.train_cfg\.augments would.*preprocessor\.batch_augments'
    ):
        build(algorithm_config(architecture=copy.deepcopy(student), data_preprocessor=preprocessor))
    student['data_preprocessor'] = preprocessor
    algorithm = build(algorithm_config(architecture=student))
    (mixup,) = algorithm.data_preprocessor.batch_augments.augments
    assert mixup.alpha == 0.8


def test_deliveries_are_refused():
    distiller = distiller_config()
    distiller['distill_deliveries'] = dict(
        d=dict(type='FunctionOutputs', func_path='math.floor', max_keep_data=1)
    )
    with pytest.raises(ValueError, match=r'distill_deliveries.*SingleTeacherDistill'):
        build(algorithm_config(distiller=distiller))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(nn.Module, 'compile'), reason='needs torch >= 2.2')
def test_compiled_parts_give_the_same():
    """Captured and run by the eager backend: what is tested is that recorders survive capture."""
    options = dict(backend='eager')
    plain = with_weight(build(algorithm_config())).train()
    compiled = with_weight(
        build(algorithm_config(compile=dict(teacher=options, student=options)))
    ).train()
    compiled.load_state_dict(plain.state_dict())
    compiled.teacher.load_state_dict(plain.teacher.state_dict())
    assert compiled.student.backbone._compiled_call_impl is not None
    images, samples = batch()
    for _ in range(2):
        ours = compiled(images, copy.deepcopy(samples), mode='loss')
        theirs = plain(images, copy.deepcopy(samples), mode='loss')
        for name, loss in theirs.items():
            torch.testing.assert_close(ours[name], loss, msg=name)
    assert compiled.teacher.backbone._compiled_call_impl is not None
    sum(ours.values()).backward()
    sum(theirs.values()).backward()
    for a, b in zip(compiled.parameters(), plain.parameters()):
        torch.testing.assert_close(a.grad, b.grad)
    compiled.zero_grad()
    assert set(ExponentialMovingAverage(compiled).module.state_dict()) == set(plain.state_dict())


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(techer=True), r'model\.compile has no key "techer"\. Nearest: "teacher"'),
        (dict(student='max-autotune'), r"model\.compile\.student is 'max-autotune'"),
    ],
)
def test_bad_compile(options, message):
    with pytest.raises(ValueError, match=message):
        build(algorithm_config(compile=options))


def test_frozen_parts_are_refused_by_name():
    with pytest.raises(TypeError, match='teacher_trainable'):
        build(algorithm_config(teacher_trainable=True))

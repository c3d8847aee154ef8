"""What a training step with CSKD costs, beside the teacher's forward pass and the student's own step.

In each round four things run in turn: the teacher's forward pass as the model comes, a step of the
student without a teacher, a step with CSKD, and the same step written plainly (every patch token
through the head, then pooled; the teacher as it comes), which must give the same loss.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from measure import interleaved, ratio, report, stepper
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
LAMBDA = 0.5


class PlainStep(torch.nn.Module):
    """The method as an equation reads, without a thought for its cost."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student = student
        self.__dict__['teacher'] = teacher

    def forward(self, inputs, samples):
        with torch.no_grad():
            feature = self.teacher.extract_feat(inputs, stage='backbone')[-1]
            fc = self.teacher.head.fc
            g = fc(feature.mean((2, 3)))
            d = fc(feature.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            target = LAMBDA * d + (1 - LAMBDA) * g[:, :, None, None]
        (tokens,) = self.student.extract_feat(inputs)
        head = self.student.head
        base = head.loss((tokens,), samples)['loss']
        z_dist = head.layers.head_dist(tokens[:, 1])
        z_tok = head.layers.head_dist(tokens[:, 2:])
        side = int(z_tok.shape[1] ** 0.5)
        z_tok = z_tok.transpose(1, 2).reshape(len(inputs), -1, side, side)
        z_s = F.adaptive_avg_pool2d(z_tok, target.shape[-2:])
        deit = F.cross_entropy(z_dist, g.argmax(1))
        return base + 0.5 * deit + F.cross_entropy(z_s, target.argmax(1))


def build(name, classes):
    """The algorithm of a shipped config, its teacher random: time does not depend on weights."""
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    cfg.model.update(teacher_ckpt=None, random_teacher=True)
    cfg.model.architecture.head.num_classes = classes
    cfg.model.architecture.head.loss.num_classes = classes
    cfg.model.teacher.head.num_classes = classes
    cfg.model.distiller.distill_losses.loss_cskd.fusion_weight = LAMBDA
    algorithm = MODELS.build(cfg.model)
    algorithm.init_weights()
    return algorithm


def measure(name, args, device):
    import copy

    algorithm = build(name, args.classes).to(device).train()
    student = copy.deepcopy(algorithm.student)
    plain = PlainStep(copy.deepcopy(algorithm.student), copy.deepcopy(algorithm.teacher)).train()
    plain.teacher.to(memory_format=torch.contiguous_format)
    inputs = torch.randn(args.batch, 3, args.size, args.size, device=device)
    samples = [DataSample().set_gt_label(i % args.classes).to(device) for i in range(args.batch)]

    def cskd():
        losses = algorithm.loss(inputs, samples)
        return sum(value for key, value in losses.items() if 'loss' in key)

    def teacher():
        with torch.no_grad():
            plain.teacher(inputs, mode='tensor')

    with torch.no_grad():
        torch.testing.assert_close(cskd(), plain(inputs, samples), rtol=1e-3, atol=1e-3)
    variants = dict(
        teacher=teacher,
        student=stepper(student, lambda: student(inputs, samples, mode='loss')['loss']),
        cskd=stepper(algorithm, cskd),
        plain=stepper(plain, lambda: plain(inputs, samples)),
    )
    times = interleaved(variants, args.rounds, args.warmup)
    row = dict(config=name, batch=args.batch, classes=args.classes)
    for key in variants:
        row[f'{key} s'] = sorted(times[key])[len(times[key]) // 2]
    for key, over, *under in (
        ('cskd ÷ student', 'cskd', 'student'),
        ('cskd ÷ (teacher + student)', 'cskd', 'teacher', 'student'),
        ('plain ÷ cskd', 'plain', 'cskd'),
    ):
        found = ratio(times, over, *under)
        row[key] = found['median']
        row[f'{key}, quartiles'] = f'{found["low"]:.3f} … {found["high"]:.3f}'
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'configs', nargs='*', default=['cskd_deit-ti_regnety', 'cskd_deit-s_regnety']
    )
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--classes', type=int, default=1000)
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--warmup', type=int, default=2)
    parser.add_argument('--threads', type=int, default=2, help='of the CPU')
    parser.add_argument('--out', help='JSON file to write')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    rows = [measure(name, args, device) for name in args.configs]
    report('Training steps', rows, args.out)


if __name__ == '__main__':
    main()

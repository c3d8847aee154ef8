"""What a training step with CSKD costs, beside the teacher's forward pass and the student's own step.

In each round five things run in turn: the teacher's forward pass as the model comes, the same as the
algorithm runs it (without its spatial responses), a step of the student without a teacher, a step
with CSKD, and the same step written plainly (every patch token through the head, then pooled; the
teacher as it comes), which must give the same loss.
"""

import copy

import torch
import torch.nn.functional as F
from benchmark_models import LAMBDA, batch, build, config, total
from measure import interleaved, median, parser, prepare, ratio, report, stepper


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


def measure(name, args, device):
    """A row of the table."""
    algorithm = build(config(name), device=device)
    student = copy.deepcopy(algorithm.student)
    plain = PlainStep(copy.deepcopy(algorithm.student), copy.deepcopy(algorithm.teacher)).train()
    plain.teacher.to(memory_format=torch.contiguous_format)
    inputs, samples = batch(args.batch, args.size, device=device)

    def teacher():
        with torch.no_grad():
            plain.teacher(inputs, mode='tensor')

    def lean():
        with torch.inference_mode():
            images = inputs.contiguous(memory_format=algorithm._layout)
            algorithm.teacher(images, mode='tensor')

    with torch.no_grad():
        torch.testing.assert_close(
            total(algorithm, inputs, samples), plain(inputs, samples), rtol=1e-3, atol=1e-3
        )
    variants = dict(
        teacher=teacher,
        lean=lean,
        student=stepper(student, lambda: student(inputs, samples, mode='loss')['loss']),
        cskd=stepper(algorithm, lambda: total(algorithm, inputs, samples)),
        plain=stepper(plain, lambda: plain(inputs, samples)),
    )
    times = interleaved(variants, args.rounds, args.warmup)
    return {
        'config': name,
        'teacher, s': median(times['teacher']),
        'lean teacher, s': median(times['lean']),
        'student alone, s': median(times['student']),
        'CSKD, s': median(times['cskd']),
        'plain, s': median(times['plain']),
        'CSKD ÷ student': ratio(times, 'cskd', 'student'),
        'CSKD ÷ (teacher + student)': ratio(times, 'cskd', 'teacher', 'student'),
        'CSKD ÷ (lean teacher + student)': ratio(times, 'cskd', 'lean', 'student'),
        'plain ÷ CSKD': ratio(times, 'plain', 'cskd'),
    }


def main():
    known = parser(__doc__)
    known.add_argument(
        'configs', nargs='*', default=['cskd_deit-ti_regnety', 'cskd_deit-s_regnety']
    )
    known.add_argument('--batch', type=int, default=16)
    known.add_argument('--size', type=int, default=224)
    args = known.parse_args()
    device = prepare(args)
    report(dict(step=[measure(name, args, device) for name in args.configs]), args.out)


if __name__ == '__main__':
    main()

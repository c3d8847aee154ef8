"""What a step with CSKD costs, beside the teacher's forward pass and the student's own step.

In each round five things run in turn: the teacher's forward pass as the model comes, the same as
the algorithm runs it (without its spatial responses), a step of the student without a teacher, a
step with CSKD, and the same step written plainly (every patch token through the head, then pooled;
the teacher as it comes), which must give the same loss.
"""

import copy
from statistics import median

import torch
from benchmark_models import batch, build, config, plain_loss, total
from measure import interleaved, parser, prepare, ratio, report, stepper


class PlainStep(torch.nn.Module):
    """The plain form with both backbones; the teacher is no part of it."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student = student
        self.student.backbone.out_type = 'raw'
        self.__dict__['teacher'] = teacher.to(memory_format=torch.contiguous_format)

    def forward(self, inputs, samples):
        with torch.no_grad():
            feature = self.teacher.extract_feat(inputs, stage='backbone')[-1]
        tokens, head = self.student.backbone(inputs)[-1], self.student.head
        base = head._get_loss(head.layers.head(tokens[:, 0]), samples)['loss']
        return base + plain_loss(tokens, head.layers.head_dist, feature, self.teacher.head.fc)[0]


def variants(algorithm, inputs, samples, cast=None):
    """What runs in turn, and the plain form; under autocast to a dtype, if one is given."""
    student = copy.deepcopy(algorithm.student)
    plain = PlainStep(copy.deepcopy(algorithm.student), copy.deepcopy(algorithm.teacher)).train()
    mixed = torch.autocast(inputs.device.type, cast or torch.bfloat16, enabled=cast is not None)

    @mixed
    def teacher():
        with torch.no_grad():
            plain.teacher(inputs, mode='tensor')

    @mixed
    def lean():
        with torch.inference_mode():
            images = inputs.contiguous(memory_format=algorithm._layout)
            algorithm.teacher(images, mode='tensor')

    steps = {
        'teacher': teacher,
        'lean teacher': lean,
        'student alone': stepper(
            student, mixed(lambda: student(inputs, samples, mode='loss')['loss'])
        ),
        'CSKD': stepper(algorithm, mixed(lambda: total(algorithm, inputs, samples))),
        'plain': stepper(plain, mixed(lambda: plain(inputs, samples))),
    }
    return steps, plain


def measure(name, args, device):
    """A row of the table."""
    algorithm = build(config(name), device=device)
    inputs, samples = batch(args.batch, args.size, device=device)
    steps, plain = variants(algorithm, inputs, samples)
    with torch.no_grad():
        torch.testing.assert_close(
            total(algorithm, inputs, samples), plain(inputs, samples), rtol=1e-3, atol=1e-3
        )
    times = interleaved(steps, args)
    return {
        'config': name,
        **{f'{variant}, s': median(each) for variant, each in times.items()},
        'CSKD ÷ student': ratio(times, 'CSKD', 'student alone'),
        'CSKD ÷ (teacher + student)': ratio(times, 'CSKD', 'teacher', 'student alone'),
        'CSKD ÷ (lean teacher + student)': ratio(times, 'CSKD', 'lean teacher', 'student alone'),
        'plain ÷ CSKD': ratio(times, 'plain', 'CSKD'),
    }


def main(argv=None):
    known = parser(__doc__)
    known.add_argument(
        'configs', nargs='*', default=['cskd_deit-ti_regnety', 'cskd_deit-s_regnety']
    )
    known.add_argument('--batch', type=int, default=16)
    known.add_argument('--size', type=int, default=224)
    args = known.parse_args(argv)
    device = prepare(args)
    report(dict(step=[measure(name, args, device) for name in args.configs]), args)


if __name__ == '__main__':
    main()

"""The teacher's forward pass as the model comes, as this package runs it, and compiled besides.

All three give the responses at every location. Compilation is ``model.compile=dict(teacher=True)``.
"""

import copy

import torch
from benchmark_models import batch, build, config
from measure import interleaved, median, parser, prepare, ratio, report, seconds


class AsItComes:
    """No layout, no folding, with autograd off."""

    def __init__(self, teacher):
        self.teacher = copy.deepcopy(teacher).to(memory_format=torch.contiguous_format)

    def __call__(self, inputs):
        with torch.no_grad():
            feature = self.teacher.extract_feat(inputs, stage='backbone')[-1]
            classify = self.teacher.head.fc
            return classify(feature.mean((2, 3))), classify(feature.permute(0, 2, 3, 1))


def main():
    known = parser(__doc__, rounds=7, warmup=2)
    known.add_argument('--config', default='cskd_deit-ti_regnety')
    known.add_argument('--batch', type=int, default=16)
    known.add_argument('--size', type=int, default=224)
    args = known.parse_args()
    device = prepare(args)
    inputs, _ = batch(args.batch, args.size, device=device)
    cfg = config(args.config)
    algorithm = build(cfg, device=device)
    plain = AsItComes(algorithm.teacher)
    cfg.model.compile = dict(teacher=True)
    compiled = build(cfg, device=device)

    def respond(algorithm):
        algorithm.respond(inputs)
        for recorder in algorithm.distiller.teacher_recorders.recorders.values():
            recorder.reset_data_buffer()

    first = seconds(lambda: respond(compiled)), seconds(lambda: respond(compiled))
    times = interleaved(
        {
            'as it comes': lambda: plain(inputs),
            'as it runs here': lambda: respond(algorithm),
            'compiled besides': lambda: respond(compiled),
        },
        args.rounds,
        args.warmup,
    )
    rows = [
        {
            'teacher': name,
            'forward pass, s': median(times[name]),
            '÷ as it comes': ratio(times, name, 'as it comes'),
            'first two batches, s': f'{sum(first):.0f}' if name == 'compiled besides' else '',
        }
        for name in times
    ]
    report(dict(teacher=rows), args.out)


if __name__ == '__main__':
    main()

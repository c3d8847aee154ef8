"""The teacher's forward pass as the model comes, as this package runs it, and compiled besides.

All three give the responses at every location. Compilation is ``model.compile=dict(teacher=True)``.
"""

import copy
from statistics import median

import torch
from benchmark_models import batch, build, config
from measure import interleaved, parser, prepare, ratio, report, seconds


def main(argv=None):
    known = parser(__doc__, rounds=7)
    known.add_argument('--config', default='cskd_deit-ti_regnety')
    known.add_argument('--batch', type=int, default=16)
    known.add_argument('--size', type=int, default=224)
    args = known.parse_args(argv)
    device = prepare(args)
    inputs, _ = batch(args.batch, args.size, device=device)
    cfg = config(args.config)
    algorithm = build(cfg, device=device)
    own = copy.deepcopy(algorithm.teacher).to(memory_format=torch.contiguous_format)
    cfg.model.compile = dict(teacher=True)
    compiled = build(cfg, device=device)

    def as_it_comes():
        with torch.no_grad():
            feature = own.extract_feat(inputs, stage='backbone')[-1]
            return own.head.fc(feature.mean((2, 3))), own.head.fc(feature.permute(0, 2, 3, 1))

    def respond(algorithm):
        algorithm.respond(inputs)
        for recorder in algorithm.distiller.teacher_recorders.recorders.values():
            recorder.reset_data_buffer()

    first = seconds(lambda: respond(compiled)) + seconds(lambda: respond(compiled))
    variants = {
        'as it comes': as_it_comes,
        'as it runs here': lambda: respond(algorithm),
        'compiled besides': lambda: respond(compiled),
    }
    times = interleaved(variants, args)
    rows = [
        {
            'teacher': name,
            'forward pass, s': median(times[name]),
            '÷ as it comes': ratio(times, name, 'as it comes'),
            'first two batches, s': f'{first:.0f}' if name == 'compiled besides' else '',
        }
        for name in variants
    ]
    report(dict(teacher=rows), args)


if __name__ == '__main__':
    main()

"""Estimates: GPU hours and disk for 300 epochs of ImageNet on 8 GPUs, online and from a bank.

No GPU was timed. Floating point operations are counted by torch's own counter as the models run,
two for a multiplication and addition; what a GPU makes of them is assumed, see --peak,
--student-utilisation and --teacher-utilisation. Bytes a view are those that bank.py measured, see
--bytes-a-view.
"""

import tempfile

from benchmark_models import batch, build, config, from_bank, total
from measure import parser, prepare, report
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

STUDENTS = {
    'DeiT-Ti': 'cskd_deit-ti_regnety',
    'DeiT-S': 'cskd_deit-s_regnety',
    'DeiT-B': 'cskd_deit-b_regnety',
}
IMAGES = 2


def operations(run):
    """Floating point operations for one of the ``IMAGES`` that a function runs on."""
    # Attention as matrix products, which the counter knows on every device.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / IMAGES


def count(name, device, side):
    """Of the teacher's answer and of a step from a bank: two numbers."""
    inputs, samples = batch(IMAGES, side, device=device)
    with tempfile.TemporaryDirectory() as folder:
        banked = from_bank(config(name), folder, inputs, device)
        step = operations(lambda: total(banked, inputs, samples).backward())
    online = build(config(name), device=device)
    online.respond(inputs)  # the first batch is checked, which runs parts of the teacher again
    return operations(lambda: online.respond(inputs)), step


def main(argv=None):
    known = parser(__doc__)
    known.add_argument('--peak', type=float, default=312e12, help='operations a second of a GPU')
    known.add_argument('--student-utilisation', type=float, default=0.3, help='share of the peak')
    known.add_argument('--teacher-utilisation', type=float, default=0.2, help='share of the peak')
    known.add_argument('--gpus', type=int, default=8)
    known.add_argument('--epochs', type=int, default=300)
    known.add_argument('--images', type=int, default=1_281_167)
    known.add_argument('--size', type=int, default=224)
    known.add_argument(
        '--bytes-a-view', type=float, default=678, help='of hard labels, as bank.py measures them'
    )
    args = known.parse_args(argv)
    device = prepare(args)
    views, counted, rows = args.images * args.epochs, [], []
    for student, name in STUDENTS.items():
        teacher, step = count(name, device, args.size)
        counted.append(
            {'student': student, 'teacher, GFLOP': teacher / 1e9, 'step, GFLOP': step / 1e9}
        )
        hours = {
            'bank once': views * teacher / (args.peak * args.teacher_utilisation) / 3600,
            'from a bank': views * step / (args.peak * args.student_utilisation) / 3600,
        }
        hours['online'] = sum(hours.values())
        bank = views * args.bytes_a_view
        for way, disk in (('online', 0), ('bank once', bank), ('from a bank', bank)):
            rows.append(
                {
                    'student': student,
                    'run': way,
                    'GPU hours': hours[way],
                    f'hours on {args.gpus} GPUs': hours[way] / args.gpus,
                    'disk, GB': round(disk / 1e9),
                }
            )
    report({'operations': counted, 'budget': rows}, args)


if __name__ == '__main__':
    main()

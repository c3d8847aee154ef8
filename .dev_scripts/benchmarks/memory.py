"""Peak memory of all that comes after the two backbones, of this package and written plainly.

Counted are the allocations of a forward and backward pass. The plain form is that of step.py: every
patch token through the head.
"""

from itertools import accumulate

import torch
import torch.nn.functional as F
from benchmark_models import LAMBDA, plain_loss
from measure import parser, prepare, report
from torch import nn
from torch.profiler import profile

from mmcskd import (
    CSKDLoss,
    DeiTLoss,
    DistTokenConnector,
    PatchTokenConnector,
    PatchTokens,
    SpatialResponseRecorder,
)


def peak(run):
    """The most bytes that a function has allocated at one time, as torch's profiler sees them."""
    with profile(profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()  # in the order of time
    return max(accumulate(event.nbytes() for event in events if event.name() == '[memory]'))


class Tail(nn.Module):
    """A CNN from its last feature map on."""

    def __init__(self, channels, classes):
        super().__init__()
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(channels, classes)

    def forward(self, feature):
        return self.head(self.pool(feature).flatten(1))


def lean(tail, heads, feature, tokens, labels):
    """The package's own recorder, connectors and losses."""
    head, head_dist = heads
    recorder = SpatialResponseRecorder(source='pool', logits='head')
    recorder.initialize(tail)
    # As the teacher's convolutions leave it.
    feature = feature.contiguous(memory_format=torch.channels_last)

    def run():
        with torch.inference_mode(), recorder:
            tail(feature)
        spatial, whole = recorder.get_record_data()
        base = 0.5 * F.cross_entropy(head(tokens[:, 0]), labels)
        record = PatchTokens(tokens, 2, (14, 14), head_dist)
        # In the order of configs/_base_/distillers.py.
        deit = DeiTLoss(loss_weight=0.5)(DistTokenConnector()(record), whole)
        cskd = CSKDLoss(fusion_weight=LAMBDA)(PatchTokenConnector()(record), spatial, whole)
        recorder.reset_data_buffer()
        del spatial, whole, record
        loss = base + deit + cskd
        loss.backward()
        return loss.detach()

    return run


def plain(tail, heads, feature, tokens, labels):
    """The form that the package is compared with."""
    head, head_dist = heads

    def run():
        base = 0.5 * F.cross_entropy(head(tokens[:, 0]), labels)
        distilled, _held = plain_loss(tokens, head_dist, feature, tail.head)
        loss = base + distilled
        loss.backward()
        return loss.detach()

    return run


def peaks(batch, classes, width, channels, device='cpu'):
    """Peak bytes of both forms, by ``'lean'`` and ``'plain'``."""
    torch.manual_seed(0)
    tail = Tail(channels, classes).to(device).eval().requires_grad_(False)
    heads = nn.ModuleList(nn.Linear(width, classes) for _ in range(2)).to(device)
    feature = torch.randn(batch, channels, 7, 7, device=device)
    tokens = torch.randn(batch, 198, width, device=device, requires_grad=True)
    labels = torch.arange(batch, device=device) % classes
    found, values = {}, []
    for name, form in dict(lean=lean, plain=plain).items():
        run = form(tail, heads, feature, tokens, labels)
        values.append(run())  # gradients exist from here on, in both forms
        found[name] = peak(run)
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-4)
    return found


def main(argv=None):
    known = parser(__doc__)
    known.add_argument('--batch', type=int, default=16)
    known.add_argument('--classes', type=int, nargs='+', default=[1000, 10_000])
    args = known.parse_args(argv)
    device = prepare(args)
    rows = []
    for classes in args.classes:
        for name, width in (('DeiT-Ti', 192), ('DeiT-S', 384), ('DeiT-B', 768)):
            found = peaks(args.batch, classes, width, 3024, device)
            rows.append(
                {
                    'student': name,
                    'classes': classes,
                    'this package, MB': found['lean'] / 1e6,
                    'plain, MB': found['plain'] / 1e6,
                    'share': found['lean'] / found['plain'],
                }
            )
    report(dict(memory=rows), args)


if __name__ == '__main__':
    main()

"""Peak memory of all that comes after the two backbones, of this package and written plainly.

Counted are the bytes of live tensors, forward and backward pass, by every operation that is run;
the same on any device. The plain form is that of step.py: every patch token through the head.
"""

import weakref

import torch
import torch.nn.functional as F
from benchmark_models import LAMBDA, plain_loss
from measure import parser, prepare, report
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from mmcskd import (
    CSKDLoss,
    DeiTLoss,
    DistTokenConnector,
    PatchTokenConnector,
    PatchTokens,
    SpatialResponseRecorder,
)


class LiveBytes(TorchDispatchMode):
    """While it is entered, ``peak`` is the most bytes that new tensors held at one time."""

    def __enter__(self):
        self.live, self.peak, self.known = 0, 0, {}
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **(kwargs or {}))
        given = {id(t.untyped_storage()) for t in tree_flatten(args)[0] if torch.is_tensor(t)}
        for tensor in tree_flatten(outputs)[0]:
            if torch.is_tensor(tensor):
                storage = tensor.untyped_storage()
                if id(storage) not in given and storage._cdata not in self.known:
                    self._note(storage)
        return outputs

    def _note(self, storage):
        key, size = storage._cdata, storage.nbytes()
        self.known[key] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key):
        self.live -= self.known.pop(key, 0)


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
        cskd = CSKDLoss(fusion_weight=LAMBDA)(PatchTokenConnector()(record), spatial, whole)
        deit = DeiTLoss(loss_weight=0.5)(DistTokenConnector()(record), whole)
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
        with LiveBytes() as count:
            values.append(run())
        found[name] = count.peak
    torch.testing.assert_close(values[0], values[-1], rtol=1e-4, atol=1e-4)
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

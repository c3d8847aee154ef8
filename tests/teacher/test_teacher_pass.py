import torch
from models import algorithm_config, batch, build, distiller_config


def test_how_the_teacher_runs(monkeypatch):
    """Inference mode, evaluation mode, channels-last, AMP's dtype; and no loss of its own."""
    model = build(algorithm_config(distiller=distiller_config(fusion_weight=0.5))).train()
    inputs, samples = batch(n=3)
    monkeypatch.setattr(model.teacher.head, 'loss', None)
    model.loss(inputs, samples)
    seen = []
    model.teacher.backbone.register_forward_hook(
        lambda module, given, out: seen.append((module.training, given[0], out[-1]))
    )
    for enabled, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            model.loss(inputs, samples)
        training, given, out = seen.pop()
        assert not training and out.is_inference() and out.dtype == dtype
        assert given.is_contiguous(memory_format=torch.channels_last)
        assert not given.is_contiguous()

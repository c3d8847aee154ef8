"""A run of a config that is watched step by step."""

from mmengine.hooks import Hook


class Steps(Hook):
    """Keeps the first weights and of each step losses, fusion weight and greatest gradients."""

    priority = 'LOWEST'

    def __init__(self, student):
        self.student = student
        self.losses, self.fusion = [], []
        self.gradients = {n: [] for n, p in student.named_parameters() if p.requires_grad}
        for name, parameter in student.named_parameters():
            if parameter.requires_grad:
                keep = self.gradients[name].append
                parameter.register_hook(lambda g, keep=keep: keep(g.abs().max().item()))

    def before_train(self, runner):
        self.start = {name: p.detach().clone() for name, p in self.student.named_parameters()}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({name: float(value) for name, value in outputs.items()})
        distiller = getattr(runner.model, 'distiller', None)
        if distiller is not None and 'loss_cskd' in distiller.distill_losses:
            self.fusion.append(distiller.distill_losses['loss_cskd'].fusion_weight)


def trained(runner):
    """Train; what was seen of each step."""
    steps = Steps(getattr(runner.model, 'student', runner.model))
    runner.register_hook(steps)
    runner.train()
    return steps

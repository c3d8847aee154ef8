def bridge_unused_norms(backbone) -> None:
    """Let MMPretrain's DeiT III train in several processes.

    Symptom: DistributedDataParallel stops in the second step, "Expected to have finished reduction",
    or wants ``find_unused_parameters=True``.
    Cause: each layer of MMPretrain 1.2's DeiT III applies ``ln1`` twice and ``ln2`` never, and its
    published weights and accuracies belong to that; ``ln2`` gets no gradient.
    Applies: layers of ``DeiT3``. What never runs is frozen; the model computes what it did.

    Args:
        backbone (nn.Module): Of a student; any but DeiT III is left as it is.
    """
    for module in backbone.modules():
        if type(module).__name__ == 'DeiT3TransformerEncoderLayer':
            module.ln2.requires_grad_(False)

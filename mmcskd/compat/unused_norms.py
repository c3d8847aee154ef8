def bridge_unused_norms(backbone) -> None:
    """Let MMPretrain's DeiT III train in several processes.

    Symptom: DistributedDataParallel stops in the second step, "Expected to have finished
    reduction", or wants ``find_unused_parameters=True``.
    Cause: each layer of MMPretrain 1.2's DeiT III applies ``ln1`` twice and never ``ln2``, which
    gets no gradient. Its published weights and accuracies belong to that form.
    Applies: layers of ``DeiT3``. The bridge freezes ``ln2``; the output stays the same.

    Args:
        backbone (nn.Module): The student's; any but DeiT III is not changed.
    """
    for module in backbone.modules():
        if type(module).__name__ == 'DeiT3TransformerEncoderLayer':
            module.ln2.requires_grad_(False)

from contextlib import contextmanager


@contextmanager
def bridge_exported_attention(model):
    """Let attention be exported to ONNX by torch 2.0.

    Symptom: "Exporting the operator 'aten::scaled_dot_product_attention' to ONNX opset version 17
    is not supported".
    Cause: torch 2.0 has the operator, which MMPretrain uses, but cannot export it.
    Applies: torch < 2.1, within the context. Modules of MMPretrain use the form that MMPretrain has
    for older torch.

    Args:
        model (nn.Module): To be exported.
    """
    import torch
    import torch.nn.functional as F
    from mmpretrain.models.utils.attention import scaled_dot_product_attention_pyimpl
    from packaging.version import Version

    name, layers = 'scaled_dot_product_attention', []
    if Version(torch.__version__).release < (2, 1):
        stock = F.scaled_dot_product_attention
        layers = [part for part in model.modules() if getattr(part, name, None) is stock]
    try:
        for part in layers:
            setattr(part, name, scaled_dot_product_attention_pyimpl)
        yield
    finally:
        for part in layers:
            setattr(part, name, F.scaled_dot_product_attention)

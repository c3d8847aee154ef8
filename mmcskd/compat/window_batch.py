from contextlib import contextmanager


@contextmanager
def bridge_window_batch():
    """Let windowed attention be exported for any batch size.

    Symptom: an ONNX file of a Swin gives wrong logits, and no error, for a batch of another size than
    the one it was exported with.
    Cause: MMPretrain computes the batch size from the number of windows by ``int`` of a float, which
    an exporter takes for a constant.
    Applies: within the context, to ``ShiftWindowMSA`` (Swin, Swin V2, DaViT); the division is exact.
    """
    from mmpretrain.models.utils import ShiftWindowMSA

    def window_reverse(windows, height, width, size):
        rows, columns = height // size, width // size
        batch = windows.shape[0] // (rows * columns)
        x = windows.view(batch, rows, columns, size, size, -1)
        return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(batch, height, width, -1)

    own = ShiftWindowMSA.window_reverse
    ShiftWindowMSA.window_reverse = staticmethod(window_reverse)
    try:
        yield
    finally:
        ShiftWindowMSA.window_reverse = staticmethod(own)

from contextlib import contextmanager


@contextmanager
def bridge_window_batch():
    """Let windowed attention be exported for any batch size.

    Symptom: an ONNX file of a Swin gives wrong logits, without an error, for another batch size
    than that of the export.
    Cause: MMPretrain computes the batch size from the number of windows by ``int`` of a float,
    which the exporter records as a constant.
    Applies: within the context, to ``ShiftWindowMSA`` (Swin, Swin V2, DaViT). Integer division
    gives the same number.
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

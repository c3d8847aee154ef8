import functools


def bridge_config_text() -> None:
    """Lay out a config's text once, not for each checkpoint.

    Symptom: each checkpoint of a small model takes 0.2 s, of which its file takes a tenth.
    Cause: MMEngine writes the config into each one, and has yapf lay it out anew.
    Applies: the same text in the same style has the layout of before.
    """
    from mmengine.config import config
    from yapf.yapflib import yapf_api

    for module in (config, yapf_api):  # OneDL's MMEngine imports it where it is used
        stock = getattr(module, 'FormatCode', None)
        if stock is not None:
            module.FormatCode = _cached(stock)


def _cached(lay_out):
    @functools.lru_cache(maxsize=8)
    def cached(text, style, options):
        return lay_out(text, style_config=dict(style), **dict(options))

    def laid_out(text, style_config, **options):
        return cached(text, tuple(style_config.items()), tuple(options.items()))

    return laid_out

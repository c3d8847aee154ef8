def bridge_mmcv_guard() -> None:
    """Let MMRazor be imported beside OneDL's MMCV.

    Symptom: "MMCV==2.3.6 is used but incompatible. Please install mmcv>=2.0.0rc1, <=2.1.0." from
    ``import mmrazor``.
    Cause: MMRazor 1.0 refuses every MMCV that came after it.
    Applies: MMCV 2.3, which was tested, while ``mmrazor`` itself is imported: it reads 2.1.0 then.
    Its submodules, and every other package, read the real version.
    """
    import mmcv
    from packaging.version import Version

    real = mmcv.__version__
    try:
        if Version(real).release[:2] == (2, 3):
            mmcv.__version__ = '2.1.0'
        import mmrazor  # noqa: F401
    finally:
        mmcv.__version__ = real

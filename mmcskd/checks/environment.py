"""The key ``env_cfg`` of a config."""

import difflib
import inspect
import multiprocessing
from typing import Optional

import torch
from mmengine.utils.dl_utils import set_multi_processing

from .part import check_arguments, check_keys, check_value
from .suggest import nearest

# Others may be of a vendor.
BACKENDS = ('nccl', 'gloo', 'mpi', 'ucc', 'hccl', 'cncl', 'mccl')


def check_environment(part: dict) -> None:
    """Processes can be started and find each other."""
    key, processes = 'env_cfg.mp_cfg', part.get('mp_cfg', {})
    check_arguments(set_multi_processing, processes, key)
    methods = multiprocessing.get_all_start_methods()
    method = processes.get('mp_start_method', methods[0])
    if method not in methods:
        raise ValueError(f'{key}.mp_start_method is "{method}". ' + nearest(method, methods))
    key, peers = 'env_cfg.dist_cfg', part.get('dist_cfg', {})
    known = inspect.signature(torch.distributed.init_process_group).parameters
    check_keys(peers, (*known, 'port', 'init_backend'), key)
    check_value(peers.get('backend', ''), str, f'{key}.backend')
    near = difflib.get_close_matches(peers.get('backend', ''), BACKENDS, n=1, cutoff=0.7)
    if near and peers['backend'] not in BACKENDS:
        raise ValueError(f'{key}.backend is "{peers["backend"]}". Nearest: "{near[0]}".')
    timeout = peers.get('timeout')
    check_value(timeout, Optional[float], f'{key}.timeout')
    if timeout is not None and not 0 < timeout < 2**31:
        raise ValueError(f'{key}.timeout is {timeout!r}, expected seconds > 0.')

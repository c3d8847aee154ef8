"""One pass of a model over the splits: probabilities, accuracy."""

import json
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from ..runs.atomic_file import AtomicBackend


@torch.no_grad()
def probabilities(model: Any, dataset: dict, batch_size: int, workers: int = 0) -> dict:
    """A model's answers to all images of a dataset.

    Args:
        model (nn.Module): A classifier of MMPretrain, with its ``data_preprocessor``.
        dataset (dict): The dataset's config, with the pipeline of evaluation.
        batch_size (int): Images at once.
        workers (int): Processes that load images. Defaults to 0: this one.

    Returns:
        dict[str, ndarray]: ``files`` (N,) str, ``labels`` (N,) int64, ``probs`` (N, C) float32.
    """
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    model = model.to(device).eval()
    loader = dict(
        batch_size=batch_size,
        num_workers=workers,
        dataset=dataset,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    files: List[str] = []
    labels, probs = [], []
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        for batch in Runner.build_dataloader(loader):
            for sample in model.val_step(batch):
                files.append(str(sample.get('img_path', len(files))))
                labels.append(int(sample.gt_label))
                probs.append(sample.pred_score.float().cpu().numpy())
    return dict(
        files=np.array(files),
        labels=np.array(labels, dtype=np.int64),
        probs=np.stack(probs).astype(np.float32),
    )


def evaluate(
    model: nn.Module, datasets: Dict[str, dict], loader: dict, folder: Path
) -> Dict[str, Any]:
    """Evaluate a model on the splits and write ``predictions.npz``.

    Args:
        model (nn.Module): As in :func:`probabilities`.
        datasets (dict[str, dict]): split → dataset.
        loader (dict): The config's dataloader: its ``batch_size`` and ``num_workers``.
        folder (Path): Where the file goes.

    Returns:
        dict: split → ``dict(accuracy=…, n=…, correct=…)``, in percent.
    """
    arrays, metrics = {}, {}
    for split, dataset in datasets.items():
        found = probabilities(model, dataset, loader['batch_size'], loader['num_workers'])
        arrays.update({f'{name}_{split}': found[name] for name in found})
        right = int((found['probs'].argmax(1) == found['labels']).sum())
        count = len(found['labels'])
        metrics[split] = dict(accuracy=100 * right / count, n=count, correct=right)
    partial = folder / 'predictions.partial.npz'
    np.savez_compressed(partial, **arrays)
    partial.replace(folder / 'predictions.npz')
    return metrics


def write_json(content: Any, path: Path) -> None:
    """Write a JSON file completely or not at all.

    Args:
        content (Any): Of plain values.
        path (Path): The file.
    """
    AtomicBackend().put_text(json.dumps(content, indent=2, ensure_ascii=False) + '\n', path)

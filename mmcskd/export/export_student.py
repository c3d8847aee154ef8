"""Export of a trained student, for ``tools/export_student.py``."""

import importlib.util
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmengine.config import Config
from torch import Tensor, nn

from ..checks.part import type_name
from ..checks.pipeline import pipeline_size
from ..checks.suggest import nearest
from ..checks.typed import typed
from ..compat import bridge_exported_attention, bridge_window_batch
from ..runs.patch_grid import own_grid
from ..runs.saved_config import config_text
from ..student.find_tokens import bare
from .student_checkpoint import Student, load_student
from .timm_names import timm_call, timm_state

# Suffixes that say a format, and the targets that write it.
FORMATS = {
    '.safetensors': ('safetensors', 'timm'),
    '.onnx': ('onnx',),
    '.xml': ('openvino',),
    **dict.fromkeys(('.pth', '.pt', '.bin'), ('mmpretrain', 'timm', 'backbone')),
}
PACKAGES = dict(
    onnx=('onnx', 'onnxscript'),
    openvino=('onnx', 'onnxscript', 'openvino'),
    safetensors=('safetensors',),
)
WEIGHTS = dict(
    averaged='the moving average (EMA)',
    raw='the raw ones, not averaged',
    only='the only ones in the checkpoint',
)


@typed
def export_student(
    checkpoint: Union[str, Path],
    out: Union[str, Path],
    to: str = 'mmpretrain',
    ema: Optional[bool] = None,
    config: Optional[Union[str, Path]] = None,
    force: bool = False,
) -> List[str]:
    """Write the student of a checkpoint for another library.

    | target | file | loads into |
    |---|---|---|
    | ``'mmpretrain'`` | weights, and the config beside them with the suffix ``.py`` | MMPretrain |
    | ``'backbone'`` | the backbone's weights, no prefix | ``init_cfg=dict(type='Pretrained')`` |
    | ``'timm'`` | timm's names | ``deit_*_distilled_patch16_224``, ``vit_*_patch16_224`` |
    | ``'safetensors'`` | as ``'mmpretrain'`` | the same |
    | ``'onnx'`` | preprocessed images (N, 3, height, width) → logits (N, C), any N | a runtime |
    | ``'openvino'`` | the same in an ``.xml``, the weights beside it in a ``.bin`` | OpenVINO |

    For timm, OUT may end in ``.safetensors`` too, and is then of that format. The metadata of an
    ONNX file say what the images are: ``mean`` and ``std`` of 0 to 255, ``size`` (height, width),
    ``channel_order``, the ``classes``, and the test ``pipeline``, as JSON.

    None of them needs mmcskd. ONNX and OpenVINO give the student's own test score, of all its
    voters. The others give the stock model's score. With ``DeiTClsHead`` and in timm that is the
    average of z_cls and z_dist, as with ``vote=('cls', 'dist')``; with most other heads it is the
    logits of the class token or the pooled feature, as with ``vote='cls'``; the distillation head
    is dropped.

    Args:
        checkpoint (str | Path): File or URL, of any training of a classifier.
        out (str | Path): The file to write.
        to (str): The target. Defaults to ``'mmpretrain'``.
        ema (bool, optional): Whether to export the averaged weights or, with False, the raw ones.
            Defaults to None: the ``state_dict`` of the checkpoint, which has the averaged ones
            after a run with an EMAHook.
        config (str | Path, optional): The training's config file. It is executed, as every config
            is. Defaults to None: the one in the checkpoint, which is read as data.
        force (bool): Overwrite. Defaults to False.

    Returns:
        list[str]: Lines of text: what was written, and notes on it.

    Raises:
        ValueError: For an unknown target, a missing package, an existing file, a checkpoint with
            no such student or weights, or a student that the target does not support.
    """
    if to not in TARGETS:
        raise ValueError(f'--to "{to}" is no target. ' + nearest(to, TARGETS))
    missing = [name for name in PACKAGES.get(to, ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f'--to {to} needs a package: run `pip install {" ".join(missing)}`.')
    out = Path(out)
    if to not in FORMATS.get(out.suffix, (to,)):
        raise ValueError(f'The file "{out}" with --to {to}: its suffix is that of another format.')
    files = [out] + ([out.with_suffix('.py')] if to in ('mmpretrain', 'safetensors') else [])
    if out.suffix == '.py':
        raise ValueError(f'The file "{out}": ".py" is the suffix of configs, take ".pth".')
    for path in files:
        if path.is_dir() or (path.exists() and not force):
            raise ValueError(f'The file "{path}" exists: take another name or add --force.')

    student = load_student(str(checkpoint), ema, None if config is None else str(config))
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = TARGETS[to](student, out)
    return [f'Weights: {WEIGHTS[student.weights]}.', *lines, *(f'Wrote {path}' for path in files)]


def _to_mmpretrain(student: Student, out: Path) -> List[str]:
    meta = dict(student.meta, weights=student.weights, cfg=config_text(student.config))
    config = _write_config(student, out)
    torch.save(dict(state_dict=_stock_state(student), meta=meta), out)
    load = f'mmpretrain.get_model({str(config)!r}, pretrained={str(out)!r})'
    return [_stock_score(student), f'Load: {load}']


def _to_safetensors(student: Student, out: Path) -> List[str]:
    config = _write_config(student, out)
    _save_safetensors(_stock_state(student), student, out)
    read = f'safetensors.torch.load_file({str(out)!r})'
    load = f'mmpretrain.get_model({str(config)!r}).load_state_dict({read})'
    return [_stock_score(student), f'Load: {load}']


def _save_safetensors(state: Dict[str, Tensor], student: Student, out: Path) -> None:
    from safetensors.torch import save

    # The metadata of the format are strings only.
    notes = dict(format='pt', weights=student.weights, meta=json.dumps(student.meta))
    out.write_bytes(save(state, metadata=notes))


def _to_backbone(student: Student, out: Path) -> List[str]:
    backbone: Any = student.model.backbone
    # From which DistilledInitHook interpolates position embeddings.
    grid = own_grid(backbone)
    meta = {} if grid is None else dict(grid=list(grid))
    torch.save(dict(state_dict=_contiguous(backbone.state_dict()), meta=meta), out)
    config = student.config.model.backbone.to_dict()
    config['type'] = f'mmpretrain.{type(backbone).__name__}'
    # Without a `prefix`, MMEngine expects the names of the module itself.
    config['init_cfg'] = dict(type='Pretrained', checkpoint=str(out))
    return [f'Load: backbone={config!r}']


def _to_timm(student: Student, out: Path) -> List[str]:
    call, state = timm_call(student.model), timm_state(_stock_state(student))
    reader = 'torch.load'
    if out.suffix == '.safetensors':
        reader = 'safetensors.torch.load_file'
        _save_safetensors(state, student, out)
    else:
        torch.save(state, out)
    return [_stock_score(student), f'Load: {call}.load_state_dict({reader}({str(out)!r}))']


def _to_onnx(student: Student, out: Path) -> List[str]:
    model = student.model.float()
    # Two images: the exporter treats a batch of one as a constant.
    images = torch.zeros(2, *_image_shape(student))
    options: Dict[str, Any] = dict(input_names=['images'], output_names=['logits'])
    if _has_dynamo_exporter():
        options.update(
            dynamo=True, external_data=False, dynamic_shapes=({0: torch.export.Dim('batch')},)
        )
    else:
        options.update(
            opset_version=17, dynamic_axes=dict(images={0: 'batch'}, logits={0: 'batch'})
        )
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with bridge_window_batch(), bridge_exported_attention(model):
            program = torch.onnx.export(model, (images,), str(out), verbose=False, **options)
            _check_batch(program, model, images, out)
    _describe_input(student, images.shape[-2:], out)
    size = ' × '.join(str(side) for side in images.shape[1:])
    votes = getattr(model, 'vote', None)
    average = f', the average of {", ".join(votes)}' if votes else ''
    return [
        f"Score: the student's own{average}.",
        f'Input: "images", preprocessed, N × {size}; output: "logits", N × C. The metadata of the '
        'file say mean, std, size, channel order and classes.',
        f'Load: onnxruntime.InferenceSession({str(out)!r})',
    ]


def _describe_input(student: Student, size: Tuple[int, ...], out: Path) -> None:
    """Write into an ONNX file what its images must be, as JSON."""
    import onnx

    preprocessor = student.config.get('data_preprocessor') or {}
    dataset = (student.config.get('test_dataloader') or {}).get('dataset') or {}
    pipeline = dataset.get('pipeline') or []
    loading: dict = next((s for s in pipeline if type_name(s) == 'LoadImageFromFile'), {})
    # OpenCV's order, unless the pipeline or the preprocessor changes it.
    rgb = (loading.get('channel_order', 'bgr') == 'rgb') != bool(preprocessor.get('to_rgb', False))
    notes = dict(
        mean=preprocessor.get('mean') or [0.0] * 3,
        std=preprocessor.get('std') or [1.0] * 3,
        size=list(size),
        channel_order='RGB' if rgb else 'BGR',
        classes=list((student.meta.get('dataset_meta') or {}).get('classes') or []),
        pipeline=Config(dict(pipeline=pipeline)).to_dict()['pipeline'],
        weights=student.weights,
    )
    program = onnx.load(str(out))
    onnx.helper.set_model_props(program, {key: json.dumps(notes[key]) for key in notes})
    onnx.save(program, str(out))


def _to_openvino(student: Student, out: Path) -> List[str]:
    import openvino

    if out.suffix != '.xml':
        raise ValueError(f'The file "{out}": OpenVINO reads a ".xml", take that suffix.')
    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder) / 'student.onnx'
        lines = _to_onnx(student, onnx)
        openvino.save_model(openvino.convert_model(onnx), out, compress_to_fp16=False)
    return lines


def _check_batch(program, model: nn.Module, images: Tensor, out: Path) -> None:
    """Check the exported graph against the student, with another batch size."""
    captured = getattr(program, 'exported_program', None)
    if captured is None:  # of the exporter of torch < 2.6
        return
    three = torch.randn(3, *images.shape[1:])
    answer, expected = captured.module()(three), model(three)
    if isinstance(answer, (tuple, list)):
        answer = answer[0]
    if not torch.allclose(answer, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())):
        out.unlink()
        raise ValueError(
            f'{type(model.backbone).__name__} ties what it computes to the size of the batch, '
            'which an exported graph cannot follow. Export the student --to mmpretrain.'
        )


def _image_shape(student: Student) -> Tuple[int, int, int]:
    """(channels, height, width) of the images: the backbone's own, or that of its test pipeline."""
    backbone = bare(student.model.backbone)
    convolution = next(part for part in backbone.modules() if isinstance(part, nn.Conv2d))
    size = getattr(backbone, 'img_size', None)
    if size is None:
        pipeline = student.config.get('test_dataloader', {}).get('dataset', {}).get('pipeline', [])
        size = pipeline_size(pipeline)
    if size is None:
        raise ValueError(
            f'--to onnx: neither {type(backbone).__name__} nor a test pipeline says how large the '
            'images are: give a config with a "CenterCrop" in its test pipeline with --config.'
        )
    size = (size, size) if isinstance(size, int) else tuple(size)
    return (convolution.in_channels, *size)


def _has_dynamo_exporter() -> bool:
    from packaging.version import Version

    return Version(torch.__version__).release >= (2, 6)


def _write_config(student: Student, out: Path) -> Path:
    path = out.with_suffix('.py')
    title = '# Stock MMPretrain config of an exported student; its weights lie beside it.\n'
    path.write_text(title + config_text(student.config), encoding='utf-8')
    return path


def _contiguous(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    return {name: value.detach().contiguous() for name, value in state.items()}


def _stock_state(student: Student) -> Dict[str, Tensor]:
    """The weights of the stock model, without an added distillation head."""
    state = _contiguous(student.model.state_dict())
    return {k: v for k, v in state.items() if not k.startswith('head_dist.')}


def _stock_score(student: Student) -> str:
    vote = getattr(student.model, 'vote', None)
    stock = getattr(student.model, 'stock_vote', ())
    if vote is None or set(vote) == set(stock):
        return "Score: the stock logits, as the student's own."
    return (
        f"Score: the stock logits only, as with vote={stock}. The student's own also averages "
        f'others: it has vote={vote}. Its accuracy was measured with those.'
    )


TARGETS = dict(
    mmpretrain=_to_mmpretrain,
    backbone=_to_backbone,
    timm=_to_timm,
    safetensors=_to_safetensors,
    onnx=_to_onnx,
    openvino=_to_openvino,
)

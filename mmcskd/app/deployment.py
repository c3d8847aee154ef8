"""What a run's models cost on this machine, and its student for other runtimes."""

import functools
import importlib.util
import platform
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import mmpretrain
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from ..export.export_student import export_student
from ..export.timm_names import timm_call
from .evaluation import write_json
from .launch import build_student
from .run import STEPS, Run

SUFFIXES = dict(onnx='.onnx', openvino='.xml', safetensors='.safetensors')
RUNTIMES = dict(
    onnx=('onnx', 'onnxscript', 'onnxruntime'),
    openvino=('onnx', 'onnxscript', 'openvino'),
    timm=('timm',),
)
BATCHES = (1, 32)
SECONDS = 1.0  # for each measure
TOLERANCE = 1e-2  # of the largest logit
Answer = Callable[[np.ndarray], np.ndarray]


def measure_deployment(out: Path) -> Path:
    """Measure the models of a run: parameters, FLOPs, latency of batches of 1 and of 32.

    Args:
        out (Path): OUT of ``mmcskd distill``. ``student.onnx`` and ``student.int8.onnx`` in it are
            measured too.

    Returns:
        Path: ``deployment.json``. One multiplication and one addition are two FLOPs; a latency is
        the median time of a forward pass in milliseconds, with the threads that torch uses.
    """
    run, measured = Run(out), {}
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    for step in [step for step in STEPS if step in run.metrics]:
        cfg, model = open_step(run, step)
        images = next(val_images(cfg, model))[:1]
        measured[step] = dict(
            params=sum(weight.numel() for weight in model.parameters()),
            flops=flops(model, images),
            latency_ms=_latencies(model.to(device), images.to(device)),
        )
        if step == 'student':
            for key, file in dict(onnx='student.onnx', int8='student.int8.onnx').items():
                if (run.out / file).is_file():
                    measured[key] = dict(
                        latency_ms=_latencies(onnx_answer(run.out / file), images.numpy())
                    )
    path = run.out / 'deployment.json'
    write_json(dict(measured, machine=machine(device)), path)
    return path


def export_run(
    out: Path, to: str = 'onnx', file: Optional[Path] = None, force: bool = False
) -> List[str]:
    """Write the student of a run for another library and check that both sides answer alike.

    Args:
        out (Path): OUT of ``mmcskd distill``.
        to (str): A target of :func:`mmcskd.export.export_student.export_student`. ``'onnx'`` is
            also written with 8-bit weights, whose accuracy on val is measured. Defaults to
            ``'onnx'``.
        file (Path, optional): Defaults to ``student`` in OUT, with the target's suffix.
        force (bool): Overwrite. Defaults to False.

    Returns:
        list[str]: Lines of text. Of ONNX also ``export.json`` in OUT.

    Raises:
        ValueError: As ``export_student`` does, for a package that is not installed, or if the file
            answers otherwise than the student.
    """
    check_target(to)
    run = Run(out)
    path = Path(file or run.out / f'student{SUFFIXES.get(to, ".pth")}')
    config, checkpoint = step_files(run, 'student')
    lines = export_student(checkpoint, path, to, config=config, force=force)
    if to == 'backbone':  # it has no answer
        return lines
    cfg, model = open_step(run, 'student')
    images = next(val_images(cfg, model)).numpy()
    own = _answers_of(model)(images)
    found = _written(to, path, model)(images)
    if to not in ('onnx', 'openvino') and hasattr(model, 'vote'):
        model.vote = model.stock_vote  # what the other libraries compute
    expected = _answers_of(model)(images)
    apart = float(np.abs(found - expected).max())
    if apart > TOLERANCE * np.abs(expected).max():
        raise ValueError(
            f'--to {to}: {path} answers otherwise than the student, by up to {apart:.2g} in a '
            'logit. Please report this with the config of the student.'
        )
    same = float((found.argmax(1) == own.argmax(1)).mean())
    lines.append(
        f'Check on {len(images)} pictures of val: logits as expected, within {apart:.1g}; '
        f"{100 * same:.1f} % of the answers are the student's own."
    )
    if to == 'onnx':
        int8 = _quantised(run, path, val_images(cfg, model))
        content = dict(file=_named(run, path), max_difference=apart, agreement=same, int8=int8)
        write_json(content, run.out / 'export.json')
        lines.append(
            'With 8-bit weights, {file}: accuracy on val {accuracy_val:.1f} % instead of '
            '{accuracy_val_float:.1f} %.'.format(**int8)
        )
    return lines


def check_target(to: str, option: str = '--to') -> None:
    """Refuse a target whose runtime is not installed, before work is lost.

    Args:
        to (str): The target.
        option (str): That which names it, for the message. Defaults to ``'--to'``.

    Raises:
        ValueError: With the command that installs it.
    """
    missing = [name for name in RUNTIMES.get(to, ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f'{option} {to} needs a package: run `pip install {" ".join(missing)}`.')


def step_files(run: Run, step: str) -> Tuple[Path, Path]:
    """Config and checkpoint of a step, which its metrics name: absolute, or from its folder.

    Args:
        run (Run): The run.
        step (str): ``'teacher'``, ``'student'`` or ``'baseline'``.
    """
    metrics, folder = run.metrics[step], run.out / step
    return folder / metrics['config'], folder / metrics['checkpoint']


def open_step(run: Run, step: str) -> Tuple[Config, Any]:
    """Config and model of a step; the model with its weights, for evaluation.

    Args:
        run (Run): The run.
        step (str): ``'teacher'``, ``'student'`` or ``'baseline'``.
    """
    config, checkpoint = step_files(run, step)
    cfg = Config.fromfile(str(config))
    return cfg, build_student(cfg, str(checkpoint)).eval()


def val_images(cfg: Config, model: Any) -> Iterator[Tensor]:
    """Batches of val as a step's model gets them: (N, 3, height, width), preprocessed.

    Args:
        cfg (mmengine.Config): From :func:`open_step`.
        model (nn.Module): The same.
    """
    loader = dict(
        batch_size=cfg.val_dataloader.batch_size,
        num_workers=0,
        dataset=cfg.val_dataloader.dataset,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        for batch in Runner.build_dataloader(loader):
            yield model.data_preprocessor(batch, training=False)['inputs']


def flops(model: nn.Module, images: Tensor) -> Optional[int]:
    """Floating point operations of a forward pass.

    Args:
        model (nn.Module): A classifier.
        images (Tensor): Its batch, of one image.

    Returns:
        int | None: None for torch < 2.3, which cannot count those of attention.
    """
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.utils.flop_counter import FlopCounterMode
    except ImportError:
        return None
    # The fused kernels of attention, and with no gradients of whole layers, are not counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(images)
    return int(counter.get_total_flops())


def onnx_answer(path: Path) -> Answer:
    """A function from images to logits, by onnxruntime with as many threads as torch uses.

    Args:
        path (Path): An ONNX file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    return lambda images: session.run(None, {'images': images})[0]


def machine(device: torch.device) -> str:
    """What the measures were taken on.

    Args:
        device (torch.device): Of the checkpoints.
    """
    name = platform.processor() or platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding='utf-8').splitlines():
            if line.startswith('model name'):
                name = line.partition(':')[2].strip()
                break
    threads = torch.get_num_threads()
    cpu = f'{name}, {threads} thread{"s" if threads > 1 else ""}'
    return f'{torch.cuda.get_device_name(device)} (ONNX: {cpu})' if device.type == 'cuda' else cpu


def _latencies(answer: Callable, one: Any) -> Dict[str, float]:
    found = {}
    for size in BATCHES:
        images = (
            np.repeat(one, size, 0) if isinstance(one, np.ndarray) else one.repeat(size, 1, 1, 1)
        )
        with torch.inference_mode():
            timer = Timer(
                'answer(images)',
                globals=dict(answer=answer, images=images),
                num_threads=torch.get_num_threads(),
            )
            found[str(size)] = 1000 * timer.blocked_autorange(min_run_time=SECONDS).median
    return found


def _quantised(run: Run, path: Path, batches: Iterator[Tensor]) -> Dict[str, Any]:
    """Write the ONNX file with 8-bit weights and evaluate both on val."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = path.with_name(f'{path.stem}.int8.onnx')
    # Convolutions stay: they have no 8-bit kernel for dynamic ranges on every CPU.
    quantize_dynamic(
        str(path), str(small), op_types_to_quantize=['MatMul', 'Gemm'], per_channel=True,
        weight_type=QuantType.QInt8,
    )  # fmt: skip
    with np.load(run.out / 'student' / 'predictions.npz') as stored:
        labels = stored['labels_val']
    answers: Dict[Path, Answer] = {file: onnx_answer(file) for file in (path, small)}
    right = dict.fromkeys(answers, 0)
    seen = 0
    for images in batches:
        wanted = labels[seen : seen + len(images)]
        for file, answer in answers.items():
            right[file] += int((answer(images.numpy()).argmax(1) == wanted).sum())
        seen += len(images)
    return dict(
        file=_named(run, small),
        accuracy_val=100 * right[small] / seen,
        accuracy_val_float=100 * right[path] / seen,
    )


def _named(run: Run, path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(run.out) if run.out in path.parents else path)


def _answers_of(model: Any) -> Answer:
    @torch.no_grad()
    def answer(images: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(images)).numpy()

    return answer


def _written(to: str, path: Path, student: nn.Module) -> Answer:
    """What a written file answers in its own library."""
    if to == 'onnx':
        return onnx_answer(path)
    if to == 'openvino':
        import openvino

        compiled = openvino.Core().compile_model(
            str(path), 'CPU', dict(INFERENCE_PRECISION_HINT='f32')
        )
        return lambda images: compiled([images])[0]
    if to == 'timm':
        import timm

        # Source text of export/timm_names.py, of classes of timm and numbers.
        names = dict(timm=timm, torch=torch, functools=functools)
        model = eval(timm_call(student), names)
        model.load_state_dict(torch.load(path, weights_only=True))
    else:
        model = mmpretrain.get_model(str(path.with_suffix('.py')), pretrained=False)
        if to == 'safetensors':
            from safetensors.torch import load_file

            model.load_state_dict(load_file(path))
        else:
            model.load_state_dict(torch.load(path, weights_only=True)['state_dict'])
    return _answers_of(model.eval())

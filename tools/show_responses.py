"""Draw the responses of teacher and student at each location of photographs, and their target.

For each photograph a PNG with the class of each location as an overlay, and one HTML page for all.
"""

import argparse
import html
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from mmengine.config import Config, DictAction
from tqdm import tqdm

import mmcskd  # noqa: F401, registers everything
from mmcskd.app.launch import add_trust, build_student, build_teacher
from mmcskd.runs.safe_loading import trust_checkpoints
from mmcskd.visualization.responses import ResponseReader

LEGEND = 6
OTHER = (0.6, 0.6, 0.6)


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='training config that distils')
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='image files')
    parser.add_argument('--checkpoint', help='of the student; default: the teacher alone')
    parser.add_argument(
        '--out', default='work_dirs/responses', help='folder to write; default: work_dirs/responses'
    )
    parser.add_argument(
        '--fusion-weights',
        nargs='+',
        type=float,
        default=[0.75, 0.5, 0.25],
        metavar='LAMBDA',
        help='each in [0, 1], at which the fused target is drawn; default: 0.75 0.5 0.25',
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='as in tools/train.py')
    add_trust(parser)
    return parser.parse_args(arguments)


def panels(responses, weights):
    """Title and class map (H, W) of each picture in a row."""
    found = {'teacher, each location (λ = 1)': responses.spatial_response}
    for weight in weights:
        found[f'target, λ = {weight:g}'] = responses.fused(weight)
    if responses.student_response is not None:
        found['student, each location'] = responses.student_response
    return {title: response.argmax(dim=0).cpu().numpy() for title, response in found.items()}


def draw(responses, weights, path):
    """Write the picture of one photograph.

    Args:
        responses (Responses): From :class:`~mmcskd.visualization.responses.ResponseReader`.
        weights (list[float]): Fusion weights of the target.
        path (Path): PNG to write.
    """
    maps = panels(responses, weights)
    counts = Counter(int(c) for classes in maps.values() for c in classes.flat)
    whole = int(responses.global_response.argmax())
    shown = [whole] + [c for c, _ in counts.most_common() if c != whole]
    colors = {c: plt.get_cmap('tab10')(i)[:3] for i, c in enumerate(shown[:LEGEND])}
    height, width = responses.image.shape[:2]
    figure, axes = plt.subplots(
        1, len(maps) + 1, figsize=(2.4 * (len(maps) + 1), 2.4 * height / width + 0.9),
        layout='constrained',
    )  # fmt: skip
    axes[0].imshow(responses.image)
    axes[0].set_title(f'photograph\n(global response: {responses.names[whole]})', fontsize=8)
    for axis, (title, classes) in zip(axes[1:], maps.items()):
        overlay = np.array([[colors.get(int(c), OTHER) for c in row] for row in classes])
        axis.imshow(responses.image)
        axis.imshow(overlay, alpha=0.55, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
        share = (classes == whole).mean()
        axis.set_title(f'{title}\n{share:.0%} {responses.names[whole]}', fontsize=8)
    for axis in axes:
        axis.axis('off')
    handles = [Patch(color=color, label=responses.names[c]) for c, color in colors.items()]
    if len(shown) > LEGEND:
        handles.append(Patch(color=OTHER, label=f'{len(shown) - LEGEND} other classes'))
    figure.legend(handles=handles, loc='outside lower center', ncols=len(handles), fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def page(entries, config):
    """The HTML page.

    Args:
        entries (list[tuple]): Photograph, PNG and responses of each.
        config (str): Named in the title.

    Returns:
        str: HTML.
    """
    parts = [
        '<!doctype html><meta charset="utf-8">',
        f'<title>Responses of {html.escape(config)}</title>',
        '<style>body{font-family:sans-serif;margin:2em}img{max-width:100%}</style>',
        f'<h1>Responses of {html.escape(config)}</h1>',
        '<p>Each colour is the class with the highest response at that location. The target is '
        't = λ·d + (1 − λ)·g of the spatial responses d and the global response g.</p>',
    ]
    for photograph, png, responses in entries:
        probabilities = responses.global_response.softmax(0)
        top = probabilities.topk(min(3, len(probabilities)))
        answer = ', '.join(
            f'{html.escape(responses.names[int(i)])} {float(p):.0%}'
            for p, i in zip(top.values, top.indices)
        )
        parts += [
            f'<h2>{html.escape(photograph)}</h2>',
            f'<p>Global response of the teacher: {answer}</p>',
            f'<img src="{html.escape(png)}" alt="Responses to {html.escape(photograph)}">',
        ]
    return '\n'.join(parts) + '\n'


def main(arguments=None):
    args = parse_args(arguments)
    for weight in args.fusion_weights:
        if not 0 <= weight <= 1:
            raise ValueError(f'--fusion-weights: {weight} is not in [0, 1].')
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    trust_checkpoints([*cfg.get('trusted_checkpoints', []), *args.trust])
    student = build_student(cfg, args.checkpoint) if args.checkpoint else None
    reader = ResponseReader(cfg, build_teacher(cfg), student)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    entries = []
    for index, path in enumerate(tqdm(args.images, desc='photographs')):
        responses = reader(path)
        png = f'{index:03d}_{Path(path).stem}.png'
        draw(responses, args.fusion_weights, out / png)
        entries.append((Path(path).name, png, responses))
    (out / 'index.html').write_text(page(entries, Path(args.config).name), encoding='utf-8')
    print(f'Wrote {len(entries)} pictures and {out / "index.html"}')


if __name__ == '__main__':
    main()

"""The model card of a run, in the form of Hugging Face's hub."""

import html
from typing import Any, Dict

import yaml
from jinja2 import Environment, PackageLoader

from .results import MODELS, Results
from .statistics import accuracy, compare


def card_text(results: Results) -> str:
    """The model card.

    Args:
        results (Results): Of the run.

    Returns:
        str: Markdown with front matter. Names from the data are text in it, never markup.
    """
    page = Environment(
        loader=PackageLoader('mmcskd.app.report', ''),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters['text'] = _text
    predictions = results.predictions[results.split]
    context = dict(
        front_matter=yaml.safe_dump(_front_matter(results), allow_unicode=True, sort_keys=False),
        results=results,
        models={name: title for name, title in MODELS.items() if name in predictions},
        shares={name: accuracy(each.right) for name, each in predictions.items()},
        pictures=len(predictions['student'].labels),
        against={
            name: compare(predictions['student'].right, predictions[name].right)
            for name in predictions
            if name != 'student'
        },
        files=sorted(path.name for path in results.out.glob('student.*') if path.is_file()),
    )
    return page.get_template('card.md.jinja').render(context)


def _front_matter(results: Results) -> Dict[str, Any]:
    right = results.predictions[results.split]['student'].right
    name = str(results.metrics['student'].get('name', 'student'))
    dataset = dict(name=results.out.resolve().name, type='imagefolder', split=results.split)
    return {
        # Whose pictures and weights they are, the owner alone knows.
        'license': 'other',
        'license_name': 'to-be-chosen-by-the-owner',
        'library_name': 'mmcskd',
        'pipeline_tag': 'image-classification',
        'tags': ['image-classification', 'vision-transformer', 'knowledge-distillation', 'onnx'],
        'metrics': ['accuracy'],
        'model-index': [
            dict(
                name=name,
                results=[
                    dict(
                        task=dict(type='image-classification'),
                        dataset=dataset,
                        metrics=[
                            dict(type='accuracy', value=round(float(right.mean()), 4)),
                        ],
                    )
                ],
            )
        ],
    }


def _text(value: object) -> str:
    """Plain text that Markdown and HTML leave as it is, also in a cell of a table."""
    found = html.escape(' '.join(str(value).split()), quote=False)
    return ''.join(f'\\{sign}' if sign in '\\`*_[]|#~$' else sign for sign in found)

"""Draw the figures and write the tables of docs/evidence*.md and README.md."""

import argparse
import sys
from pathlib import Path

import pandas as pd
from arms import ANSWER, ARMS, PORTRAYED, REFERENCE, ROOT, SETTINGS, TEACHER, TWO_TEACHERS
from figures import IMAGES, draw_distances, draw_lead, draw_robustness, draw_sizes
from learnt import KINDS
from results import SEEDS, VERSIONS, Results

sys.path.append(str(ROOT / '.dev_scripts'))

from page import replace, table
from paired import difference, interval, summary

MAIN = ('fashion', 'long')  # the settings of the README's table and of the figure, once complete
# What is written where.
PAGES = {
    'evidence.md': ('answer', 'figure', 'run', 'ckf', 'sizes', 'learnt', 'portraits'),
    'evidence_tables.md': ('accuracy', 'claims', 'tuning', 'heads', 'fusion'),
}
LABELS = {name: arm.label for name, arm in ARMS.items()}
HEADS = dict(
    cls='class token', dist='distillation token', patch='patches', average='average of the three'
)
FEW = {per_class: f'fashion_{per_class}' for per_class in (10, 50, 200)}
# By the loss, an arm with CKF and the same without.
CKF = dict(hard=('cskd_linear', 'cskd_local'), soft=('cskd_soft', 'cskd_local_soft'))
VERDICTS = dict(above='yes', below='no, below', open='open: the interval holds zero')
# Claims of the method, then of what is beyond it: an arm, what it should be above, and after which
# share of the epochs.
CLAIMS = (
    ('cskd_linear', 'deit_hard cskd_local cskd_global fitnet none', 1),
    ('cskd_local', 'deit_hard cskd_global none', 1),
    ('cskd_cos', 'deit_hard cskd_local', 1),
    ('cskd_soft', 'deit_hard deit_soft cskd_linear cskd_heavy', 1),
    ('cskd_heavy', 'cskd_linear', 1),
    ('cskd_soft', 'cskd_local_soft fitnet', 1),
    ('cskd_local_soft', 'deit_hard deit_soft cskd_local', 1),
    ('cskd_linear', 'vkd rsd dist kl dkd', 1),
    ('cskd_with_features', 'cskd_linear vkd rsd dist kl dkd fitnet deit_hard cskd_local_soft', 1),
    ('cskd_everywhere', 'cskd_linear vkd rsd dist fitnet cskd_local_soft cskd_unlabelled', 1),
    ('cskd_features', 'cskd_everywhere', 1),
    ('cskd_soft_top5', 'cskd_soft', 1),
    ('cskd_soft_top10', 'cskd_soft', 1),
    ('cskd_linear', 'deit_hard none', 0.5),
    ('cskd_linear', 'none', 0.25),
    ('cskd_linear', 'none', 0.1),
    ('cskd_soft', 'none', 0.25),
    ('cskd_soft', 'none', 0.1),
    ('cskd_agreement', 'cskd_linear', 1),
    ('cskd_confidence', 'cskd_linear', 1),
    ('cskd_mixture', 'cskd_linear', 1),
    ('cskd_teachers', 'cskd_linear', 1),
)


def main_table(results, setting):
    """Accuracy of each arm, and its difference to the reference."""
    rows = [['the teacher', 1, score, '', '', ''] for score in results.teacher(setting)]
    reference = results.scores(setting, REFERENCE)
    for arm, label in LABELS.items():
        scores = results.scores(setting, arm)
        if scores.empty:
            continue
        above = '' if arm == REFERENCE else difference(scores, reference) or ''
        agreement = results.scores(setting, arm, 'agreement')
        options = results.of('runs', setting, arm).options.iloc[0] or 'not tuned'
        rows.append([label, len(scores), summary(scores), above, summary(agreement), options])
    minus = f'minus {LABELS[REFERENCE]}'
    return table([setting, 'seeds', 'accuracy, %', minus, 'agreement, %', 'tuned'], rows)


def brief_table(results, settings):
    """For the README: accuracy of arms with all seeds, and the answer's lead over each."""
    teachers = [results.teacher(setting) or [''] for setting in settings]
    rows = [['the teacher', *(cell for scores in teachers for cell in (scores[0], ''))]]
    leads = {setting: results.lead(setting) for setting in settings}
    for name, arm in ARMS.items():
        if name == ANSWER or arm.brief and any(name in lead for lead in leads.values()):
            cells = [
                (summary(results.scores(setting, name)), lead.get(name, ''))
                if name == ANSWER or name in lead
                else ('–', '')
                for setting, lead in leads.items()
            ]
            rows.append([arm.label, *(cell for pair in cells for cell in pair)])
    columns = [(IMAGES[setting], f'{LABELS[ANSWER]} minus it') for setting in settings]
    return table(['', *(column for pair in columns for column in pair)], rows)


def heads_table(results, setting):
    """Accuracy of each head alone and of their average."""
    rows = [
        [label, *(summary(results.scores(setting, arm, measure)) for measure in HEADS)]
        for arm, label in LABELS.items()
        if len(results.scores(setting, arm))
    ]
    return table([setting, *HEADS.values()], rows)


def fusion_table(results):
    """How right the teacher's fused response is at its places."""
    found = results.tables['fused'].pivot(
        index=['setting', 'mixed'], columns='fusion_weight', values='accuracy'
    )
    weights = sorted(found.columns, reverse=True)
    ends = {1.0: ', spatial', 0.0: ', global'}
    heads = [f'λ = {weight:g}{ends.get(weight, "")}' for weight in weights]
    kinds = ('whole', 'cut and mixed')
    rows = [
        [f'{setting}, {kind}', *(f'{found.at[(setting, mixed), weight]:.1f}' for weight in weights)]
        for setting in SETTINGS
        for mixed, kind in enumerate(kinds)
        if (setting, mixed) in found.index
    ]
    return table(['', *heads], rows) if rows else ''


def claims_table(results):
    """Which differences the data settle."""
    rows = []
    for setting in results.settings():
        for name, other, share in ((a, b, at) for a, others, at in CLAIMS for b in others.split()):
            scores, when = results.at(setting, name, share)
            found = difference(scores, results.at(setting, other, share)[0])
            if found is not None:
                claim = f'{LABELS[name]} above {LABELS[other]} {when}'
                verdict = 'a single seed' if found.half is None else VERDICTS[found.verdict]
                rows.append([setting, claim, found, found.seeds, verdict])
    return table(['setting', '', 'difference, points', 'seeds', ''], rows)


def learnt_table(results):
    """Robustness, calibration, agreement and attention of each arm."""
    rows, measures = [], sorted(set(results.tables['learnt'].measure))
    for arm, label in LABELS.items():
        found = {measure: results.learnt(arm, measure) for measure in measures}
        if any(map(len, found.values())):
            cells = [summary(one.mean(axis=1)) for one in found.values()]
            rows.append([label, len(found[measures[0]]), *cells])
    return table(['', 'seeds', *measures], rows) if rows else ''


def portraits(results, images):
    """Draw what students learnt; the figures as Markdown."""
    arms = [arm for arm in PORTRAYED if len(results.learnt(arm, 'distance'))]
    if not arms:
        return ''
    robust = {
        kind: {arm: interval(results.learnt(arm, kind).mean(axis=1)) for arm in arms}
        for kind in KINDS
    }
    far = {arm: list(results.learnt(arm, 'distance').mean()) for arm in arms}
    draw_robustness(robust, images / 'robustness.png')
    draw_distances(far, images / 'attention_distance.png')
    return (
        f'{picture("Accuracy on corrupted images", images / "robustness.png")}\n\n'
        f'{picture("How far each layer looks", images / "attention_distance.png")}'
    )


def sizes_section(results, images):
    """Accuracy by the number of images to learn from: a figure and a table, as Markdown."""
    every = {
        arm: {number: results.scores(setting, arm) for number, setting in FEW.items()}
        for arm in PORTRAYED
    }
    found = {arm: sizes for arm, sizes in every.items() if all(map(len, sizes.values()))}
    if not found:
        return ''
    drawn = {
        arm: {number: interval(scores) for number, scores in sizes.items()}
        for arm, sizes in found.items()
    }
    path = images / 'few_images.png'
    draw_sizes(drawn, path)
    rows = [[LABELS[arm], *map(summary, sizes.values())] for arm, sizes in found.items()]
    *others, ours = found
    for arm in others:
        above = (difference(found[ours][number], found[arm][number]) for number in FEW)
        rows.append([f'{LABELS[ours]} minus {LABELS[arm]}', *above])
    told = picture('Accuracy by the number of images to learn from', path)
    return f'{told}\n\n{table(["images of a class", *FEW], rows)}'


def ckf_table(results):
    """What CKF brings: each arm that has it minus the same without, by setting and loss."""
    rows = []
    for setting in results.settings():
        found = [
            difference(*(results.scores(setting, arm) for arm in pair)) for pair in CKF.values()
        ]
        if any(found):
            cells = [(one, one.seeds) if one else ('–', '') for one in found]
            rows.append([setting, *(cell for pair in cells for cell in pair)])
    columns = [(f'{loss} loss', 'seeds') for loss in CKF]
    return table(['CKF minus none', *(name for pair in columns for name in pair)], rows)


def tuning_table(results, setting):
    """All that was tried, on the validation split with one seed; what the arm ran with is bold."""
    rows = []
    for arm, label in LABELS.items():
        ran = set(results.of('runs', setting, arm).options)
        tried = results.of('tuning', setting, arm)
        cells = [
            f'**{options}: {score:.1f}**' if options in ran else f'{options}: {score:.1f}'
            for options, score in zip(tried.options, tried.score)
        ]
        rows += [[label, ', '.join(cells)]] if cells else []
    return table([setting, 'tried: accuracy on the validation split, %'], rows) if rows else ''


def what_is_missing(results):
    """Which arms have fewer than all seeds, and which are not tuned."""
    missing, untuned = [], []
    for setting, compared in SETTINGS.items():
        lacking = [
            LABELS[arm] for arm in compared.arms if len(results.scores(setting, arm)) < SEEDS
        ]
        if lacking:
            which = ', '.join(lacking) if len(lacking) < len(compared.arms) else 'all'
            missing.append(f'in the {setting} setting {which}')
        options = {arm: set(results.of('runs', setting, arm).options) for arm in LABELS}
        first = [LABELS[arm] for arm, found in options.items() if '' in found]
        if first:
            untuned.append(f'in the {setting} setting {", ".join(first)}')
    text = f'Not run with {SEEDS} seeds: {"; ".join(missing) or "nothing"}.'
    if untuned:
        text += f' A first look, not tuned, all by one learning rate: {"; ".join(untuned)}.'
    return text


def provenance(results):
    """What it cost, versions, and whether the teacher was the same throughout."""
    rows = pd.concat([results.runs, results.tables['tuning']])
    versions = [f'{column} {", ".join(sorted(set(rows[column])))}' for column in VERSIONS]
    text = (
        f'{len(rows)} runs, with tuning, took {rows.seconds.sum() / 3600:.1f} hours of one core; '
        f'{", ".join(versions)}.'
    )
    second = (rows.arm == TWO_TEACHERS) | ((rows.arm == TEACHER) & (rows.seed == 1))
    for setting, teachers in rows[~second].groupby('setting').teacher.nunique().items():
        if teachers > 1:
            text += f' The {setting} setting had {teachers} teachers, trained alike.'
    return text


def sections_of(results, images):
    """What the pages say, by the name of the section; figures are drawn into a folder."""
    sections = dict.fromkeys([name for names in PAGES.values() for name in names], '')
    sections['run'] = what_is_missing(results)
    settings = results.settings()
    if not settings:
        return sections
    sections['run'] += ' ' + provenance(results)
    sections['claims'] = claims_table(results)
    sections['ckf'] = ckf_table(results)
    sections['fusion'] = fusion_table(results)
    sections['learnt'] = learnt_table(results)
    sections['portraits'] = portraits(results, images)
    sections['sizes'] = sizes_section(results, images)
    for name, written in dict(accuracy=main_table, tuning=tuning_table, heads=heads_table).items():
        texts = [written(results, setting) for setting in settings]
        sections[name] = '\n\n'.join(filter(None, texts))
    shown = [setting for setting in MAIN if results.lead(setting)]
    if shown:
        path = images / 'evidence.png'
        draw_lead({setting: results.lead(setting) for setting in shown}, path)
        told = f'{LABELS[ANSWER]} minus each other way to distil, with 95 % intervals'
        sections['figure'] = picture(told, path)
        sections['answer'] = brief_table(results, shown)
    return sections


def picture(told, path):
    """As pages of docs/ show it."""
    return f'![{told}]({path.parent.name}/{path.name})'


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    docs = ROOT / 'docs'
    parser.add_argument(
        '--results', type=Path, default=docs / 'evidence', help='folder of the CSV files'
    )
    parser.add_argument('--docs', type=Path, default=docs, help='folder of pages and images')
    parser.add_argument('--readme', type=Path, default=ROOT / 'README.md')
    args = parser.parse_args(argv)
    sections = sections_of(Results(args.results), args.docs / 'images')
    for page, names in PAGES.items():
        for name in names:
            replace(args.docs / page, name, sections[name] or 'Nothing yet.')
    replace(args.readme, 'evidence', sections['answer'] or 'Nothing yet.')
    print(f'Wrote {", ".join(PAGES)} and their images into {args.docs}, and {args.readme}.')


if __name__ == '__main__':
    main()

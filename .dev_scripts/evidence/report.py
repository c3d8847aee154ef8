"""Draw the figure and write the tables of docs/evidence.md and README.md."""

import argparse
import os
import sys
from pathlib import Path

import pandas as pd
from arms import ARMS, REFERENCE, ROOT, SETTINGS, TEACHER, TWO_TEACHERS, taught_in
from figures import draw_differences, draw_distances, draw_robustness
from learnt import KINDS
from results import TABLES, VERSIONS, Table

sys.path.append(str(ROOT / '.dev_scripts'))

from page import replace, table
from paired import difference, interval, summary

SEEDS = 5  # of a whole comparison
MAIN = ('fashion', 'long')  # the settings of the README's table and of the figure, once complete
LABELS = {name: arm.label for name, arm in ARMS.items()}
HEADS = dict(
    cls='class token', dist='distillation token', patch='patches', average='average of the three'
)
# In the figures of what was learnt.
PORTRAYED = ('deit_hard', 'vkd', 'cskd_linear', 'cskd_everywhere')
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
    ('cskd_local_soft', 'vkd rsd dist kl dkd', 1),
    ('cskd_everywhere', 'cskd_local_soft cskd_linear vkd rsd dist', 1),
    ('cskd_features', 'cskd_local_soft cskd_linear vkd rsd dist', 1),
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


class Results:
    """What is written down.

    Args:
        folder (Path): Of the CSV files.

    Raises:
        ValueError: If rows that are to be averaged come from different configs.
    """

    def __init__(self, folder: Path) -> None:
        self.tables = {name: Table(folder, name).read() for name in TABLES}
        self.runs = self.tables['runs']
        students = self.runs[self.runs.arm != TEACHER]
        for (setting, arm), found in students.groupby(['setting', 'arm']):
            configs = found.config.nunique()
            if configs > 1:
                raise ValueError(
                    f'{folder}/runs.csv holds runs of {configs} configs of the arm {arm} in the '
                    f'{setting} setting: bring them all up to date with '
                    '.dev_scripts/evidence/run.py.'
                )

    def of(self, name: str, setting: str, arm: str) -> pd.DataFrame:
        """Rows of a table."""
        found = self.tables[name]
        return found[(found.setting == setting) & (found.arm == arm)]

    def settings(self) -> list:
        """Settings in which anything was run."""
        found = {setting for table in self.tables.values() for setting in table.setting}
        return [setting for setting in SETTINGS if setting in found]

    def teacher(self, setting: str) -> list:
        """The accuracy of a setting's teacher: one, or none."""
        found = self.of('runs', taught_in(setting), TEACHER)
        return [f'{score:.1f}' for score in found[found.seed == 0].score]

    def scores(self, setting: str, arm: str, measure: str = 'score') -> pd.Series:
        """Of the test split at the end, by seed; without what was not measured."""
        return self.of('runs', setting, arm).set_index('seed')[measure].dropna()

    def curve(self, setting: str, arm: str) -> pd.DataFrame:
        """Of the validation split: a row for each epoch, a column for each seed."""
        return self.of('curves', setting, arm).pivot(index='epoch', columns='seed', values='score')

    def at(self, setting: str, arm: str, share: float) -> tuple:
        """Scores by seed after this share of the epochs, and when that is."""
        if share == 1:
            return self.scores(setting, arm), 'at the end'
        curve = self.curve(setting, arm)
        if curve.empty:
            return {}, ''
        epoch = min(curve.index, key=lambda epoch: abs(epoch - share * max(curve.index)))
        return curve.loc[epoch], f'after epoch {epoch}'

    def differences(self, setting: str) -> dict:
        """Of each arm to the one that all are compared with, where it can be told."""
        reference = self.scores(setting, REFERENCE)
        found = {
            arm: difference(self.scores(setting, arm), reference)
            for arm in SETTINGS[setting].arms
            if arm != REFERENCE
        }
        return {arm: one for arm, one in found.items() if one is not None}

    def learnt(self, arm: str, measure: str) -> pd.DataFrame:
        """Beside accuracy, on photographs: a row for each seed, a column for each level."""
        found = self.of('learnt', MAIN[0], arm)
        found = found[found.measure == measure]
        return found.pivot(index='seed', columns='level', values='value')

    def shown(self, setting: str) -> dict:
        """Differences to the reference of the arms with all seeds, or of all where none has."""
        found = self.differences(setting)
        whole = {arm: one for arm, one in found.items() if one.seeds >= SEEDS}
        return whole or found

    def whole(self, setting: str) -> bool:
        """Whether some arm besides the reference has all its seeds there."""
        return any(one.seeds >= SEEDS for one in self.differences(setting).values())


def main_table(results, setting):
    """Accuracy of each arm, and its difference to the reference."""
    rows = [['the teacher', 1, score, '', '', ''] for score in results.teacher(setting)]
    above = results.differences(setting)
    for arm, label in LABELS.items():
        scores = results.scores(setting, arm)
        if scores.empty:
            continue
        agreement = results.scores(setting, arm, 'agreement')
        options = results.of('runs', setting, arm).options.iloc[0] or 'not tuned'
        cells = [label, len(scores), summary(scores), above.get(arm, '')]
        rows.append([*cells, summary(agreement), options])
    minus = f'minus {LABELS[REFERENCE]}'
    return table([setting, 'seeds', 'accuracy, %', minus, 'agreement, %', 'tuned'], rows)


def brief_table(results, settings):
    """For the README: accuracy of arms in settings, and their difference to the reference."""
    teachers = [results.teacher(setting) or [''] for setting in settings]
    rows = [['the teacher', *(cell for scores in teachers for cell in (scores[0], ''))]]
    above = {setting: results.differences(setting) for setting in settings}
    for name, arm in ARMS.items():
        found = {setting: results.scores(setting, name) for setting in settings}
        # A first look stays on the page.
        scores = {s: one for s, one in found.items() if len(one) >= SEEDS or not results.whole(s)}
        if arm.brief and any(map(len, scores.values())):
            cells = [
                (summary(scores[s]), above[s].get(name, '')) if s in scores else ('–', '')
                for s in settings
            ]
            rows.append([arm.label, *(cell for pair in cells for cell in pair)])
    columns = [(setting, f'minus {LABELS[REFERENCE]}') for setting in settings]
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


def portraits(results, folder, page):
    """Draw what students learnt; the figures as Markdown."""
    arms = [arm for arm in PORTRAYED if len(results.learnt(arm, 'distance'))]
    if not arms:
        return ''
    robust = {
        kind: {arm: interval(results.learnt(arm, kind).mean(axis=1)) for arm in arms}
        for kind in KINDS
    }
    far = {arm: list(results.learnt(arm, 'distance').mean()) for arm in arms}
    draw_robustness(robust, folder / 'robustness.png')
    draw_distances(far, folder / 'attention_distance.png')
    place = os.path.relpath(folder, page.parent)
    return (
        f'![Accuracy on corrupted images]({place}/robustness.png)\n\n'
        f'![How far each layer looks]({place}/attention_distance.png)'
    )


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


def what_was_run(results):
    """One sentence on what was run and one on what was not."""
    ran, missing, untuned = [], [], ''
    for setting in SETTINGS:
        counts = {arm: len(results.scores(setting, arm)) for arm in SETTINGS[setting].arms}
        for number in sorted(set(counts.values()) - {0}, reverse=True):
            labels = [LABELS[arm] for arm, n in counts.items() if n == number]
            seeds = '1 seed' if number == 1 else f'{number} seeds'
            ran.append(f'{", ".join(labels)} with {seeds} in the {setting} setting')
        lacking = [LABELS[arm] for arm, n in counts.items() if n < SEEDS]
        if len(lacking) == len(counts):
            missing.append(f'any arm of the {setting} setting')
        elif lacking:
            missing.append(f'{", ".join(lacking)} of the {setting} setting')
        first = [
            label
            for a, label in LABELS.items()
            if '' in set(results.of('runs', setting, a).options)
        ]
        if first:
            untuned += (
                f' A first look, not tuned, all by one learning rate: {", ".join(first)} in the '
                f'{setting} setting.'
            )
    text = f'Compared so far: {"; ".join(ran) or "nothing"}.'
    if missing:
        text += f' Not yet run with all {SEEDS} seeds: {"; ".join(missing)}.'
    return text + untuned


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


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    docs = ROOT / 'docs'
    parser.add_argument(
        '--results', type=Path, default=docs / 'evidence', help='folder of the CSV files'
    )
    parser.add_argument('--page', type=Path, default=docs / 'evidence.md')
    parser.add_argument('--readme', type=Path, default=ROOT / 'README.md')
    parser.add_argument('--figure', type=Path, default=docs / 'images' / 'evidence.png')
    args = parser.parse_args(argv)
    results = Results(args.results)
    names = 'answer figure accuracy claims tuning heads fusion learnt portraits'
    sections = dict.fromkeys(names.split(), '')
    sections['run'] = what_was_run(results)
    settings = results.settings()
    if settings:
        sections['run'] += ' ' + provenance(results)
        sections['claims'] = claims_table(results)
        sections['fusion'] = fusion_table(results)
        sections['learnt'] = learnt_table(results)
        sections['portraits'] = portraits(results, args.figure.parent, args.page)
        tables_of = dict(accuracy=main_table, tuning=tuning_table, heads=heads_table)
        for name, written in tables_of.items():
            texts = [written(results, setting) for setting in settings]
            sections[name] = '\n\n'.join(filter(None, texts))
    shown = [setting for setting in MAIN if results.whole(setting)]
    shown = shown or [setting for setting in settings if results.differences(setting)]
    if shown:
        draw_differences(results, shown, args.figure)
        place = os.path.relpath(args.figure, args.page.parent)
        told = f'points above {LABELS[REFERENCE]}, with 95 % intervals'
        sections['figure'] = f'![Of each way to distil: {told}]({place})'
        sections['answer'] = brief_table(results, shown)
    for name, text in sections.items():
        replace(args.page, name, text or 'Nothing yet.')
    replace(args.readme, 'evidence', sections['answer'] or 'Nothing yet.')
    print(f'Wrote {args.page}' + f' and {args.figure}' * bool(shown))


if __name__ == '__main__':
    main()

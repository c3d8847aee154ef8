"""Draw the figure and write the tables of docs/evidence.md and README.md from docs/evidence/*.csv."""

import argparse
import os
import sys
from itertools import product
from pathlib import Path

from arms import ARMS, REFERENCE, ROOT, SETTINGS, TEACHER, TWO_TEACHERS, taught_in
from figures import draw_curves
from paired import difference, summary
from results import VERSIONS, tables

sys.path.append(str(ROOT / '.dev_scripts'))
from page import replace

SEEDS = 5  # of a whole comparison
# Claims of the method: an arm, what it should be above, and after which share of the epochs.
CLAIMS = (
    ('cskd_linear', 'deit_hard', 1),
    ('cskd_linear', 'cskd_local', 1),
    ('cskd_linear', 'cskd_global', 1),
    ('cskd_linear', 'fitnet', 1),
    ('cskd_linear', 'none', 1),
    ('cskd_local', 'deit_hard', 1),
    ('cskd_local', 'cskd_global', 1),
    ('cskd_local', 'none', 1),
    ('cskd_cos', 'deit_hard', 1),
    ('cskd_cos', 'cskd_local', 1),
    ('cskd_soft', 'deit_hard', 1),
    ('cskd_soft', 'deit_soft', 1),
    ('cskd_soft', 'cskd_linear', 1),
    ('cskd_soft', 'cskd_heavy', 1),
    ('cskd_heavy', 'cskd_linear', 1),
    ('cskd_soft', 'cskd_local_soft', 1),
    ('cskd_soft', 'fitnet', 1),
    ('cskd_local_soft', 'deit_hard', 1),
    ('cskd_local_soft', 'deit_soft', 1),
    ('cskd_local_soft', 'cskd_local', 1),
    ('cskd_linear', 'deit_hard', 0.5),
    ('cskd_linear', 'none', 0.5),
    ('cskd_linear', 'none', 0.25),
    ('cskd_linear', 'none', 0.1),
    ('cskd_soft', 'none', 0.25),
    ('cskd_soft', 'none', 0.1),
    # What goes beyond the paper, against the paper.
    ('cskd_agreement', 'cskd_linear', 1),
    ('cskd_confidence', 'cskd_linear', 1),
    ('cskd_mixture', 'cskd_linear', 1),
    ('cskd_teachers', 'cskd_linear', 1),
)


class Results:
    """What is written down, by setting, arm and seed.

    Args:
        folder (Path): Of the CSV files.

    Raises:
        ValueError: If rows that are to be averaged come from different configs.
    """

    def __init__(self, folder: Path) -> None:
        self.tables = tables(folder)
        for setting, arm in product(SETTINGS, ARMS):
            configs = {row['config'] for row in self.tables['runs'].rows(setting=setting, arm=arm)}
            if len(configs) > 1:
                raise ValueError(
                    f'{folder}/runs.csv holds runs of {len(configs)} configs of the arm {arm} in the '
                    f'{setting} setting: bring them all up to date with .dev_scripts/evidence/run.py.'
                )

    def settings(self):
        """Settings in which anything was run."""
        return [s for s in SETTINGS if any(t.rows(setting=s) for t in self.tables.values())]

    def teacher(self, setting):
        """The rows of a setting's teacher: one, or none."""
        return self.tables['runs'].rows(setting=taught_in(setting), arm=TEACHER, seed=0)

    def scores(self, setting, arm, measure='score'):
        """Of the test split at the end, by seed; empty for what was not measured."""
        rows = self.tables['runs'].rows(setting=setting, arm=arm)
        return {row['seed']: float(row[measure]) for row in rows if row[measure]}

    def curve(self, setting, arm):
        """Of the validation split: epoch → scores by seed."""
        points = {}
        for row in self.tables['curves'].rows(setting=setting, arm=arm):
            points.setdefault(int(row['epoch']), {})[row['seed']] = float(row['score'])
        return dict(sorted(points.items()))

    def at(self, setting, arm, share):
        """Scores by seed on the validation split after this share of the epochs, and the epoch."""
        curve = self.curve(setting, arm)
        if not curve:
            return {}, 0
        wanted = share * max(curve)
        epoch = min(curve, key=lambda epoch: (abs(epoch - wanted), epoch))
        return curve[epoch], epoch


def main_table(results, setting):
    """Accuracy of each arm, and its difference to the reference."""
    reference = results.scores(setting, REFERENCE)
    lines = [
        f'| {setting} | seeds | accuracy, % | minus {ARMS[REFERENCE].label} | agreement, % | tuned |',
        '|---|---|---|---|---|---|',
    ]
    for row in results.teacher(setting):
        lines.append(f'| the teacher | 1 | {float(row["score"]):.1f} | | | |')
    for name, arm in ARMS.items():
        scores = results.scores(setting, name)
        if not scores:
            continue
        above = difference(scores, reference) if name != REFERENCE else None
        # The same in all rows, as their config is.
        options = results.tables['runs'].rows(setting=setting, arm=name)[0]['options']
        lines.append(
            f'| {arm.label} | {len(scores)} | {summary(scores)} | {above or ""} '
            f'| {summary(results.scores(setting, name, "agreement"))} | {options or "not tuned"} |'
        )
    return '\n'.join(lines)


def brief_table(results, settings):
    """For the README: accuracy of arms in all settings, and their difference to the reference."""
    columns = [f'{setting} | minus {ARMS[REFERENCE].label}' for setting in settings]
    lines = [f'| | {" | ".join(columns)} |', '|---' * (2 * len(settings) + 1) + '|']
    teachers = [results.teacher(s) for s in settings]
    cells = [f'{float(rows[0]["score"]):.1f} | ' if rows else ' | ' for rows in teachers]
    lines.append(f'| the teacher | {" | ".join(cells)} |')
    for name, arm in ARMS.items():
        cells = []
        for setting in settings:
            scores = results.scores(setting, name)
            above = difference(scores, results.scores(setting, REFERENCE))
            cells.append(f'{summary(scores)} | {above if above and name != REFERENCE else ""}')
        if arm.brief and any(results.scores(setting, name) for setting in settings):
            lines.append(f'| {arm.label} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def heads_table(results, setting):
    """Accuracy of each head alone and of their average."""
    names = dict(
        cls='class token',
        dist='distillation token',
        patch='patches',
        average='average of the three',
    )
    lines = [f'| {setting} | {" | ".join(names.values())} |', '|---' * (len(names) + 1) + '|']
    for name, arm in ARMS.items():
        if results.scores(setting, name):
            cells = [summary(results.scores(setting, name, measure)) for measure in names]
            lines.append(f'| {arm.label} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def fusion_table(results):
    """How right the teacher's fused response is at its places."""
    rows = results.tables['fused'].rows()
    weights = sorted({float(row['fusion_weight']) for row in rows}, reverse=True)
    ends = {1.0: ', spatial', 0.0: ', global'}
    heads = [f'λ = {weight:g}{ends.get(weight, "")}' for weight in weights]
    lines = [f'| | {" | ".join(heads)} |', '|---' * (len(heads) + 1) + '|']
    for setting, (mixed, kind) in product(SETTINGS, enumerate(('whole', 'cut and mixed'))):
        of_kind = results.tables['fused'].rows(setting=setting, mixed=mixed)
        found = {float(row['fusion_weight']): float(row['accuracy']) for row in of_kind}
        if found:
            cells = [f'{found[weight]:.1f}' for weight in weights]
            lines.append(f'| {setting}, {kind} | {" | ".join(cells)} |')
    return '\n'.join(lines) if rows else ''


def claims_table(results):
    """Which differences the data settle."""
    lines = [
        '| setting | | difference, points | seeds | |',
        '|---|---|---|---|---|',
    ]
    verdicts = dict(above='yes', below='no, below', open='open: the interval holds zero')
    for setting in results.settings():
        for name, other, share in CLAIMS:
            if share == 1:
                pair, when = [results.scores(setting, arm) for arm in (name, other)], 'at the end'
            else:
                (one, epoch), (two, _) = (results.at(setting, arm, share) for arm in (name, other))
                pair, when = [one, two], f'after epoch {epoch}'
            found = difference(*pair)
            if found is not None:
                verdict = 'a single seed' if found.half is None else verdicts[found.verdict]
                lines.append(
                    f'| {setting} | {ARMS[name].label} above {ARMS[other].label} {when} | {found} '
                    f'| {found.seeds} | {verdict} |'
                )
    return '\n'.join(lines)


def tuning_table(results, setting):
    """All that was tried, on the validation split with one seed; what the arm then ran with is bold."""
    lines = [f'| {setting} | tried: accuracy on the validation split, % |', '|---|---|']
    for name, arm in ARMS.items():
        tried = results.tables['tuning'].rows(setting=setting, arm=name)
        if tried:
            ran = {row['options'] for row in results.tables['runs'].rows(setting=setting, arm=name)}
            cells = [f'{row["options"]}: {float(row["score"]):.1f}' for row in tried]
            cells = [
                f'**{cell}**' if row['options'] in ran else cell for cell, row in zip(cells, tried)
            ]
            lines.append(f'| {arm.label} | {", ".join(cells)} |')
    return '\n'.join(lines) if len(lines) > 2 else ''


def what_was_run(results):
    """One sentence on what was run and one on what was not."""
    ran, missing = [], []
    for setting in SETTINGS:
        counts = {arm: len(results.scores(setting, arm)) for arm in ARMS}
        for number in sorted(set(counts.values()) - {0}, reverse=True):
            labels = [ARMS[arm].label for arm, n in counts.items() if n == number]
            seeds = '1 seed' if number == 1 else f'{number} seeds'
            ran.append(f'{", ".join(labels)} with {seeds} in the {setting} setting')
        lacking = [ARMS[arm].label for arm, n in counts.items() if n < SEEDS]
        if len(lacking) == len(ARMS):
            missing.append(f'any arm of the {setting} setting')
        elif lacking:
            missing.append(f'{", ".join(lacking)} of the {setting} setting')
    text = f'Compared so far: {"; ".join(ran) or "nothing"}.'
    if missing:
        text += f' Not yet run with all {SEEDS} seeds: {"; ".join(missing)}.'
    for setting in SETTINGS:
        rows = results.tables['runs'].rows(setting=setting, options='')
        untuned = [ARMS[arm].label for arm in ARMS if any(row['arm'] == arm for row in rows)]
        if untuned:
            text += (
                f' A first look, not tuned, all by one learning rate: {", ".join(untuned)} in the '
                f'{setting} setting.'
            )
    return text


def provenance(results):
    """What it cost, versions, and whether the teacher was the same throughout."""
    rows = [row for name in ('runs', 'tuning') for row in results.tables[name].rows()]
    versions = [
        f'{column} {", ".join(sorted({row[column] for row in rows}))}' for column in VERSIONS
    ]
    hours = sum(float(row['seconds']) for row in rows) / 3600
    text = (
        f'{len(rows)} runs, with tuning, took {hours:.1f} hours of one core; {", ".join(versions)}.'
    )
    for setting in SETTINGS:
        own = [row for row in rows if row['setting'] == setting and row['arm'] != TWO_TEACHERS]
        teachers = {row['teacher'] for row in own if (row['arm'], row['seed']) != (TEACHER, '1')}
        if len(teachers) > 1:
            text += f' The {setting} setting had {len(teachers)} teachers, trained alike.'
    return text


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--results', type=Path, default=ROOT / 'docs' / 'evidence', help='folder of the CSV files'
    )
    parser.add_argument('--page', type=Path, default=ROOT / 'docs' / 'evidence.md')
    parser.add_argument('--readme', type=Path, default=ROOT / 'README.md')
    parser.add_argument('--figure', type=Path, default=ROOT / 'docs' / 'images' / 'evidence.png')
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse_args(arguments)
    results = Results(args.results)
    sections = dict.fromkeys(('accuracy', 'claims', 'tuning', 'heads', 'fusion', 'figure'), '')
    sections['run'] = what_was_run(results)
    settings = results.settings()
    if settings:
        sections['run'] += ' ' + provenance(results)
        sections['claims'] = claims_table(results)
        sections['fusion'] = fusion_table(results)
        tables_of = dict(accuracy=main_table, tuning=tuning_table, heads=heads_table)
        for name, table in tables_of.items():
            written = [table(results, setting) for setting in settings]
            sections[name] = '\n\n'.join(filter(None, written))
    drawn = [s for s in settings if any(results.curve(s, arm) for arm in ARMS)]
    if drawn:
        draw_curves(results, drawn, args.figure)
        place = os.path.relpath(args.figure, args.page.parent)
        sections['figure'] = f'![Accuracy over the epochs, for each arm]({place})'
    for name, text in sections.items():
        replace(args.page, name, text or 'Nothing yet.')
    brief = brief_table(results, drawn) if drawn else 'Nothing yet.'
    replace(args.readme, 'evidence', brief)
    print(f'Wrote {args.page}' + f' and {args.figure}' * bool(drawn))


if __name__ == '__main__':
    main()

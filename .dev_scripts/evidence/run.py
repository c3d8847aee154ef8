"""Train all arms in all settings with all seeds, as far as that is not done: docs/evidence/*.csv.

    python .dev_scripts/evidence/run.py
    python .dev_scripts/evidence/run.py --settings plain --arms none deit_hard --seeds 0 1 --jobs 2

In each setting the teacher comes first, then hyperparameters are chosen for each arm on the
validation split, with a seed of their own, then the arms are compared, seed by seed. A run is
one to four minutes of one core and is written down when it ends; what is written down and was
made by the same config is not done again, so the command may be stopped at any time and given
again. What was compared with ``--untuned`` is done anew once it is tuned.
"""

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import signal
import sys
import time
from functools import lru_cache, partial
from pathlib import Path

import torch
from arms import (
    ARMS,
    FUSED,
    RATE,
    ROOT,
    SECOND,
    SETTINGS,
    TEACHER,
    TWO_TEACHERS,
    Run,
    taught_in,
    teacher_file,
)
from fused_response import measure_fusion
from results import TABLES, Table
from training import join_teachers, train, train_teacher

sys.path.append(str(ROOT / '.dev_scripts'))

from processes import side_by_side

TUNING_SEED = 1000


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--settings', nargs='+', choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument(
        '--arms', nargs='+', choices=ARMS, help='of those of each setting; by default all of them'
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument(
        '--untuned', action='store_true', help='first look: take every arm as its config says'
    )
    parser.add_argument('--jobs', type=int, default=1, help='runs at a time, a core each')
    parser.add_argument(
        '--results', type=Path, default=ROOT / 'docs' / 'evidence', help='folder of the CSV files'
    )
    parser.add_argument(
        '--work-dir', type=Path, default=ROOT / 'work_dirs' / 'evidence', help='teachers and logs'
    )
    return parser.parse_args(argv)


class Matrix:
    """The runs of one command and where their results go."""

    def __init__(self, results: Path, work_dir: Path, jobs: int) -> None:
        self.tables = {name: Table(results, name) for name in TABLES}
        self.work_dir = Path(work_dir).resolve()
        self.jobs = jobs
        self._key = lru_cache(maxsize=None)(Run.key)  # composing a config takes a while

    def row(self, run, tuning=False):
        """What is written down of a run of the same config, or None."""
        named = dict(setting=run.setting, arm=run.arm, seed=run.seed, config=self._key(run))
        if tuning:
            named['options'] = run.described()
        found = self.tables['tuning' if tuning else 'runs'].read(**named)
        return found.iloc[0] if len(found) else None

    def teachers(self, setting, arms):
        """Bring the teachers to their end; their weights are not in the repository."""
        names = [TEACHER, *([SECOND] if TWO_TEACHERS in arms else [])]
        runs = [Run(setting, TEACHER, seed) for seed, _ in enumerate(names)]
        done = [
            run
            for run, name in zip(runs, names)
            if self.row(run) is not None and teacher_file(self.work_dir, setting, name).is_file()
        ]
        self._do([run for run in runs if run not in done], len(done), 'teachers')
        if TWO_TEACHERS in arms:
            join_teachers(self.work_dir, setting)

    def fusion(self, setting):
        """How right the teacher's fused response is."""
        key = self._key(Run(setting, FUSED, 0))
        if self.tables['fused'].read(setting=setting, config=key).empty:
            self.tables['fused'].put(measure_fusion(setting, self.work_dir))

    def tune(self, setting, arms):
        """Try the options of each arm: all rates, further ones while an end is best, the rest."""
        decided = SETTINGS[setting].like or setting
        like = {arm: ARMS[arm].like or arm for arm in arms}

        def runs_of(options_of):
            return [
                Run(decided, arm, TUNING_SEED, tuple(options.items()))
                for arm in dict.fromkeys(like.values())
                for options in options_of(arm)
            ]

        def best(arm):
            return dict(self._best(arm, tried))

        def beyond_the_edge(arm):
            rates = [dict(run.options)[RATE] for run in tried if run.arm == arm]
            return ARMS[arm].beyond_the_edge(best(arm), rates)

        tried = runs_of(lambda arm: ARMS[arm].first_round(SETTINGS[decided].rates))
        self._finish(tried, tuning=True)
        while further := runs_of(beyond_the_edge):
            self._finish(further, tuning=True)
            tried += further
        more = runs_of(lambda arm: ARMS[arm].second_round(best(arm)))
        self._finish(more, tuning=True)
        tried += more
        return {(setting, arm): self._best(like[arm], tried) for arm in arms}

    def compare(self, chosen, seeds):
        """Train each arm with what was chosen for it, seed by seed."""
        runs = [Run(*pair, seed, options) for seed in seeds for pair, options in chosen.items()]
        self._finish(runs, tuning=False)

    def _best(self, arm, tried):
        """The options with the best accuracy on the validation split; the first of equals."""
        of_arm = [run for run in tried if run.arm == arm]
        return max(of_arm, key=lambda run: self.row(run, tuning=True).score).options

    def _finish(self, runs, tuning):
        pending = [run for run in runs if self.row(run, tuning) is None]
        self._do(pending, len(runs) - len(pending), 'tuning' if tuning else 'comparison')

    def _do(self, pending, done, stage):
        tuning = stage == 'tuning'
        print(f'{stage}: {done} of {done + len(pending)} runs are done.', flush=True)
        if not pending:
            return
        start = time.time()
        one = partial(work, work_dir=self.work_dir, tuning=tuning)
        for count, (run, outcome) in enumerate(side_by_side(one, pending, self.jobs), 1):
            score = self._keep(run, outcome, tuning)
            left = (time.time() - start) / count * (len(pending) - count)
            print(
                f'[{count}/{len(pending)}] {run.setting} {run.arm} seed {run.seed} '
                f'{run.described()}: {score:.1f} % ({outcome.origin["seconds"]} s of CPU, '
                f'{left / 60:.0f} min to go)',
                flush=True,
            )

    def _keep(self, run, outcome, tuning):
        named = dict(setting=run.setting, arm=run.arm, seed=run.seed)
        described = dict(named, options=run.described(), **outcome.origin)
        if tuning:
            score = outcome.curve[max(outcome.curve)]['score']
            self.tables['tuning'].put([dict(described, score=score)])
            return score
        points = [dict(named, epoch=epoch, **found) for epoch, found in outcome.curve.items()]
        self.tables['curves'].put(points, instead=named)
        epochs = max(outcome.curve, default=None)
        self.tables['runs'].put([dict(described, epochs=epochs, **outcome.test)])
        return outcome.test['score']


def work(run, work_dir, tuning):
    """One run, in a process that is for this alone."""
    torch.set_num_threads(1)
    if run.arm == TEACHER:
        return train_teacher(run, work_dir)
    return train(run, work_dir, tuning)


def main(argv=None):
    args = parse_args(argv)
    matrix = Matrix(args.results, args.work_dir, args.jobs)
    # Setting by setting, so that what is there first is whole.
    for setting in args.settings:
        arms = [arm for arm in SETTINGS[setting].arms if arm in (args.arms or ARMS)]
        matrix.teachers(taught_in(setting), arms)
        matrix.fusion(taught_in(setting))
        if args.untuned:
            chosen = {(setting, arm): () for arm in arms}
        else:
            chosen = matrix.tune(setting, arms)
        matrix.compare(chosen, args.seeds)


if __name__ == '__main__':
    # So that it ends its runs: they would go on for nobody.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('Stopped; the same command goes on.'))
    main()

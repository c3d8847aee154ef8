"""Train all arms in all settings with all seeds, as far as that is not done: docs/evidence/*.csv.

    python .dev_scripts/evidence/run.py
    python .dev_scripts/evidence/run.py --settings plain --arms none deit_hard cskd_linear --seeds 0 1 --jobs 2

In each setting the teacher comes first, then hyperparameters are chosen for each arm on the
validation split, with a seed of their own, then the arms are compared, seed by seed. A run is
about a minute of one core and is written down when it ends; what is written down and was
made by the same config is not done again, so the command may be stopped at any time and given
again. What was compared with ``--untuned`` is done anew once it is tuned.
"""

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import multiprocessing
import signal
import sys
import time
from functools import lru_cache
from pathlib import Path

import torch
from arms import (
    ARMS,
    FUSED,
    RATES,
    ROOT,
    SECOND,
    SETTINGS,
    TEACHER,
    TWO_TEACHERS,
    Arm,
    Run,
    comparison,
    taught_in,
    teacher_file,
)
from fused_response import measure_fusion
from results import tables
from training import join_teachers, train, train_teacher

TUNING_SEED = 1000


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--settings', nargs='+', choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument('--arms', nargs='+', choices=ARMS, default=list(ARMS))
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
    return parser.parse_args(arguments)


class Matrix:
    """The runs of one command and where their results go.

    Args:
        results (Path): Folder of the CSV files.
        work_dir (Path): For teachers and logs.
        jobs (int): Runs at a time.
    """

    def __init__(self, results: Path, work_dir: Path, jobs: int) -> None:
        self.tables = tables(results)
        self.work_dir = Path(work_dir).resolve()
        self.jobs = jobs
        self._key = lru_cache(maxsize=None)(Run.key)  # composing a config takes a while

    def row(self, run, tuning=False):
        """What is written down of a run of the same config, or None."""
        named = dict(setting=run.setting, arm=run.arm, seed=run.seed)
        table, more = ('tuning', dict(options=run.described())) if tuning else ('runs', {})
        found = self.tables[table].rows(**named, **more, config=self._key(run))
        return found[0] if found else None

    def teachers(self, setting, arms):
        """Bring the teachers to their end; their weights are not in the repository."""
        names = [TEACHER, *([SECOND] if TWO_TEACHERS in arms else [])]
        runs = [Run(setting, TEACHER, seed) for seed, _ in enumerate(names)]
        done = [
            run
            for run, name in zip(runs, names)
            if self.row(run) and teacher_file(self.work_dir, setting, name).is_file()
        ]
        self._do([run for run in runs if run not in done], len(done), 'teachers')
        if TWO_TEACHERS in arms:
            join_teachers(self.work_dir, setting)

    def fusion(self, setting):
        """How right the teacher's fused response is."""
        key = self._key(Run(setting, FUSED, 0))
        if not self.tables['fused'].rows(setting=setting, config=key):
            self.tables['fused'].put(measure_fusion(setting, self.work_dir))

    def tune(self, settings, arms):
        """Try the options of each arm: all rates, one beyond if an end is best, then the rest."""
        pairs = [(setting, arm) for setting in settings for arm in arms]
        tried = [
            Run(setting, arm, TUNING_SEED, tuple(options.items()))
            for index in range(len(RATES))
            for setting, arm in pairs
            for options in ARMS[arm].first_round()[index : index + 1]
        ]
        self._finish(tried, tuning=True)
        for further in (Arm.beyond_the_edge, Arm.second_round):
            more = [
                Run(setting, arm, TUNING_SEED, tuple(options.items()))
                for setting, arm in pairs
                for options in further(ARMS[arm], dict(self._best(setting, arm, tried)))
            ]
            self._finish(more, tuning=True)
            tried += more
        return {pair: self._best(*pair, tried) for pair in pairs}

    def compare(self, chosen, seeds):
        """Train each arm with what was chosen for it, with each seed."""
        settings = dict.fromkeys(setting for setting, _ in chosen)
        arms = dict.fromkeys(arm for _, arm in chosen)
        runs = [
            Run(setting, arm, seed, chosen[setting, arm])
            for setting, seed, arm in comparison(settings, arms, seeds)
        ]
        self._finish(runs, tuning=False)

    def _best(self, setting, arm, tried):
        """The options with the best accuracy on the validation split; the first of equals."""
        of_arm = [run for run in tried if (run.setting, run.arm) == (setting, arm)]
        return max(of_arm, key=lambda run: float(self.row(run, tuning=True)['score'])).options

    def _finish(self, runs, tuning):
        pending = [run for run in runs if self.row(run, tuning) is None]
        self._do(pending, len(runs) - len(pending), 'tuning' if tuning else 'comparison')

    def _do(self, pending, done, stage):
        tuning = stage == 'tuning'
        print(f'{stage}: {done} of {done + len(pending)} runs are done.', flush=True)
        if not pending:
            return
        start = time.time()
        # Forked, so that everything is imported once.
        with multiprocessing.get_context('fork').Pool(self.jobs, maxtasksperchild=1) as pool:
            tasks = [(run, self.work_dir, tuning) for run in pending]
            for count, (run, outcome) in enumerate(pool.imap_unordered(work, tasks), 1):
                score = self._keep(run, outcome, tuning)
                left = (time.time() - start) / count * (len(pending) - count)
                print(
                    f'[{count}/{len(pending)}] {run.setting} {run.arm} seed {run.seed} '
                    f'{run.described()}: {score:.1f} % ({outcome.origin["seconds"]} s of CPU, '
                    f'{left / 60:.0f} min to go)',
                    flush=True,
                )

    def _keep(self, run, outcome, tuning):
        named = dict(setting=run.setting, arm=run.arm, seed=run.seed, options=run.described())
        last = outcome.curve.get(max(outcome.curve, default=0), {})
        if tuning:
            self.tables['tuning'].put([dict(named, score=last['score'], **outcome.origin)])
            return last['score']
        self.tables['curves'].put(
            [dict(named, epoch=epoch, **found) for epoch, found in outcome.curve.items()],
            instead=dict(setting=run.setting, arm=run.arm, seed=run.seed),
        )
        columns = self.tables['runs'].columns
        row = dict.fromkeys(columns, '') | named | outcome.test | outcome.origin
        self.tables['runs'].put([dict(row, epochs=max(outcome.curve, default=''))])
        return outcome.test['score']


def work(task):
    """One run, in a process that is for this alone."""
    run, work_dir, tuning = task
    torch.set_num_threads(1)
    if run.arm == TEACHER:
        return run, train_teacher(run, work_dir)
    return run, train(run, work_dir, tuning)


def main(arguments=None):
    args = parse_args(arguments)
    matrix = Matrix(args.results, args.work_dir, args.jobs)
    # Setting by setting, so that what is there first is whole.
    for setting in args.settings:
        matrix.teachers(taught_in(setting), args.arms)
        matrix.fusion(taught_in(setting))
        if args.untuned:
            chosen = {(setting, arm): () for arm in args.arms}
        else:
            chosen = matrix.tune([setting], args.arms)
        matrix.compare(chosen, args.seeds)


if __name__ == '__main__':
    # So that the pool ends its runs: they would go on for nobody.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('Stopped; the same command goes on.'))
    main()

"""Results: tables as CSV files, in which a newer row takes the place of its predecessor."""

import sys
from pathlib import Path
from typing import Dict, Iterable

import pandas as pd
from arms import ANSWER, ARMS, ROOT, SETTINGS, TEACHER, taught_in
from filelock import FileLock

sys.path.append(str(ROOT / '.dev_scripts'))

from paired import difference

RUN = ('setting', 'arm', 'seed')
MEASURED = ('score', 'cls', 'dist', 'patch', 'average', 'agreement')
VERSIONS = ('python', 'torch', 'mmpretrain', 'mmrazor', 'mmcskd')
ORIGIN = ('config', 'teacher', 'seconds', *VERSIONS)
SEEDS = 5  # of a whole comparison
PHOTOGRAPHS = 'fashion'
# Of each table the columns that name a row, and the others.
TABLES = dict(
    runs=(RUN, ('options', 'epochs', *MEASURED, *ORIGIN)),
    curves=((*RUN, 'epoch'), MEASURED),
    tuning=(('setting', 'arm', 'options', 'seed'), ('score', *ORIGIN)),
    learnt=((*RUN, 'measure', 'level'), ('value', *ORIGIN)),
    fused=(('setting', 'mixed', 'fusion_weight'), ('accuracy', *ORIGIN)),
)
# A digest may look like a number. What is not measured, and the epochs of a teacher, are left out.
TYPES = {
    **dict.fromkeys(
        ('setting', 'arm', 'options', 'measure', 'config', 'teacher', *VERSIONS), 'string'
    ),
    **dict.fromkeys(('seed', 'epoch', 'epochs', 'level', 'mixed', 'seconds'), 'Int64'),
    **dict.fromkeys((*MEASURED, 'fusion_weight', 'accuracy', 'value'), 'Float64'),
}


class Table:
    """One of ``TABLES``, which several processes may read and write at a time.

    Args:
        folder (Path): Where the CSV file lies, or will.
        name (str): Of the table.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = Path(folder) / f'{name}.csv'
        self.keys, others = map(list, TABLES[name])
        self.columns = self.keys + others

    def read(self, **wanted) -> pd.DataFrame:
        """Rows with these values.

        Raises:
            ValueError: If the file has other columns.
        """
        table = pd.DataFrame(columns=self.columns)
        if self.path.is_file():
            table = pd.read_csv(self.path, dtype=TYPES)
        if list(table.columns) != self.columns:
            raise ValueError(
                f'{self.path} has the columns {list(table.columns)}, expected {self.columns}: '
                'move it aside.'
            )
        return _having(self._typed(table), wanted)

    def put(self, rows: Iterable[dict], instead: Dict[str, object] = None) -> None:
        """Add rows or replace those of the same name, and write the file whole or not at all.

        Args:
            rows (Iterable[dict]): By column; one that is left out is empty.
            instead (dict, optional): Take all rows with these values out first. Defaults to None.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name('.lock')):
            table = self.read()
            if instead:
                table = table.drop(_having(table, instead).index)
            table = pd.concat([table, self._typed(pd.DataFrame(rows, columns=self.columns))])
            # In order, so that what changes between two versions of the file is what was run.
            table = table.drop_duplicates(self.keys, keep='last').sort_values(self.keys)
            partial = self.path.with_suffix('.partial')
            table.to_csv(partial, index=False, float_format='%.6g')
            partial.replace(self.path)

    def _typed(self, table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: TYPES[column] for column in self.columns})
        return table.fillna({'options': ''}).reset_index(drop=True)


def _having(table: pd.DataFrame, wanted: Dict[str, object]) -> pd.DataFrame:
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


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

    def learnt(self, arm: str, measure: str) -> pd.DataFrame:
        """Beside accuracy, on photographs: a row for each seed, a column for each level."""
        found = self.of('learnt', PHOTOGRAPHS, arm)
        found = found[found.measure == measure]
        return found.pivot(index='seed', columns='level', values='value')

    def lead(self, setting: str) -> dict:
        """Of the arm that is the answer over each other one that has all seeds."""
        ours = self.scores(setting, ANSWER)
        found = {arm: difference(ours, self.scores(setting, arm)) for arm in ARMS if arm != ANSWER}
        return {arm: one for arm, one in found.items() if one and one.seeds >= SEEDS}

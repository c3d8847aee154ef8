"""What is compared with what: settings, arms and the values tried for each, as composed configs."""

import copy
import hashlib
import inspect
import json
from functools import cache
from pathlib import Path
from typing import Dict, NamedTuple, Sequence, Tuple

from mmengine.config import Config
from mmengine.runner import Runner

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = Path(__file__).with_name('configs')
TEACHER = 'teacher'
SECOND = 'teacher_2'  # by another seed
TEACHERS = 'teachers'  # the two side by side
TWO_TEACHERS = 'cskd_teachers'  # the arm that has both
FUSED = 'cskd_linear'  # whose recorder and batch augmentation show the teacher's fused response
REFERENCE = 'deit_hard'  # the arm that tables of all numbers take differences to
ANSWER = 'cskd_with_features'  # the arm whose lead over the others is told first

RATE = 'optim_wrapper.optimizer.lr'
LOSSES = 'model.distiller.distill_losses'
CONNECTORS = 'model.distiller.connectors'
TEMPERATURES = (1.0, 3.0)
TAKEN = set(inspect.signature(Runner).parameters) - {'work_dir'}


class Arm(NamedTuple):
    """One way to train the student, by the config file of the same name."""

    label: str
    tuned: Tuple[str, Tuple[float, ...]] = ('', ())
    """A further config key and its values; the first goes with every learning rate."""
    brief: bool = True
    """Whether the README's table has it."""
    width: str = ''
    """The config key of the teacher's width, where the arm needs it."""
    like: str = ''
    """Another arm, whose hyperparameters it takes instead of its own."""

    def first_round(self, rates: Sequence[float]):
        """Options to try first: every learning rate."""
        key, values = self.tuned
        return [{RATE: rate, **({key: values[0]} if key else {})} for rate in rates]

    def beyond_the_edge(self, best: Dict[str, float], rates: Sequence[float]):
        """Options to try next if the best of these learning rates is an end: one further."""
        further = {min(rates): min(rates) / 2, max(rates): max(rates) * 2}
        return [{**best, RATE: further[best[RATE]]}] if best[RATE] in further else []

    def second_round(self, best: Dict[str, float]):
        """Options to try next, at the best learning rate: the other values of ``tuned``."""
        key, values = self.tuned
        return [{**best, key: value} for value in values[1:]]


ARMS = dict(
    none=Arm('no distillation'),
    kl=Arm('KL', (f'{LOSSES}.loss_kd.tau', (1.0, 4.0))),
    dkd=Arm('DKD', (f'{LOSSES}.loss_kd.beta', (1.0, 8.0)), brief=False),
    dist=Arm('DIST', (f'{LOSSES}.loss_kd.loss_weight', (1.0, 3.0))),
    fitnet=Arm(
        'feature mimicking',
        (f'{LOSSES}.loss_feature.loss_weight', (1.0, 0.1, 10.0)),
        width=f'{CONNECTORS}.regressor.1.out_channel',
    ),
    deit_hard=Arm('DeiT (hard)'),
    deit_soft=Arm('DeiT (soft)', (f'{LOSSES}.loss_deit.temperature', TEMPERATURES), brief=False),
    vkd=Arm(
        'VkD',
        (f'{LOSSES}.loss_feature.loss_weight', (1.0, 4.0)),
        width=f'{CONNECTORS}.feature.1.out_channels',
    ),
    rsd=Arm(
        'RSD',
        (f'{LOSSES}.loss_rsd.loss_weight', (1.0, 4.0)),
        width=f'{CONNECTORS}.feature.1.out_channels',
    ),
    cskd_local=Arm('spatial without CKF', brief=False),
    cskd_global=Arm('global only'),
    cskd_linear=Arm('CSKD (linear)'),
    cskd_x2=Arm('CSKD (x2)'),
    cskd_cos=Arm('CSKD (cos)', brief=False),
    cskd_soft=Arm('CSKD (soft)', (f'{LOSSES}.loss_cskd.temperature', TEMPERATURES), brief=False),
    cskd_local_soft=Arm(
        'spatial without CKF (soft)', (f'{LOSSES}.loss_cskd.temperature', TEMPERATURES), brief=False
    ),
    cskd_everywhere=Arm('CSKD+', (f'{LOSSES}.loss_cskd.temperature', TEMPERATURES), brief=False),
    cskd_unlabelled=Arm(
        'CSKD+ without labels', (f'{LOSSES}.loss_cskd.temperature', TEMPERATURES), brief=False
    ),
    cskd_features=Arm(
        'soft with last features',
        (f'{LOSSES}.loss_feature.loss_weight', (1.0, 4.0)),
        width=f'{CONNECTORS}.feature.1.out_channels',
    ),
    cskd_with_features=Arm(
        'CSKD with features', (f'{LOSSES}.loss_feature.loss_weight', (30.0, 100.0))
    ),
    cskd_soft_top5=Arm('CSKD (soft, bank of 5)', brief=False, like='cskd_soft'),
    cskd_soft_top10=Arm('CSKD (soft, bank of 10)', brief=False, like='cskd_soft'),
    cskd_heavy=Arm('CSKD (× 16)', brief=False),
    cskd_agreement=Arm('CSKD (by agreement)', brief=False),
    cskd_confidence=Arm('CSKD (by confidence)', brief=False),
    cskd_mixture=Arm('CSKD (mixture)', brief=False),
    cskd_teachers=Arm('CSKD (two teachers)', brief=False),
)
# Of the method, beside it, tried beyond it, and as MMRazor has them or others published them.
METHOD = ('cskd_linear', 'cskd_cos', 'cskd_soft', 'cskd_local', 'cskd_local_soft')
BESIDE = ('none', 'fitnet', 'deit_hard', 'deit_soft')
BEYOND = ('cskd_heavy', 'cskd_agreement', 'cskd_confidence', 'cskd_mixture', TWO_TEACHERS)
RIVALS = ('kl', 'dkd', 'dist', 'vkd', 'rsd')
OURS = ('cskd_everywhere', 'cskd_unlabelled', ANSWER)
# Of these, what students learnt beside their accuracy, and from few images.
PORTRAYED = ('deit_hard', 'vkd', 'cskd_linear', 'cskd_everywhere', ANSWER)
BANKED = tuple(name for name, arm in ARMS.items() if arm.like)


class Setting(NamedTuple):
    """Data and length of training, by the config file of the same name; 'plain' has none."""

    arms: Tuple[str, ...]
    """What is compared in it."""
    rates: Tuple[float, ...] = (5e-4, 1e-3, 2e-3, 4e-3)
    """Learning rates to choose from; further ones are tried as long as an end is best."""
    validation: int = 1000
    """Images that are measured over the epochs and that decide hyperparameters."""
    test: int = 4000
    """Images that are measured once, at the end."""
    tuning: Tuple[Tuple[str, int], ...] = ()
    """Config keys and values of the runs that decide hyperparameters: shorter ones."""
    teacher: str = ''
    """Another setting, whose teacher it has instead of its own."""
    like: str = ''
    """Another setting, whose hyperparameters it takes instead of its own."""


FASHION = Setting(
    arms=(*BESIDE, *RIVALS, *METHOD, *OURS, 'cskd_features', *BANKED),
    rates=(1e-3, 2e-3, 4e-3),
    validation=5000,
    test=10000,
    tuning=(('train_cfg.max_epochs', 8),),
)
# A third of the iterations; so many images of each class.
FEW = FASHION._replace(validation=1000, arms=PORTRAYED, teacher='fashion', like='fashion')
SETTINGS = dict(
    plain=Setting((*BESIDE, *METHOD, 'cskd_global', 'cskd_x2', *BEYOND)),
    long=Setting((*BESIDE, *RIVALS, *METHOD, *OURS), teacher='plain'),
    crowded=Setting((*BESIDE, *METHOD, 'cskd_global', 'cskd_x2')),
    fashion=FASHION,
    fashion_whole=FASHION._replace(arms=PORTRAYED, like='fashion'),
    fashion_short=FEW._replace(arms=('cskd_linear', 'cskd_soft', 'cskd_local', 'cskd_local_soft')),
    fashion_200=FEW,
    fashion_50=FEW,
    fashion_10=FEW,
)


class Run(NamedTuple):
    """One training: everything that decides its result."""

    setting: str
    arm: str
    seed: int
    options: Tuple[Tuple[str, float], ...] = ()
    """Config keys and values that are not in the arm's file."""

    def config(self, work_dir: Path) -> Config:
        """The arm's config in the setting; teachers and logs lie in the work directory."""
        cfg = copy.deepcopy(composed(f'{self.arm}.py'))
        cfg.merge_from_dict(overrides(self.setting, self.arm))
        if self.arm != TEACHER:
            name = TEACHERS if self.arm == TWO_TEACHERS else TEACHER
            cfg.model.teacher_ckpt = str(teacher_file(work_dir, taught_in(self.setting), name))
            if ARMS[self.arm].width:
                cfg.merge_from_dict({ARMS[self.arm].width: cfg.model.teacher.head.in_channels})
        cfg.merge_from_dict(dict(self.options))
        if self.arm in BANKED:
            cfg.model.bank.path = str(work_dir / self.setting / 'banks' / f'{self.arm}_{self.seed}')
        cfg.randomness = dict(seed=self.seed)
        cfg.work_dir = str(work_dir / self.setting / 'logs' / f'{self.arm}_seed{self.seed}')
        return cfg

    def key(self) -> str:
        """A fingerprint of what the runner takes of the config and of the teacher's.

        Without the seed, places, and the variables of inherited files.
        """
        cfg = self._replace(seed=0).config(Path('work_dirs')).to_dict()
        used = {name: value for name, value in cfg.items() if name in TAKEN}
        text = json.dumps(used, sort_keys=True, default=str)
        if self.arm != TEACHER:
            text += Run(taught_in(self.setting), TEACHER, 0).key()
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def described(self) -> str:
        """The options by the last parts of their keys."""
        return ' '.join(f'{key.split(".")[-1]}={value:g}' for key, value in self.options)


@cache
def composed(name: str) -> Config:
    """A file of .dev_scripts/evidence/configs; composing it takes longer than copying it."""
    return Config.fromfile(CONFIGS / name)


def overrides(setting: str, arm: str) -> dict:
    """What a setting changes of an arm written for the plain one, or of the teacher."""
    if arm == TEACHER:
        setting = f'{taught_in(setting)}_{TEACHER}'
    file = CONFIGS / 'settings' / f'{setting}.py'
    return composed(f'settings/{setting}.py').to_dict() if file.is_file() else {}


def taught_in(setting: str) -> str:
    """The setting whose teacher it has."""
    return SETTINGS[setting].teacher or setting


def teacher_file(work_dir: Path, setting: str, name: str = TEACHER) -> Path:
    """Where the weights lie of the teacher, of the second one or of the two side by side."""
    return Path(work_dir) / setting / f'{name}.pth'


def student_file(work_dir: Path, run: Run) -> Path:
    """Where the weights lie of a student of the comparison."""
    return Path(work_dir) / run.setting / 'students' / f'{run.arm}_seed{run.seed}.pth'

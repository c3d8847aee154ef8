"""Each stack with the oldest and the newest torch, in environments of their own: the quick tests,
and the first command of the README.

    nox -f .dev_scripts/noxfile.py                               # all
    nox -f .dev_scripts/noxfile.py -s 'tests(2.0.1)'             # one; the others' sections stay
    nox -f .dev_scripts/noxfile.py -s 'tests(2.0.1)' -- --lf     # arguments of pytest
    nox -f .dev_scripts/noxfile.py -s 'demo(onedl)'

Writes a section of docs/compatibility.md for each, unless pytest is given arguments.
Environments are kept in ``.nox`` and refreshed by pip; ``-R`` takes them as they are.
"""

import datetime
import json
import os
import shutil
import sys
from pathlib import Path

import nox

LABORATORY = Path(__file__).resolve().parent
ROOT = LABORATORY.parent
sys.path[:0] = [str(LABORATORY), str(LABORATORY / 'compatibility')]

import junit  # noqa: E402
import page  # noqa: E402

# Builds that belong together. torch up to 2.2 was compiled for NumPy 1; OneDL asks for 2.4 and up.
TORCH = {
    '2.0.1': ('torch==2.0.1', 'torchvision==0.15.2', 'numpy<2'),
    '2.14.1': ('torch==2.14.1', 'torchvision==0.29.1'),
    'onedl-2.4.1': ('torch==2.4.1', 'torchvision==0.19.1'),
    'onedl-2.14.1': ('torch==2.14.1', 'torchvision==0.29.1'),
}
VERSIONS = (
    'import json, platform, numpy, torch, torchvision; print(json.dumps([torch.__version__, '
    'torchvision.__version__, platform.python_version(), numpy.__version__]))'
)
nox.options.reuse_venv = 'yes'
nox.options.envdir = str(ROOT / '.nox')


@nox.session
@nox.parametrize('torch', list(TORCH), ids=list(TORCH))
def tests(session, torch):
    """Run the quick tests but those of detection and segmentation."""
    session.chdir(ROOT)
    session.install('setuptools<81', 'wheel')
    session.install(*TORCH[torch])
    # pip builds onedl-mmcv where it sees no torch: without ops, in seconds.
    onedl = torch.startswith('onedl-')
    how = ['.[onedl,test]'] if onedl else ['.[openmmlab,test]', '--no-build-isolation']
    # torch is named again, so that nothing replaces it.
    session.install(*TORCH[torch], 'pandas', '-e', *how)
    report = Path(session.create_tmp()) / 'junit.xml'
    session.run(
        *('pytest', '-n', os.environ.get('WORKERS', '2'), '--dist=loadfile'),
        *('-o', 'junit_family=xunit1', f'--junitxml={report}'),
        *(session.posargs or ['tests', '-m', 'not slow', '--ignore=tests/transfer']),
        success_codes=[0, 1],
    )
    found = junit.outcomes(report)
    if not session.posargs:
        versions = json.loads(session.run('python', '-W', 'ignore', '-c', VERSIONS, silent=True))
        text = junit.section(found, versions)
        page.replace(ROOT / 'docs' / 'compatibility.md', f'torch {torch}', text)
    if any(one.outcome == 'failed' for one in found):
        session.error('Some tests fail.')


STACKS = {
    'openmmlab': ('mmengine', 'mmcv-lite', 'mmpretrain'),
    'onedl': ('onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain'),
}
# Fewer pictures than the demo's.
PICTURES = 'dict(train=("fit", 600), val=("validation", 100), test=("test", 200))'
NAMES = (
    'import sys; from importlib.metadata import version; '
    'print(*(f"{name} {version(name)}" for name in sys.argv[1:]), sep=", ")'
)


@nox.session(reuse_venv=False)
@nox.parametrize('stack', list(STACKS), ids=list(STACKS))
def demo(session, stack):
    """`pip install 'mmcskd[STACK]'` where nothing is but pip, then the README's first command."""
    place = Path(session.create_tmp())
    shutil.rmtree(place)
    place.mkdir()
    session.install('torch', 'torchvision')
    session.run('python', '-m', 'pip', 'wheel', '--quiet', '--no-deps', '-w', str(place), str(ROOT))
    (wheel,) = place.glob('*.whl')
    session.install(f'{wheel}[{stack}]')
    shutil.copy(ROOT / 'demo' / 'make_digits_folder.py', place)
    session.chdir(place)
    environment = dict(PYTHONWARNINGS='ignore')
    code = f'import make_digits_folder as m; m.write("data/digits", {PICTURES})'
    session.run('python', '-c', code, env=environment)
    arguments = ('--augment', 'light', '--baseline', '--epochs', '2', '--teacher-epochs', '2')
    session.run('mmcskd', 'distill', 'data/digits', *arguments, env=environment)
    written = [path.name for path in sorted(Path('runs/digits').glob('*.*'))]
    names = ('mmcskd', 'torch', *STACKS[stack])
    installed = session.run('python', '-c', NAMES, *names, silent=True).strip()
    rows = [(installed, ', '.join(written), junit.revision(), datetime.date.today())]
    text = page.table(('installed', 'written', 'at revision', 'on'), rows)
    page.replace(ROOT / 'docs' / 'compatibility.md', f'demo {stack}', text)

"""What the documents say: links lead somewhere, commands run, keys exist."""

import ast
import importlib
import inspect
import operator
import re
import shlex

import pytest
import torch
from documents import PAGES, blocks
from mmengine.config import Config
from models import build
from packaging.version import Version
from tool_runs import LABORATORY, ROOT, SMALL, call, load_tool, run

import mmcskd

# Commands that something else runs, or that would change the environment the tests run in.
ELSEWHERE = {
    'bash demo/demo.sh': 'tests/tools/test_digits_folder.py, tests/app; takes minutes',
    'bash tools/run_tests.sh': 'runs these tests',
    'python -m pytest tests/faults': 'tools/run_tests.sh',
    'MMCSKD_FAULTS=all python -m pytest tests/faults': 'the same, for longer',
    'python .dev_scripts/support/sweep.py --out docs/support.md': 'takes half an hour; in part: '
    '.dev_scripts/tests/test_support.py',
    'nox -f .dev_scripts/noxfile.py': 'makes environments; its page: '
    '.dev_scripts/tests/test_compatibility.py',
    "nox -f .dev_scripts/noxfile.py -s 'tests(2.14.1)'": 'the same',
    "nox -f .dev_scripts/noxfile.py -s 'demo(openmmlab)' 'demo(onedl)'": 'the same',
    'git clone --branch v1.0.0 --depth 1 https://github.com/open-mmlab/mmrazor.git': 'of others',
    'python .dev_scripts/compatibility/mmrazor_tests.py mmrazor': 'in small: '
    '.dev_scripts/tests/test_compatibility.py',
    'pip install torch torchvision': 'tools/setup_env.sh',
    "pip install '.[openmmlab]'": 'tools/setup_env.sh, tests/test_wheel.py',
    "pip install '.[pictures]'": 'tools/setup_env.sh, as part of .[test]',
    'bash tools/install_mmcv.sh': 'tools/run_transfer_tests.sh',
    "pip install '.[transfer]'": 'tools/run_transfer_tests.sh, by tools/setup_env.sh',
    'tools/dist_train.sh configs/transfer/det/mask-rcnn_deit-s_1x_coco.py 8 --cfg-options '
    'custom_hooks.0.checkpoint=work_dirs/deit-s_backbone.pth': 'tests/transfer/'
    'test_transfer_processes.py',
    **{
        f'tools/dist_train.sh configs/custom/{name}.py 1': 'tests/configs/test_custom_configs.py'
        for name in ('teacher', 'student', 'baseline')
    },
    'python tools/make_config.py work_dirs/mine.py --data photos --teacher '
    'mmpretrain::resnet/resnet50_8xb32_in1k.py --teacher-ckpt work_dirs/teacher/epoch_15.pth '
    '--student mmpretrain::deit/deit-small-distilled_4xb256_in1k.py --epochs 50': 'tests/tools/'
    'test_make_config.py',
    'python demo/make_digit_scenes.py': 'tests/transfer/test_transfer_runs.py',
    **{
        f'tools/dist_train.sh configs/demo/{name}.py 2 --work-dir work_dirs/demo/{name}': 'takes '
        'minutes; in small: tests/tool_runs.py'
        for name in ('teacher_resnet18', 'cskd_vit_resnet18')
    },
    'python .dev_scripts/evidence/run.py': 'takes hours; in small: '
    '.dev_scripts/tests/test_evidence.py',
    'python .dev_scripts/evidence/report.py': 'writes the page itself; elsewhere: '
    '.dev_scripts/tests/test_evidence.py',
    'python demo/transfer_demo.py': 'takes an hour; in small: tests/transfer/test_transfer_demo.py',
    'python .dev_scripts/benchmarks/all.py': 'those below, one after another; takes half an hour',
    'python .dev_scripts/gpu/check.py --page docs/gpu.md': 'needs a GPU; in small on the CPU: '
    '.dev_scripts/tests/test_gpu_check.py',
    'python tools/train.py OUT/student/config.py --work-dir elsewhere': 'tests/app/test_distill.py',
    'python .dev_scripts/benchmarks/teacher.py': 'compiles a RegNetY-16GF, which takes minutes',
}
# The same commands in small.
SMALLER = (
    (re.compile(r'\.(py|pth) 8\b'), r'.\1 1'),
    (re.compile('epoch_300'), 'epoch_1'),
    (
        re.compile(r'(benchmarks/step\.py)'),
        r'\1 cskd_deit-ti_regnety --threads 1 --batch 2 --size 64 --rounds 2',
    ),
    (re.compile(r'(benchmarks/memory\.py)'), r'\1 --threads 1 --batch 2 --classes 100'),
    (
        re.compile(r'(benchmarks/bank\.py)'),
        r'\1 --threads 1 --batch 2 --size 64 --rounds 2 --views 16',
    ),
    (
        re.compile(r'(benchmarks/hooks\.py)'),
        r'\1 --threads 1 --batch 2 --size 64 --rounds 2 --iterations 3',
    ),
    (re.compile(r'(benchmarks/budget\.py)'), r'\1 --size 64 --bytes-a-view 700'),
    (
        re.compile(r'(benchmarks/scale\.py)'),
        r'\1 --images 1 2 --classes 9 99 --side 32 64 --processes 1 2 --images-a-process 1 '
        '--rounds 2 --warmup 0',
    ),
)
STUDENT = """
train_dataloader = dict(dataset=dict(length=16))
train_cfg = dict(max_epochs=1)
param_scheduler = None
default_hooks = dict(logger=dict(interval=1))
"""
BANKED = """
_base_ = './cskd_deit-s_regnety.py'
model = dict(bank=dict(path='work_dirs/bank'))
custom_hooks = [*_base_.custom_hooks, dict(type='mmrazor.ResponseBankHook')]
randomness = dict(seed=0)
"""
FINE_TUNING = """
_base_ = '{root}/configs/demo/none_vit.py'
model = dict(
    type='CSKDClassifier',
    finetune=True,
    backbone=dict(type='DistilledVisionTransformer'),
    head=dict(type='DeiTClsHead'),
)
custom_hooks = [dict(type='mmrazor.DistilledInitHook', checkpoint='named on the command line')]
"""


COMMANDS = list(
    dict.fromkeys(
        (line.split('  # ')[0].strip())
        for _, code in blocks('bash')
        for line in code.splitlines()
        # `mmcskd`: tests/test_snippets.py
        if line.strip() and not line.startswith('mmcskd ')
    )
)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links(page):
    text = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.M | re.S)
    links = re.findall(r'\]\(([^)\s]+)\)', text)
    for link in links:
        if link.startswith('http'):
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if anchor:
            titles = re.findall(r'^#+ (.*)$', target.read_text(), re.M)
            assert anchor in [
                re.sub(r'[^\w\- ]', '', t).lower().replace(' ', '-') for t in titles
            ], link
    if page.name in ('README.md',):
        assert links


@pytest.fixture(scope='module')
def sandbox(tmp_path_factory):
    """The checkout in small: its tools, and configs by the same names that train in seconds."""
    folder = tmp_path_factory.mktemp('sandbox')
    for part in ('tools', 'demo', '.dev_scripts'):
        (folder / part).symlink_to(ROOT / part)
    (folder / 'configs' / 'downstream').mkdir(parents=True)
    (folder / 'configs' / 'pictures').symlink_to(ROOT / 'configs' / 'pictures')
    demo = ROOT / 'configs' / 'demo'
    teacher = Config.fromfile(demo / 'digits.py').resnet18
    torch.save(build(teacher).state_dict(), folder / 'teacher.pth')
    small = SMALL.format(config=demo / 'cskd_vit_resnet18.py', batch=8) + STUDENT
    small += f"model = dict(teacher_ckpt='{folder / 'teacher.pth'}')\n"
    (folder / 'configs' / 'cskd_deit-s_regnety.py').write_text(small)
    (folder / 'configs' / 'cskd_deit-s_regnety_bank.py').write_text(BANKED)
    tuning = SMALL.format(config=demo / 'none_vit.py', batch=8) + STUDENT
    (folder / 'configs' / 'downstream' / 'deit-s_cifar100.py').write_text(
        re.sub(r'^_base_ = .*$', '', tuning, flags=re.M) + FINE_TUNING.format(root=ROOT)
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('command', [c for c in COMMANDS if c not in ELSEWHERE])
def test_command(command, sandbox):
    """In the order of the documents: what one writes the next one reads."""
    if 'budget.py' in command and Version(torch.__version__) < Version('2.3'):
        pytest.skip('its counter and torch.nn.attention are newer')
    for pattern, replacement in SMALLER:
        command = pattern.sub(replacement, command)
    if 'export_student' in command:
        command += ' --force'  # the documents name the same file more than once
    words = shlex.split(command)
    # A tool in this process; its launcher once, where no further argument is given.
    tool = re.match(
        r'(?:python tools/(\w+)\.py|tools/dist_(\w+)\.sh (?=.* 1 -)) ?([^$]*)$', command
    )
    if tool:
        arguments = shlex.split(tool[3].replace(' 1 -', ' -'))
        call(tool[1] or tool[2], *arguments, cwd=sandbox)
    else:
        run('bash', '-ec', command, cwd=sandbox)
    for flag, path in zip(words, words[1:]):
        if flag == '--out':
            assert (sandbox / path).stat().st_size > 0


def test_commands_run_elsewhere_are_still_there():
    assert set(ELSEWHERE) <= set(COMMANDS)


def documented():
    """Component → the keys in its table."""
    text = (ROOT / 'docs' / 'configuring.md').read_text()
    for section in re.split(r'^### ', text, flags=re.M)[1:]:
        section = re.split(r'^## ', section, flags=re.M)[0]
        keys = re.findall(r'^\| ((?:`\w+`(?:, )?)+) \|', section, re.M)
        yield re.match(r'`(\w+)`', section)[1], {k for row in keys for k in re.findall(r'\w+', row)}


@pytest.mark.parametrize('name, keys', documented())
def test_keys(name, keys):
    signature = inspect.signature(getattr(mmcskd, name).__init__)
    wanted = {
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.name != 'self'
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    assert keys == wanted


def test_every_component_is_documented():
    """All that a config can name; data of the demo and of fine-tuning have docstrings."""
    components = {name for name in mmcskd.__all__ if inspect.isclass(getattr(mmcskd, name))} - {
        'ClutteredDigits',
        'DigitScenes',
        'INaturalist',
        'PatchTokens',
        'Run',
    }
    assert {name for name, _ in documented()} == components


def messages():
    text = (ROOT / 'docs' / 'troubleshooting.md').read_text()
    own = text.split('## From the stack below')[0]
    return re.findall(r'^\| `(.+?)` \|', own, re.M)


def test_messages_are_the_ones_in_the_code():
    strings = [
        node.value
        for path in (ROOT / 'mmcskd').rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(messages()) > 15
    for message in messages():
        assert any(message in string for string in strings), message


def test_the_architecture_page_names_what_is_there():
    text = (ROOT / 'docs' / 'architecture.md').read_text()
    folders = [line.split()[0] for line in text.split('```')[1].splitlines() if line]
    paths = re.findall(r'`((?:mmcskd|configs|tools|docs|\.dev_scripts)/[\w./-]+)`', text)
    assert len(folders) > 15 and len(paths) > 15
    assert not [path for path in [*folders, *paths] if not (ROOT / path).exists()]
    assert {f'mmcskd/{path.name}' for path in (ROOT / 'mmcskd').glob('[a-z]*')} <= {
        folder.rstrip('/') for folder in folders
    } | {'mmcskd/py.typed', 'mmcskd/version.py'}
    steps = re.findall(r'^\| .* \| `(mmcskd/.*)\.py` \| `([\w.]+)` \|$', text, re.M)
    assert len(steps) > 15
    for module, name in steps:
        operator.attrgetter(name)(importlib.import_module(module.replace('/', '.')))


def test_the_architecture_page_has_the_measures():
    """The rows are those of measures.py; the numbers are of the day it was run."""
    text = (ROOT / 'docs' / 'architecture.md').read_text()
    measures = load_tool('measures', LABORATORY)
    table = text.split(measures.MARKERS[0])[1].split(measures.MARKERS[1])[0]
    rows = [line.split(' | ') for line in table.strip().splitlines()[2:]]
    assert [(name.strip('| '), before) for name, before, _ in rows] == list(measures.ROWS)
    assert measures.import_cycles() == []


def test_every_tool_is_in_the_table():
    table = (ROOT / 'README.md').read_text().split('## Tools')[1].split('## ')[0]
    scripts = {f'tools/{path.name}' for path in (ROOT / 'tools').iterdir() if path.is_file()}
    # Sourced by others, and no script by itself.
    assert set(re.findall(r'`(tools/[\w.]+)`', table)) == scripts - {'tools/launch.sh'}


def test_the_page_of_faults_has_one_table_with_its_tests():
    """All of them are there, and no file of tests/faults is left out."""
    text = (ROOT / 'docs' / 'faults.md').read_text()
    _, table = text.split('| fault | what happens | lost | tests |')
    rows = [line for line in table.splitlines()[2:] if line.startswith('| ')]
    assert '\n|--' not in table.split('\n', 2)[2]
    named = set()
    for row in rows:
        tests = re.findall(r'`([\w/.]+)`', row.rsplit(' | ', 1)[1])
        assert tests or '| **' in row, row
        for test in tests:
            file, _, name = test.partition('.')
            folder, _, stem = file.rpartition('/')
            named.add(file)
            path = ROOT / 'tests' / folder / f'test_{stem}.py'
            assert f'\ndef test_{name}' in path.read_text(), test
    files = {f'faults/{path.stem[5:]}' for path in (ROOT / 'tests' / 'faults').glob('test_*.py')}
    assert files <= named and len(rows) > 60

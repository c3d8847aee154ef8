"""The files for those who carry the project on name what is there."""

import re
from pathlib import Path

import pytest
import yaml

import mmcskd

ROOT = Path(__file__).parents[1]
WORKFLOW = yaml.safe_load((ROOT / '.github' / 'workflows' / 'tests.yml').read_text())
EXTRAS = re.search(
    r'^\[project.optional-dependencies\]$(.*?)^\[',
    (ROOT / 'pyproject.toml').read_text(),
    re.M | re.S,
)[1]


def test_the_workflow_runs_scripts_of_this_checkout():
    steps = [step for job in WORKFLOW['jobs'].values() for step in job['steps']]
    scripts = {step['run'].split()[1] for step in steps if 'run' in step}
    assert scripts == {
        'tools/run_tests.sh', '.dev_scripts/docs/build.sh', '.ci/run'
    }  # fmt: skip
    assert all((ROOT / script).is_file() for script in scripts)
    assert all(0 < job['timeout-minutes'] <= 150 for job in WORKFLOW['jobs'].values())


def test_the_workflow_tries_the_oldest_and_the_newest_torch():
    oldest, newest = WORKFLOW['jobs']['quick']['strategy']['matrix']['torch']
    assert oldest.startswith('torch==2.0') and '"torch>=2.0"' in EXTRAS.replace("'", '"')
    assert f'"{newest}"' in (ROOT / 'tools' / 'setup_env.sh').read_text()


def test_no_pull_request_runs_on_a_runner_of_ones_own():
    for job in WORKFLOW['jobs'].values():
        if 'self-hosted' in job['runs-on']:
            assert set(re.findall(r"== '(\w+)'", job['if'])) == {'schedule', 'workflow_dispatch'}


def test_hooks_before_a_commit_use_tools_of_the_extra_dev():
    (own,) = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos']
    tools = {hook['entry'].split()[0] for hook in own['hooks']}
    assert tools == {f'.venv/bin/{name}' for name in ('ruff', 'lint-imports', 'mypy')}
    for distribution in ('ruff==', 'import-linter', 'mypy', 'pre-commit'):
        assert f"'{distribution}" in EXTRAS


def test_the_citation_is_of_this_version_and_of_the_paper():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == mmcskd.__version__
    paper = citation['preferred-citation']
    assert paper['title'] == 'Cumulative Spatial Knowledge Distillation for Vision Transformers'
    assert [author['family-names'] for author in paper['authors']] == ['Zhao', 'Song', 'Liang']
    assert paper['year'] == 2023 and paper['url'] in (ROOT / 'README.md').read_text()


def test_the_changelog_has_this_version_and_sections_of_its_form():
    text = (ROOT / 'CHANGELOG.md').read_text()
    versions = re.findall(r'^## \[(.*?)\]( - \d{4}-\d\d-\d\d)?$', text, re.M)
    assert versions[0] == ('Unreleased', '')
    assert versions[1][0] == mmcskd.__version__ and all(day for _, day in versions[1:])
    sections = set(re.findall(r'^### (.*)$', text, re.M))
    assert sections <= {'Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'}


def test_modules_whose_types_are_not_checked_are_there():
    text = (ROOT / 'pyproject.toml').read_text()
    (listed,) = re.findall(r'module = \[([^]]*)\]\nignore_errors = true', text)
    modules = re.findall(r"'(mmcskd[\w.]+)'", listed)
    assert len(modules) == len(set(modules)) > 0
    assert [m for m in modules if not (ROOT / f'{m.replace(".", "/")}.py').is_file()] == []


@pytest.mark.parametrize('form', sorted((ROOT / '.github' / 'ISSUE_TEMPLATE').glob('[!c]*.yml')))
def test_forms_ask_what_is_needed(form):
    fields = yaml.safe_load(form.read_text())['body']
    asked = [field for field in fields if field['type'] != 'markdown']
    assert len({field['id'] for field in asked}) == len(asked) > 1
    assert any(field.get('validations', {}).get('required') for field in asked)


def test_the_page_for_contributors_names_what_is_there():
    text = (ROOT / 'CONTRIBUTING.md').read_text()
    links = re.findall(r'\]\(((?!http)[^)#\s]+)', text)
    paths = re.findall(r'(?<![\w/-])(?:\.?\w+/)+[\w-]+(?:\.\w+)?', text)
    here = {path for path in links + paths if not path.startswith(('site', 'dist', '.venv'))}
    assert len(here) > 15
    assert [path for path in here if not (ROOT / path).exists()] == []

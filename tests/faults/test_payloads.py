"""Fault: a file of a stranger, given to everything that reads it. Expected: no payload acts.

A payload makes a file, in a pickle or in a config that the file holds. Other files never end, or
fill the memory.
"""

import io
import os
import traceback
import zipfile

import pytest
import torch
from reader_runs import READERS, changed, good, opening

from mmcskd.runs import safe_loading
from mmcskd.runs.bounds import VARIABLE, BoundsError


class Call:
    """Pickled, a call that is made when it is read."""

    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize('name', READERS)
def test_good_files_are_read(place, name):
    """Without which a refusal would say nothing."""
    READERS[name](place, good(place, name))


def messages(error):
    """What a traceback prints of an error and of those that it shows before it."""
    text = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
    return '\n'.join(line for line in text.splitlines() if not line.startswith('    '))


def in_pickle(trap, content):
    content.setdefault('meta', {})['x'] = Call(exec, opening(trap))


def in_system_call(trap, content):
    content.setdefault('meta', {})['x'] = Call(os.system, f'touch {trap}')


@pytest.mark.parametrize('payload', [in_pickle, in_system_call])
@pytest.mark.parametrize('name', READERS)
def test_pickle(place, name, payload):
    """Refused, with the project's advice and not with torch's, wherever in the traceback."""
    trap = place / 'trap'
    path = changed(place, name, lambda content: payload(trap, content))
    with pytest.raises(Exception) as caught:
        READERS[name](place, path)
    text = messages(caught.value)
    assert not trap.exists() and '--trust' in text and 'this executes what lies in it' in text
    for advice in ('weights_only` set to `False`', 'weights_only=False', 'add_safe_globals'):
        assert advice not in messages(caught.value), advice


def in_itself(content):
    content['state_dict'] = content


def repeated(content):
    name = next(iter(content['state_dict']))
    content['state_dict'][name] = torch.zeros(1).expand(10**5, 10**5)


def doubled(content):
    content['state_dict']['x'] = double(60)


def double(times):
    found = [1]
    for _ in range(times):
        found = [found, found]
    return found


def nested(content):
    found = []
    for _ in range(500):
        found = [found]
    content['meta'] = dict(epoch=1, iter=2, x=found)


ENDLESS = {
    in_itself: 'contains itself',
    repeated: r'unfolds to 40,000,\d+,\d+ bytes from',
    doubled: 'unfolds to more than 10,000,000 entries',
    nested: 'is nested more than 100 deep',
}


@pytest.mark.parametrize('harm', ENDLESS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize('name', READERS)
def test_endless(place, name, harm):
    path = changed(place, name, harm)
    with pytest.raises(Exception, match=r'(?s)evil\.pth.*' + ENDLESS[harm]):
        READERS[name](place, path)


def inflated(path, bytes_):
    """A checkpoint that a zip program has compressed, of zeros."""
    torch.save(dict(state_dict=dict(w=torch.zeros(bytes_ // 4))), path)
    content = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, 'w', zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    path.write_bytes(content.getvalue())


@pytest.mark.parametrize('name', READERS)
def test_bomb(place, name):
    inflated(place / 'evil.pth', 80 << 20)
    assert (place / 'evil.pth').stat().st_size < 1 << 20
    with pytest.raises(Exception, match=r'(?s)evil\.pth.*unfolds to 83,\d+,\d+ bytes'):
        READERS[name](place, place / 'evil.pth')


def test_bounds_can_be_lifted(tmp_path, monkeypatch):
    """By the variable that the message names; what contains itself is refused all the same."""
    inflated(tmp_path / 'a.pth', 80 << 20)
    with pytest.raises(BoundsError, match=f'{VARIABLE}=off in the environment lifts'):
        safe_loading.load_from_local(str(tmp_path / 'a.pth'))
    monkeypatch.setenv(VARIABLE, 'off')
    assert safe_loading.load_from_local(str(tmp_path / 'a.pth'))['state_dict']['w'].sum() == 0
    content = {}
    in_itself(content)
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(BoundsError, match='contains itself'):
        safe_loading.load_from_local(str(tmp_path / 'a.pth'))


def in_configs(trap, content):
    meta = content.setdefault('meta', {})
    meta['config'] = opening(trap)
    meta['cfg'] = f'model = dict(type={opening(trap)})\nx = {opening(trap)}'


@pytest.mark.parametrize('name', READERS)
def test_saved_configs_are_not_executed(place, name):
    """Neither the config that MMEngine saves, nor the one it once saved and still executes."""
    READERS[name](place, changed(place, name, lambda found: in_configs(place / 'trap', found)))
    assert not (place / 'trap').exists()

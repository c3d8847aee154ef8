"""What a run says of itself at its end."""

from types import SimpleNamespace

from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub

from mmcskd.app.log import summary


def ended(last='run/epoch_3.pth', save_best=None, **info):
    """The last lines of a run, without the folders of its tools."""
    hook, hub = CheckpointHook(save_best=save_best), MessageHub('ended')
    hook.last_ckpt = last
    for name, value in info.items():
        hub.update_info(name, value)
    runner = SimpleNamespace(hooks=[hook], message_hub=hub, work_dir='run')
    return summary(runner, "it's.py", 'tools')


def test_the_best_one_is_the_next_to_test(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ended(save_best='top1', best_score=81.25, best_ckpt=f'{tmp_path}/run/best_2.pth') == [
        'Best top1: 81.25, in run/best_2.pth',
        'Last checkpoint: run/epoch_3.pth',
        """To test it:   python tools/test.py 'it'"'"'s.py' run/best_2.pth""",
        'To export it: python tools/export_student.py run/best_2.pth run/student.pth',
    ]


def test_several_metrics(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    info = {'best_score_top1': 80.0, 'best_ckpt_top1': 'run/a.pth', 'best_score_top5': 95.123456}
    lines = ended(save_best=['top1', 'top5'], **info, **{'best_ckpt_top5': '/far/b.pth'})
    assert lines[:2] == ['Best top1: 80, in run/a.pth', 'Best top5: 95.12, in /far/b.pth']
    assert 'run/a.pth run/student.pth' in lines[-1]


def test_nothing_saved():
    assert ended(last=None) == ['The training is over; no checkpoint was saved.']

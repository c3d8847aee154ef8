import pytest
import torch
from bank_runs import DEMO
from mmengine.config import Config
from mmrazor.registry import MODELS


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A folder with a teacher's weights."""
    folder = tmp_path_factory.mktemp('bank')
    torch.manual_seed(0)
    teacher = MODELS.build(Config.fromfile(DEMO).model.teacher)
    teacher.init_weights()
    torch.save(teacher.state_dict(), folder / 'teacher.pth')
    return folder

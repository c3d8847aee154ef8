import pytest
from small_runs import make_imagenet


@pytest.fixture(scope='session')
def imagenet(tmp_path_factory):
    """ImageNet in its layout on the disk, with few images."""
    return make_imagenet(tmp_path_factory.mktemp('imagenet'))

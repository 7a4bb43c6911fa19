import pytest
from PIL import Image

from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor
from tests.tiny import tiny_tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture
def processor(tokenizer):
    """Tiles of 32 px with 4x4 patches, at most 4 of them."""
    return AmaliaVLProcessor(AmaliaVLImageProcessor(size=32, patch_size=8, max_tiles=4), tokenizer)


@pytest.fixture
def image():
    """60 px high, 40 wide: 2x2 tiles, a column of patches is padding on each side; 16 + 8 * (6 + 1) tokens."""
    return Image.new("RGB", (40, 60), "red")

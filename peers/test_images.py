"""The common tests of image processors."""

import sys
import unittest

import pytest
from upstream.test_image_processing_common import ImageProcessingTester, ImageProcessingTestMixin

from amalia_vl_hf import AmaliaVLImageProcessor
from peers.expected import IMAGE_FAILURES


class AmaliaVLImageProcessingTester(ImageProcessingTester):
    """Tiles of 32 px, at most four an image."""

    def __init__(self, parent, **kwargs):
        kwargs.setdefault("size", {"height": 32, "width": 32})
        kwargs.setdefault("max_tiles", 4)
        super().__init__(parent, **kwargs)

    def _get_image_processing_classes(self):
        return {"pil": AmaliaVLImageProcessor}

    def prepare_image_processor_dict(self):
        return {"size": self.size, "max_tiles": self.max_tiles, "patch_size": 8}


class AmaliaVLImageProcessingTest(ImageProcessingTestMixin, unittest.TestCase):
    image_processor_tester_class = AmaliaVLImageProcessingTester

    def test_pil_can_load_without_torchvision(self):
        """Theirs looks for the class inside transformers; ours is loaded by now."""
        assert "torchvision" not in sys.modules


for _name, _reason in IMAGE_FAILURES.items():
    _test = getattr(AmaliaVLImageProcessingTest, _name)
    setattr(AmaliaVLImageProcessingTest, _name, pytest.mark.xfail(strict=True, reason=_reason)(_test))

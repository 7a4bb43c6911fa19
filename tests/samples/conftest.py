"""The tiny model and samples of the training tests."""

from tests.training.conftest import base, parts, pictures, recipe_for, samples  # noqa: F401

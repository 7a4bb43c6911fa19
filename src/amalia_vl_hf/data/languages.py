"""The languages a sample is in, and their names."""

from typing import Literal

Language = Literal["pt", "en"]
LANGUAGES: tuple[Language, ...] = ("pt", "en")
LANGUAGE_NAMES: dict[Language, str] = {"pt": "português europeu", "en": "inglês"}  # in prompts
ENGLISH_NAMES: dict[Language, str] = {"pt": "European Portuguese", "en": "English"}  # on cards

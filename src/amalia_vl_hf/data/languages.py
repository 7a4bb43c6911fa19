"""The languages a sample is in, their names, and their words that several datasets count with."""

from typing import Literal

Language = Literal["pt", "en"]
LANGUAGES: tuple[Language, ...] = ("pt", "en")
LANGUAGE_NAMES: dict[Language, str] = {"pt": "português europeu", "en": "inglês"}  # in prompts
ENGLISH_NAMES: dict[Language, str] = {"pt": "European Portuguese", "en": "English"}  # on cards
# Feminine in Portuguese, as lines and sentences are.
ORDINALS: dict[Language, tuple[str, ...]] = {
    "pt": ("primeira", "segunda", "terceira", "quarta", "quinta", "sexta", "sétima", "oitava", "nona", "décima"),
    "en": ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
}

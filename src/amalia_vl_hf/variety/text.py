"""What of a text the variety filter reads, and whether it is Portuguese at all."""

from __future__ import annotations

import functools
import re
import unicodedata

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")  # soft hyphens and zero-width signs, inside words
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_CODE_IN_LINE = re.compile(r"`[^`\n]+`")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+")
_WORD = re.compile(r"\b[a-zà-öø-ÿ]+\b")  # y0 of a box is none
_PROGRAM = re.compile(r"^(?:[ \t]{2,}\S.*|(?:def|class|for|while|if|with)\b.*:[ \t]*)$", re.MULTILINE)

# Frequent function words of Portuguese, and of English, Spanish, French, Italian, German and Dutch.
_PORTUGUESE = """
ainda algum alguma alguns antes ao aos aquela aquele até cada depois dos duas dum duma então está estão eu foi
foram fazer há isso isto já lhe mais meu minha muito muita nas nem nos não nós onde ou outra outro outros pela
pelo pelas pelos pode podem porque quais qual quando quem se sem ser seu seus seja são só sua suas também tem
ter todas todos três têm um uma umas uns vai você vocês à às é da das do na num numa com em
"""
_OTHER = """
about after all also an and are at be been but by can could did does for from had has have he her his how if
into is it its more not of on only or our she should that the their there these they this to was we were what
when where which who will with would you your al con cuando del donde el ella ellos es esta esto este fue han
hay hasta las los más muy ni para pero por puede que según sin sino su sus también todo todos una unas uno unos
y ya au aux avec ces cette dans des du elle elles est et il ils je la le les leur mais même nous ont pas plus
pour qui sont sur tout très un une vous che degli dei della delle di gli ha hanno nel nella più sono alla anche
come questo questa è auch auf aus das dem den der die ein eine einen für im ist mit nach nicht sich sie sind und
von werden wird zu zum aan bij een en het hij met niet op te van voor wordt zijn
"""
# Words that other languages have too, beside those in both lists: they tell nothing.
_COMMON = frozenset(("se", "da", "do", "das", "em", "que", "para", "por", "este", "esta", "todo", "como"))
_OURS = frozenset(_PORTUGUESE.split()) - frozenset(_OTHER.split()) - _COMMON
_THEIRS = frozenset(_OTHER.split()) - frozenset(_PORTUGUESE.split()) - _COMMON
# Enough where nothing else is there: no other language of the list has these words but Spanish.
_LIKELY = frozenset(("o", "os", "e", "de", "para", "por", "do", "das", "em", "da"))


def clean(text: str) -> str:
    """Compose accents, and take out what is nobody's dialect: code blocks, addresses, invisible signs."""
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    if "```" in text:
        text = _CODE.sub("\n", text)
    return _ADDRESS.sub(" ", text) if "://" in text or "www." in text else text


def is_portuguese(text: str) -> bool | None:
    """Tell whether a text is Portuguese: at least as many words that are as of six other languages.

    Function words are counted, and for Portuguese those with ã or õ. English, Spanish, French, Italian, German and
    Dutch are known; a text in another script has no known words. Lines of a program (`if not done:`), and what
    stands in backticks, are not read where there is anything else.

    Returns:
        True or False, or None where no known word is there.
    """
    lower = text.lower()
    words = _WORD.findall(_CODE_IN_LINE.sub(" ", _PROGRAM.sub("", lower))) or _WORD.findall(lower)
    sides = [*map(_side, words)]
    ours, theirs = sides.count("ours"), sides.count("theirs")
    if ours or theirs:
        return ours >= theirs
    return True if not _LIKELY.isdisjoint(words) else None


@functools.lru_cache(maxsize=1 << 15)
def _side(word: str) -> str:
    """Tell whose a word is: no other language of the list has ã or õ."""
    if word in _OURS or "ã" in word or "õ" in word:
        return "ours"
    return "theirs" if word in _THEIRS else ""

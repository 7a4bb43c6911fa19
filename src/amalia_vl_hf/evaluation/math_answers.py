r"""Mathematical answers: MATH-Vision's rules, and a small evaluator of LaTeX arithmetic that cannot hang.

The official scorer runs `eval()` on what a model says, which `\boxed{9^{9^{9}}}` keeps busy for ever. Here an
expression has a largest length, depth and value; what is beyond has no value, and is compared as text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from .parsing import LETTERS, letter

Value = Fraction | float  # exact, where all that went in was

LONGEST = 200  # characters of an expression
DEEPEST = 20  # brackets within brackets
LARGEST = 1e30  # what values may come to
PLACES = 2  # decimal places that two values are compared to

_FLAGS = (
    *("the final answer is", "the answer is", "the correct answer is", "the answer should be"),
    *("Resposta:", "A resposta é", "A resposta correta é", "A resposta deve ser"),
)
_DELETED = (  # by the official scorer from any answer, in this order
    *("\\text", "\\mbox", "\\left", "\\right", "^{\\circ}", "^\\circ", "{m}^3", "m^3", "{units}", "units"),
    *("{km}", "km", "\\!", "\\$", "$", "\\%"),
)
_FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    **{"sin": math.sin, "cos": math.cos, "tan": math.tan, "ln": math.log, "log": math.log10, "exp": math.exp},
}
_TOKEN = re.compile(
    r"\s*(\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+|\\[a-zA-Z]+|\\.|[-+*/^_!%(){}\[\]|a-zA-Zπ√×÷·−])"
)
_BRACKETS = {"\\{": "\\}", "(": ")", "{": "}", "[": "]", "|": "|"}
_UNKNOWN_THERE = re.compile(r"(?<!\\)%|[|−×·÷π√]|\\frac(?!\{)|\\frac\{[^{}]*\}(?!\{)|\\sqrt(?![{\[])")
_UNITS = r"(?:\\text|\\mathrm|\\mbox)\s*\{[^{}]*\}|\^?\{?\\circ\}?|°|º|\\?%|€|\\[,;! ]"


class _NoValueError(ValueError):
    """An expression without a value, or beyond the bounds."""


def evaluate(expression: str, official: bool = False) -> Value | None:
    r"""Work out an arithmetic expression in LaTeX; None where it has no value, or a too large one.

    Args:
        expression: In LaTeX.
        official: Whether it is read as the official scorer's library reads it: `2^3^2` is 64, `1:2` is 0.5, and signs
            that are not LaTeX, percentages and `\frac12` without braces have no value.

    >>> evaluate(r"\frac{1}{2}+3"), evaluate("9^{9^{9}}"), evaluate("99999999!"), evaluate("3x")
    (Fraction(7, 2), None, None, None)
    """
    if len(expression) > LONGEST or (official and _UNKNOWN_THERE.search(expression)):
        return None
    text = re.sub(r"\\(?:left|right)\b|\$", "", expression)
    try:
        if official:  # it stops at a brace that nothing opened
            text = text.replace(":", "/")
            text = text[:-1] if text.endswith("}") and text.count("}") > text.count("{") else text
        return _Reader(text, official).whole()
    except (_NoValueError, ArithmeticError, ValueError):
        return None


class _Reader:
    """Reads one expression, from left to right.

    Args:
        expression: In LaTeX.
        leftward: Whether powers of powers are taken from the left.
    """

    def __init__(self, expression: str, leftward: bool = False) -> None:
        self.leftward = leftward
        self.tokens: list[str] = []
        place = 0
        text = expression.strip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if not match:
                raise _NoValueError(text[place])
            self.tokens.append(match.group(1))
            place = match.end()
        self.place = self.depth = 0

    def whole(self) -> Value:
        value = self.sum()
        if self.place < len(self.tokens):
            raise _NoValueError(self.tokens[self.place])
        return value

    def next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, *tokens: str) -> str:
        """Take the next token if it is one of these."""
        token = self.next()
        if token not in tokens or not token:
            return ""
        self.place += 1
        return token

    def sum(self) -> Value:
        value = self.product()
        while sign := self.take("+", "-", "−"):
            other = self.product()
            value = _bounded(value + other if sign == "+" else value - other)
        return value

    def product(self) -> Value:
        value = self.signed()
        while True:
            if self.take("*", "×", "·", "\\times", "\\cdot"):
                value = _bounded(value * self.signed())
            elif self.take("/", "÷", "\\div"):
                value = _divided(value, self.signed())
            elif self.next() and self.next() not in ("+", "-", "−", ")", "}", "\\}", "]", "|", "^", "!", "%", "\\%"):
                value = _bounded(value * self.power())  # 3\sqrt{2}
            else:
                return value

    def signed(self) -> Value:
        if self.take("-", "−"):
            return -self.deeper(self.signed)
        return self.deeper(self.signed) if self.take("+") else self.power()

    def power(self) -> Value:
        base = self.postfix()
        while self.take("^"):
            base = _raised(base, self.deeper(self.postfix if self.leftward else self.signed))
        return base

    def postfix(self) -> Value:
        value = self.atom()
        while mark := self.take("!", "%", "\\%"):
            value = _factorial(value) if mark == "!" else _divided(value, Fraction(100))
        return value

    def atom(self) -> Value:
        token = self.next()
        self.place += 1
        if token[:1].isdigit() or token[:1] == ".":
            plain = token.replace(",", "")
            return _bounded(float(plain) if "." in plain else Fraction(plain))
        if token in _BRACKETS:
            value = self.closed(_BRACKETS[token])
            return max(value, -value) if token == "|" else value
        if token in ("\\pi", "π"):
            return math.pi
        if token in ("\\frac", "\\dfrac", "\\tfrac"):
            return _divided(self.group(), self.group())
        if token in ("\\sqrt", "√"):
            order = self.closed("]") if self.take("[") else Fraction(2)
            return _root(self.group(), order)
        if token == "\\log" and self.take("_"):
            base = self.group()
            return _bounded(math.log(self.deeper(self.power), base))
        if token.removeprefix("\\") in _FUNCTIONS:
            return _bounded(_FUNCTIONS[token.removeprefix("\\")](float(self.deeper(self.power))))
        raise _NoValueError(token)

    def closed(self, closing: str) -> Value:
        value = self.deeper(self.sum)
        if not self.take(closing):
            raise _NoValueError(f"no {closing}")
        return value

    def group(self) -> Value:
        r"""Read what a command is followed by: braces, or, as in `\frac12`, one digit."""
        token = self.next()
        if token.isdigit() and len(token) > 1:
            self.tokens[self.place : self.place + 1] = [token[0], token[1:]]
        return self.deeper(self.atom)

    def deeper(self, read: Callable[[], Value]) -> Value:
        """Read on within one bracket, sign or command more."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise _NoValueError("too deep")
        value = read()
        self.depth -= 1
        return value


def _bounded(value: Value) -> Value:
    if not -LARGEST <= value <= LARGEST or (isinstance(value, Fraction) and value.denominator > LARGEST):
        raise _NoValueError("too large")
    return value


def _divided(value: Value, divisor: Value) -> Value:
    return _bounded(value / divisor)


def _raised(base: Value, exponent: Value) -> Value:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        if abs(exponent) * max(abs(base.numerator).bit_length(), base.denominator.bit_length()) <= 128:
            return _bounded(Fraction(base**exponent.numerator))
        if abs(base) != 1:
            raise _NoValueError("too large")
    return _bounded(math.pow(base, exponent))


def _root(value: Value, order: Value) -> Value:
    if isinstance(value, Fraction) and order == 2 and value >= 0:
        top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
        if (top**2, bottom**2) == (value.numerator, value.denominator):
            return Fraction(top, bottom)
    return _raised(float(value), _divided(1.0, order))


def _factorial(value: Value) -> Value:
    if value != int(value) or not 0 <= value <= 27:  # 28! is beyond the largest value
        raise _NoValueError("too large")
    return Fraction(math.factorial(int(value)))


def published_math(answer: str, reference: str, options: Sequence[str]) -> bool:
    """Whether MATH-Vision's official rules take an answer for right; what hangs them is wrong here."""
    text = _published_ending(answer.strip())
    text = _published_formula(text)
    for known in "abcde":
        text = text.replace(f"({known})", known).replace(f"{{{known}}}", known)
    text = text.rstrip(".").lstrip(":").strip()
    place = LETTERS.find(reference) if len(reference) == 1 else -1
    values = [reference, *options[place : place + 1]] if place >= 0 else [reference]
    return any(_published_equal(value, text) for value in values)


def _published_ending(text: str) -> str:
    """Cut an answer down to what the official rules take for its result."""
    for known in LETTERS[:5]:
        ends, begins = (f" {known}.", f" ({known})."), (f"{known}\n", f"({known})\n", f"({known}) {known}\n")
        text = known if text.endswith(ends) or text.startswith(begins) else text
    last = text.split("is ")[-1].rstrip(".")
    text = last if _is_number(last) else text
    if text.count("oxed{") > 1:
        return "\\boxed{" + text.split("oxed{")[-1]
    if "oxed{" not in text:
        for flag in (form for known in _FLAGS for form in (known, known.replace("the", "The", 1))):
            if flag in text:
                text = text.split(flag)[-1].strip().split("\n")[0].split(". ")[0]
            text = text.strip()
    return text


def _published_formula(text: str) -> str:
    """Take the formula out of an answer, and tidy it, as the official rules do."""
    text = text.lower().replace("{}", "")
    if boxes := re.findall(r"oxed{(.*)}", text, flags=re.DOTALL):
        text = boxes[-1]
    if "}" in text and (("{" not in text) or text.find("}") < text.find("{")):
        text = text.split("}")[0]
    text = text.split("=")[-1].split("\\approx")[-1]
    text = text.replace(" ", "").replace("\\,", "").replace("∞", "\\infty").replace("+\\infty", "\\infty")
    text = text.replace("\\\\", "\\").replace("\n", "").replace("tfrac", "frac").replace("dfrac", "frac")
    for piece in _DELETED:
        text = text.replace(piece, "")
    text = f"0{text}" if text.startswith(".") else text.replace("{.", "{0.")
    if "\\sqrt" in text:  # only there are roots and fractions without braces given some
        text = re.sub(r"\\sqrt([^{])", r"\\sqrt{\1}", text)
        text = re.sub(r"\\frac([^{])([^{])", r"\\frac{\1}{\2}", re.sub(r"\\frac([^{])\{", r"\\frac{\1}{", text))
    return text


def _published_equal(one: str, other: str) -> bool:
    one, other = one.lower(), other.lower()
    if not one.replace(" ", "") or not other.replace(" ", ""):
        return False
    if one.strip() == other.strip():
        return True
    one, other = _tuple(one), _tuple(other)
    return one == other or _same_value(evaluate(one, official=True), evaluate(other, official=True))


def _tuple(text: str) -> str:
    """Work out the entries of a tuple or list; anything else stays as it is."""
    entries = text[1:-1].split(",")
    if len(entries) < 2 or text[0] + text[-1] not in ("()", "[]"):
        return text
    values = [
        entry if "infty" in entry or entry in ("a", "-a") else _rounded(evaluate(entry, official=True))
        for entry in entries
    ]
    return text if None in values else f"{text[0]}{','.join(map(str, values))}{text[-1]}"


def _rounded(value: Value | None) -> str | None:
    if value is None:
        return None
    whole = isinstance(value, Fraction) and value.denominator == 1
    return str(int(value)) if whole else str(round(float(value), PLACES))


def _same_value(one: Value | None, other: Value | None) -> bool:
    return one is not None and other is not None and round(float(one), PLACES) == round(float(other), PLACES)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def same_answer(answer: str, reference: str, options: Sequence[str] = ()) -> bool:
    r"""Whether an answer is the reference: the same letter or option, or a value that is equal to two decimal places.

    Decimal commas, units and degrees are understood; the last `\boxed{}` counts, else what is called the answer.

    >>> same_answer(r"\boxed{12{,}5}", "12.5"), same_answer("A resposta correta é 12 cm", "12")
    (True, True)
    """
    result = _result(answer)
    if options and len(reference) == 1 and reference in LETTERS[: len(options)]:
        letters = LETTERS[: len(options)]
        chosen = letter(result, letters, options) or (letter(answer, letters, options) if result != answer else None)
        if chosen:
            return chosen == reference
        equal = [known for known, option in zip(letters, options, strict=True) if _same(result, option)]
        return equal == [reference]
    return _same(result, reference)


def _result(answer: str) -> str:
    """Give what an answer ends in: its last box, or what follows the last word that announces a result."""
    if boxes := list(re.finditer(r"oxed\s*\{", answer)):
        return _balanced(answer[boxes[-1].end() :])
    announced = re.split(r"(?i)\b(?:resposta|resultado|answer|result)\b[^\n:=]{0,30}?(?::|=|\bé\b|\bis\b)", answer)
    return (announced[-1].strip().split("\n")[0] if len(announced) > 1 else answer).strip()


def _balanced(text: str) -> str:
    """Give a text up to the brace that closes the one before it."""
    depth = 1
    for place, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if not depth:
            return text[:place]
    return text


def _same(one: str, other: str) -> bool:
    one, other = _plain(one), _plain(other)
    if not one or not other:
        return False
    return one.replace(" ", "").casefold() == other.replace(" ", "").casefold() or any(
        _same_value(left, right) for left in _values(one) for right in _values(other)
    )


def _plain(text: str) -> str:
    """Take away delimiters, units and what stands before an equals sign."""
    text = re.sub(_UNITS, " ", text.strip().strip("$").rstrip(".").replace("{,}", ",").replace("\\left", ""))
    text = re.split(r"=|\\approx|≈", text.replace("\\right", ""))[-1].strip(" .$*")
    return re.sub(r"(?<=[\d)}])\s*(?:[a-zA-Z]{1,4}(?:\^?[23²³])?|graus|euros|metros|unidades)$", "", text).strip()


def _values(text: str) -> list[Value]:
    """Work a formula out, with commas as decimal ones and, where there may be thousands, as those."""
    forms = {re.sub(r"(?<=\d),(?=\d)", ".", text), text}
    return [value for form in sorted(forms) if (value := evaluate(form)) is not None]

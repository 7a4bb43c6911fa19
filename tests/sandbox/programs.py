"""Programs of Python 3.11's grammar whose output no later version changes: forms, each put into several places."""

import textwrap

# By what they show: code that prints, and that runs wherever a statement may stand.
FORMS = {
    "if, elif, else": """
for number in (1, 2, 3):
    if number == 1:
        print("one")
    elif number == 2:
        print("two")
    else:
        print("many")
""",
    "while, else": """
number = 3
while number:
    number -= 1
else:
    print("over", number)
""",
    "for, else, break, continue": """
for limit in (3, 9):
    for number in range(5):
        if number == 1:
            continue
        if number == limit:
            break
        print(number, end=" ")
    else:
        print("to the end")
print()
""",
    "try, except as, else, finally": """
for divisor in (2, 0, "a"):
    try:
        value = 8 // divisor
    except ZeroDivisionError as error:
        print("caught", type(error).__name__)
    except (TypeError, ValueError):
        print("another")
    else:
        print("value", value)
    finally:
        print("finally")
""",
    "try, except*": """
try:
    raise ExceptionGroup("several", [ValueError(1), TypeError(2), ValueError(3)])
except* ValueError as group:
    print([error.args for error in group.exceptions])
except* TypeError as group:
    print(len(group.exceptions))
""",
    "raise, raise from": """
try:
    try:
        raise KeyError("first")
    except KeyError as error:
        raise ValueError("second") from error
except ValueError as error:
    print(error, repr(error.__cause__))
try:
    try:
        raise OSError("again")
    except OSError:
        raise
except OSError as error:
    print(error)
""",
    "with as": """
import contextlib, io
with io.StringIO() as stream:
    stream.write("written")
    print(stream.getvalue())
with contextlib.suppress(ZeroDivisionError):
    1 / 0
""",
    "with, several": """
import io
with (
    io.StringIO("a") as first,
    io.StringIO("b") as second,
):
    print(first.read(), second.read())
with io.StringIO("c") as third, io.StringIO("d"):
    print(third.read())
""",
    "def, every kind of parameter": """
def show(one, two=2, /, three=3, *rest, four, five=5, **others):
    return one, two, three, rest, four, five, others
print(show(1, four=4), show(1, 2, 3, 4, four=5, six=6))
""",
    "def, annotations": '''
def add(left: int, right: "int" = 1) -> int:
    """Add."""
    return left + right
print(add(1), add.__doc__, sorted(add.__annotations__))
''',
    "return": """
def early(value):
    if value:
        return
    return value, value
print(early(1), early(0))
""",
    "lambda": """
print((lambda: 1)(), (lambda a, *b, c=3, **d: (a, b, c, d))(1, 2, d=4))
""",
    "decorators": """
def twice(function):
    return lambda value: function(function(value))
@twice
@twice
def increase(value):
    return value + 1
print(increase(0))
""",
    "class": """
class Base:
    kind = "base"
    def __init_subclass__(cls, /, name="", **others):
        super().__init_subclass__(**others)
        cls.name = name
@staticmethod
def nothing():
    pass
class Derived(Base, name="derived"):
    size: int = 3
    @property
    def area(self):
        return self.size ** 2
    @classmethod
    def make(cls):
        return cls()
print(Derived.make().area, Derived.name, Derived.kind, Derived.__annotations__["size"])
""",
    "yield": """
def count(limit):
    number = 0
    while number < limit:
        sent = yield number
        number += sent or 1
generator = count(6)
print(next(generator), generator.send(2), list(generator))
""",
    "yield from": """
def inner():
    yield 1
    return "end"
def outer():
    result = yield from inner()
    yield result
print(list(outer()))
""",
    "async def, await": """
class Pause:
    def __await__(self):
        return (yield "paused")
async def work():
    return await Pause(), await Pause()
coroutine = work()
print(coroutine.send(None), coroutine.send(1))
try:
    coroutine.send(2)
except StopIteration as end:
    print(end.value)
""",
    "async for, async with": """
class Numbers:
    def __init__(self):
        self.left = 3
    def __aiter__(self):
        return self
    async def __anext__(self):
        self.left -= 1
        if self.left < 0:
            raise StopAsyncIteration
        return self.left
    async def __aenter__(self):
        return self
    async def __aexit__(self, *error):
        print("closed")
async def work():
    async with Numbers() as numbers:
        async for number in numbers:
            print(number)
        else:
            print("over")
    return [number async for number in Numbers() if number], {number async for number in Numbers()} == {0, 1, 2}
try:
    work().send(None)
except StopIteration as end:
    print(end.value)
""",
    "async generators": """
async def produce():
    for number in range(3):
        yield number
async def work():
    return {number: number * 2 async for number in produce()}
try:
    work().send(None)
except StopIteration as end:
    print(end.value)
""",
    "global": """
def set_it():
    global shared
    shared = 5
set_it()
print(globals()["shared"])
""",
    "nonlocal": """
def counter():
    count = 0
    def increase():
        nonlocal count
        count += 1
        return count
    return increase
increase = counter()
print(increase(), increase())
""",
    "del": """
values, named = [1, 2, 3, 4], {"a": 1, "b": 2}
del values[0], values[1:], named["a"]
print(values, named)
del named
try:
    named
except NameError:
    print("gone")
""",
    "assert": """
assert True, "not shown"
try:
    assert not 1, "shown"
except AssertionError as error:
    print(error)
""",
    "import as, from import as": """
import os.path as place, json
import string
from math import floor as down, ceil
from collections import (
    Counter,
    OrderedDict as Ordered,
)
print(place.join("a", "b"), json.dumps([1]), string.digits, down(1.5), ceil(1.5))
print(Counter("aab")["a"], Ordered(a=1)["a"])
""",
    "match: values, alternatives, guards": """
import string
for subject in (1, "two", None, True, -2.5, string.digits, 7, b"x"):
    match subject:
        case True | None as single:
            print("single", single)
        case 1 | -2.5:
            print("number")
        case "two" | b"x":
            print("text")
        case string.digits:
            print("named")
        case other if other == 7:
            print("guard")
        case _:
            print("any")
""",
    "match: sequences, mappings, classes": """
class Point:
    __match_args__ = ("x", "y")
    def __init__(self, x, y):
        self.x, self.y = x, y
for subject in ([], [1], (1, 2, 3), {"a": 1, "b": 2}, Point(0, 5), 3, "ab"):
    match subject:
        case []:
            print("empty")
        case [one]:
            print("one", one)
        case (first, *rest):
            print(first, rest)
        case {"a": value, **others}:
            print(value, others)
        case Point(0, y=height):
            print("point", height)
        case int(number):
            print("int", number)
        case str() as text:
            print(text)
""",
    "soft keywords as names": """
match, case, _, type = 1, 2, 3, 4
print(match + case, _, type)
""",
    "assignment": """
one = two = [0]
first, (second, *middle), last = 1, (2, 3, 4), 5
one[0], name = "item", "text"
typed: int = 6
(bare): list[int] = []
print(one is two, one, first, second, middle, last, name, typed, bare)
""",
    "augmented assignment": """
value = 7
value += 5; value -= 2; value *= 6; value //= 4; value %= 8; value **= 2; value <<= 3; value >>= 1
value |= 3; value &= 250; value ^= 9
print(value)
value /= 4
print(value)
class Matrix:
    def __init__(self, entries):
        self.entries = entries
    def __matmul__(self, other):
        return Matrix(self.entries + other.entries)
product = Matrix("a") @ Matrix("b")
product @= Matrix("c")
print(product.entries)
""",
    "assignment expressions": """
if (length := len("abc")) > 2:
    print(length, [kept for number in range(4) if (kept := number * 2) > 2], kept)
""",
    "operators": """
print(7 + 2, 7 - 2, 7 * 2, 7 / 2, 7 // 2, 7 % 2, 7 ** 2, 7 << 2, 7 >> 1, 7 | 8, 7 & 3, 7 ^ 2, -7, +7, ~7, not 7)
""",
    "comparisons": """
values = [1, 2]
print(1 < 2 <= 2 != 3 > 2 >= 2 == 2, 1 in values, 3 not in values, values is values, values is not [1, 2])
""",
    "and, or, not, conditional": """
print(0 or "left" and "right", not (1 and 0), "yes" if [] else "no", None or () or "last")
""",
    "comprehensions": """
pairs = [(row, column) for row in range(3) if row for column in range(row) if not column % 2]
print(pairs, {letter: len(letter) for letter in ("a", "bb")}, sorted({number % 3 for number in range(9)}))
print(sum(number for number in range(5)), [[cell * 2 for cell in row] for row in ((1, 2), (3,))])
""",
    "displays and unpacking": """
head, tail = [1, 2], {"b": 2}
print([*head, 3], (*head,), {*head} == {1, 2}, {"a": 1, **tail}, (), [], {}, (1,), 1, *head, sep="|")
""",
    "subscripts, slices, attributes": """
class Box:
    def __getitem__(self, key):
        return key
letters, box = "abcdef", Box()
box.inner = Box()
print(letters[0], letters[-1], letters[1:4], letters[::-2], letters[:], box[1, 2], box[1:2, ...], box.inner[3])
print(box[(*letters[:2], 1)])
""",
    "calls": """
def show(*values, **named):
    return values, named
print(show(1, *[2, 3], four=4, **{"five": 5}), show(*"ab", *"c"), show(number for number in range(1)) is None)
""",
    "formatted strings": """
name, value, width = "ação", 1234.5678, 12
print(f"{name} {name!r:>8} {name!a} {value:{width},.2f}| {{}} {value = :.1f} {'inner'}" "joined" rf"\\d{1 + 1}")
""",
    "constants": """
print(None, True, False, ..., 1_000, 0xff, 0o17, 0b101, 1.5e3, 2j, b"bytes\\x00", r"raw\\n", "\\u00e7", '''three
lines''', 10**30, -0.0, float("inf"))
""",
    "pass, expressions, comments": """
pass
"a string alone"; ...  # and a comment
def stub(): pass
class Empty: pass
print(stub(), Empty.__name__); print(1 + \\
    2)
""",
}


def _nested(head, code, tail):
    return f"{head}\n{textwrap.indent(code.strip(), '    ')}\n{tail}\n"


# Where a form stands: its name, and the program with the form there.
PLACES = {
    "module": str.strip,
    "function": lambda code: _nested("def place():", code, "place()"),
    "method": lambda code: _nested("class Place:\n  def place(self):", code, "Place().place()"),
    "loop": lambda code: _nested("for turn in range(2):", code, "print('end')"),
    "try": lambda code: _nested("try:", code, "finally:\n    print('end')"),
    "generator": lambda code: _nested("def place():", code, "    yield 'end'\nprint(*place())"),
    "text": lambda code: f"exec(compile({code.strip()!r}, 'place', 'exec'), {{}})",
}
# What may stand at the beginning of a module alone.
MODULES = {
    "from __future__": """'Documented.'
from __future__ import annotations
value: unknown = 1
print(__doc__, value)""",
    "from import *": "from math import *\nprint(floor(2.5), pi)",
    "__name__": "if __name__ == '__main__':\n    print('main')",
}


def programs(form):
    """Give the form in every place; of a form of modules, itself."""
    return [MODULES[form]] if form in MODULES else [place(FORMS[form]) for place in PLACES.values()]

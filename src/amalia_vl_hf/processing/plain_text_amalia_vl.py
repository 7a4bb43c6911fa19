"""What stands in a conversation's texts is text: `<image>` or `<|im_end|>` there is no slot and ends no turn.

A rendered chat cannot tell the template's control tokens from a user's words. Where a text holds one, it is rendered
with the mark U+FDD0 behind each character that control tokens begin with. Marked chats are read by a twin of the
tokenizer, which drops the marks, and whose control tokens have other names of the same length and the same ids: no
text can write them, and offsets of characters stay those of the rendered chat. Chats without such texts need no twin,
and get the same ids from it.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

# Noncharacters, which Unicode keeps for a program's own use: no text that is interchanged holds them.
MARK, _NAME = "\ufdd0", "\ufdd1"
# Types of parts that are images and videos, and where such a part has its own.
IMAGES, VIDEOS = ("image", "image_url"), ("video",)
PAYLOADS = {IMAGES: ("image", "url", "path", "base64", "image_url"), VIDEOS: ("video", "url", "path")}
ROLES = ("system", "user", "assistant")
_PRIVATE = 0xF0000  # where Unicode's private characters begin, 65,534 of them
_ROLE_TEST = re.compile(r"""role['"]?\s*\]?\s*(?:[=!]=|(?:not\s+)?in\b)\s*([\[(][^\])]*[\])]|'[^']*'|"[^"]*")""")
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")

Turns = Sequence[Mapping[str, Any]]


def control_tokens(tokenizer: PreTrainedTokenizerBase, slots: Sequence[str], template: Any) -> tuple[str, ...]:
    """List what acts when it is tokenised: special tokens, and other added ones that the template writes.

    Args:
        tokenizer: The model's.
        slots: What stands for an image or a video.
        template: The chat template, or several by name.

    Returns:
        The tokens, longest first, so that none is taken for a part of another.
    """
    source = "\n".join(template.values()) if isinstance(template, Mapping) else str(template)
    added = tokenizer.added_tokens_decoder.values()
    acting = {str(token) for token in added if token.special or (str(token).strip() and str(token) in source)}
    return tuple(sorted((token for token in {*slots, *acting} if len(token) > 1), key=lambda t: (-len(t), t)))


def require_plain(turns: Turns, template: str, where: str, tokens: Sequence[str] = ()) -> None:
    """Hold a conversation to roles that the template knows and texts that can be tokenised as they are.

    Args:
        turns: `role` / `content` turns.
        template: The chat template; roles that it compares with are allowed beside `ROLES`.
        where: What to call the conversation in errors.
        tokens: Control tokens, to be named beside a forged mark.

    Raises:
        ValueError: Another role; a content or a text that is missing, no text, or half of a surrogate pair; a text
            with U+FDD0 or U+FDD1, which mark what is text.
    """
    if not isinstance(turns, list | tuple) or not turns:
        raise ValueError(f"{where}: a conversation is a list of turns, not {'empty' if turns == [] else repr(turns)}")
    for number, turn in enumerate(turns):
        if not isinstance(turn, Mapping):
            raise ValueError(f"{where}, turn {number}: must have a role and a content, not be {type(turn).__name__}")
        role = turn.get("role")
        if role not in ROLES and (not isinstance(role, str) or role not in _roles(template)):
            known = ", ".join(dict.fromkeys([*ROLES, *_roles(template)]))
            raise ValueError(f"{where}, turn {number}: role {role!r} is none of {known}")
        if turn.get("content") is None and turn.get("tool_calls") and "tool_calls" in template:
            continue
        for text in _texts(turn.get("content"), f"{where}, turn {number}"):
            require_text(text, where, tokens)


@contextmanager
def of_template() -> Iterator[None]:
    """Say of whatever a chat template raises that it is the template's: a checkpoint brings its own.

    Raises:
        ValueError: An error was raised while it was rendered, of whichever kind: an unknown filter, an endless range.
    """
    try:
        yield
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and not str(trace.tb_frame.f_globals.get("__name__")).startswith("jinja2"):
            trace = trace.tb_next
        if trace is None:
            raise
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"the chat template cannot be rendered: {said or type(error).__name__}") from error


@lru_cache(maxsize=8)
def _roles(template: str) -> tuple[str, ...]:
    """List the roles that a template compares with."""
    tests = [quoted for test in _ROLE_TEST.findall(template) for quoted in _QUOTED.findall(test)]
    return tuple(dict.fromkeys(single or double for single, double in tests if single or double))


def _texts(content: Any, where: str) -> list[Any]:
    """List a turn's texts; those of parts of any other type are the template's to judge."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list | tuple):
        raise ValueError(f"{where}: content must be text or a list of parts, not {type(content).__name__}")
    if odd := [part for part in content if not isinstance(part, Mapping) or not isinstance(part.get("type"), str)]:
        raise ValueError(f"{where}: a part must have a type, as 'text' or 'image', but one is {str(odd[0])[:80]!r}")
    texts = [part.get("text") for part in content if part["type"] == "text"]
    if odd := [text for text in texts if not isinstance(text, str)]:
        raise ValueError(f"{where}: the text of a part must be text, not {type(odd[0]).__name__}")
    return texts


def require_text(text: str, where: str, tokens: Sequence[str] = ()) -> None:
    """Refuse what no text holds that is interchanged: U+FDD0 and U+FDD1, which mark what is text, and half characters.

    Raises:
        ValueError: There is one; names the place, and the control tokens that stand beside it.
    """
    if not text.isascii() and (forged := [mark for mark in (MARK, _NAME) if mark in text]):
        literal = literal_tokens([text], tokens)
        beside = f"special tokens ({', '.join(literal)}) and " if literal else ""
        raise ValueError(f"{where}: {beside}the noncharacter U+{ord(forged[0]):X} in one text; is it an attack?")
    require_characters(text, where)


def require_characters(text: str, where: str) -> None:
    """Refuse halves of surrogate pairs, which JSON may hold and tokenizers cannot read.

    Raises:
        ValueError: There is one; names the place.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where}: the text has half of a surrogate pair ({text[error.start]!a}) at character {error.start}"
        ) from None


def literal_tokens(texts: Sequence[str], tokens: Sequence[str]) -> list[str]:
    """List the control tokens that stand literally in texts."""
    pattern = _pattern(tuple(tokens))
    return sorted({token for text in texts for token in pattern.findall(text)}) if tokens else []


def count_slots(chat: Sequence[Mapping[str, Any]], slot: str, types: tuple[str, ...]) -> tuple[int, int]:
    """Count a conversation's parts of some types, and the slots of its contents that are strings.

    Args:
        chat: The conversation.
        slot: What stands for such a part.
        types: `IMAGES` or `VIDEOS`.
    """
    contents = [turn.get("content") or "" for turn in chat]
    return (
        sum(part["type"] in types for content in contents if not isinstance(content, str) for part in content),
        sum(content.count(slot) for content in contents if isinstance(content, str)),
    )


def held_by(chats: Sequence[Sequence[Mapping[str, Any]]], types: tuple[str, ...]) -> list[int]:
    """Count the images or videos that the parts of each conversation hold."""
    parts = [
        [p for turn in chat if not isinstance(turn.get("content") or "", str) for p in turn["content"]]
        for chat in chats
    ]
    return [
        sum(p.get(key) is not None for p in some for key in PAYLOADS[types] if p["type"] in types) for some in parts
    ]


def images_of(chats: Sequence[Sequence[Mapping[str, Any]]], options: Mapping[str, Any]) -> list[int]:
    """Count the images of each conversation: those in its parts, or those that the call is given beside it."""
    beside = (options.get("processor_kwargs") or {}).get("images", options.get("images"))
    if beside is not None:
        return [count_images(beside)] if len(chats) == 1 else [count_images(entry) for entry in beside]
    return held_by(chats, IMAGES)


def count_images(images: Any) -> int:
    """Count images that are not loaded yet."""
    if images is None:
        return 0
    if isinstance(images, list | tuple):
        return sum(count_images(entry) for entry in images)
    return len(images) if getattr(images, "ndim", 0) == 4 else 1


def mark_turns(turns: Turns, tokens: tuple[str, ...], slots: Collection[str] = ()) -> list[dict[str, Any]]:
    """Mark the texts of a conversation in which control tokens stand.

    Args:
        turns: Checked turns.
        tokens: The control tokens.
        slots: Tokens of images and videos that are slots in string contents; others are text there, as everywhere.
    """
    return [{key: _mark_entry(key, value, tokens, slots) for key, value in turn.items()} for turn in turns]


def _mark_entry(key: str, value: Any, tokens: tuple[str, ...], slots: Collection[str]) -> Any:
    if key == "role":
        return value
    if key != "content" or value is None:
        return mark_values(value, tokens)
    if isinstance(value, str):
        pieces = re.split(f"({'|'.join(map(re.escape, slots))})", value) if slots else [value]
        pieces[::2] = _mark_texts(pieces[::2], tokens)  # what is between slots
        return "".join(pieces)
    # Parts follow each other without anything between, so that a token may stand in several of them together.
    texts = iter(_mark_texts([part["text"] for part in value if part["type"] == "text"], tokens))
    return [{**part, "text": next(texts)} if part["type"] == "text" else part for part in value]


def _mark_texts(texts: list[str], tokens: tuple[str, ...]) -> list[str]:
    return [mark(text, tokens) for text in texts] if _pattern(tokens).search("".join(texts)) else texts


def mark_values(value: Any, tokens: tuple[str, ...]) -> Any:
    """Mark every text in nested lists and mappings: tools, documents, calls."""
    if isinstance(value, str):
        return _mark_texts([value], tokens)[0]
    if isinstance(value, Mapping):
        return {key: mark_values(entry, tokens) for key, entry in value.items()}
    return [mark_values(entry, tokens) for entry in value] if isinstance(value, list | tuple) else value


def mark(text: str, tokens: tuple[str, ...]) -> str:
    """Break every control token in a text, and every beginning of one.

    Examples:
        >>> mark("a <image> b", ("<image>",)).replace(MARK, "|")
        'a <|image> b'
    """
    return _beginning(tokens).sub(lambda first: first[0] + MARK, text)


def require_marks(text: str, tokens: tuple[str, ...], where: str) -> None:
    """Hold the marks of a rendered chat to those that `mark` sets.

    Raises:
        ValueError: There is another one, or a noncharacter of the twin's names.
    """
    if not text.isascii() and (_NAME in text or _stray_mark(tokens).search(text)):
        raise ValueError(f"{where}: the noncharacters U+FDD0 and U+FDD1 mark what is text; is it an attack?")


def rename_tokens(text: str, tokens: tuple[str, ...]) -> str:
    """Give the control tokens of a marked chat the names that they have in the twin."""
    names = _names(tokens)
    return _pattern(tokens).sub(lambda token: names[token[0]], text)


def twin_of(tokenizer: PreTrainedTokenizerBase, tokens: tuple[str, ...]) -> PreTrainedTokenizerFast:
    """Give the twin of a tokenizer: it drops marks, and reads control tokens by names that no text holds.

    Args:
        tokenizer: A fast tokenizer.
        tokens: Its control tokens.

    Raises:
        ValueError: The tokenizer is not a fast one.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"{type(tokenizer).__name__} is no fast tokenizer, so a text cannot hold {', '.join(tokens)}")
    twin = _twin(tokenizer, tokens)
    twin.backend_tokenizer.post_processor = tokenizer.backend_tokenizer.post_processor  # may be set at any time
    return twin


@lru_cache(maxsize=4)
def _twin(tokenizer: PreTrainedTokenizerBase, tokens: tuple[str, ...]) -> PreTrainedTokenizerFast:
    names = _names(tokens)
    return PreTrainedTokenizerFast(
        tokenizer_object=_renamed_backend(tokenizer.backend_tokenizer, names),
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        clean_up_tokenization_spaces=False,
        **{role: _rename(value, names) for role, value in tokenizer.special_tokens_map.items()},
    )


def _rename(value: Any, names: Mapping[str, str]) -> Any:
    """Rename a token, or each of a list or mapping of them."""
    if isinstance(value, Mapping):
        return {key: _rename(entry, names) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rename(entry, names) for entry in value]
    return names.get(str(value), str(value))


def _renamed_backend(backend: Tokenizer, names: Mapping[str, str]) -> Tokenizer:
    state = json.loads(backend.to_str())
    for token in state["added_tokens"]:
        if token["content"] in names:  # sought before normalisation, in which the names might not survive
            token.update(content=names[token["content"]], normalized=False)
    model = state["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(piece, piece): index for piece, index in model["vocab"].items()}
    else:  # Unigram keeps a list of pieces with their scores
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token"):
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    twin = Tokenizer.from_str(json.dumps(state))
    own = [backend.normalizer] if backend.normalizer else []
    twin.normalizer = normalizers.Sequence([normalizers.Replace(MARK, ""), *own])
    return twin


@lru_cache(maxsize=8)
def _names(tokens: tuple[str, ...]) -> dict[str, str]:
    """Name each token anew, in as many characters."""
    return {token: _NAME + chr(_PRIVATE + index) + _NAME * (len(token) - 2) for index, token in enumerate(tokens)}


@lru_cache(maxsize=8)
def _pattern(tokens: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(token) for token in tokens))


@lru_cache(maxsize=8)
def _beginning(tokens: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(f"[{re.escape(''.join(sorted({token[0] for token in tokens})))}]")


@lru_cache(maxsize=8)
def _stray_mark(tokens: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(f"(?<!{_beginning(tokens).pattern}){MARK}")

"""Texts that differ in one word: which words, what may stand there, and in which order they come."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from astral_model.adapter import Adapter
from astral_model.denoiser import Denoiser
from astral_model.engine import Control, Request
from astral_model.sampler import VARIANTS, FlowEngine
from astral_model.variants import MOST_POSITIONS, Variant, variants, words_of
from astral_model.vocabulary import Vocabulary
from astral_model.words import BUILTINS

from tests.model.tiny import tiny_backbone

BASE = tiny_backbone()
CONTEXT = BASE.context([1, 2, 3])


def adapter() -> Adapter:
    torch.manual_seed(5)
    made = Adapter(BASE.shape, rank=4)
    with torch.no_grad():
        made.mask_embedding.normal_()
    made.requires_grad_(False)
    made.prepare(BASE.dtype)
    return made


ADAPTER = adapter()
DENOISER = Denoiser(BASE, ADAPTER)
EVERYTHING = Vocabulary(BASE, None)


def only(*pieces: str) -> Vocabulary:
    """A vocabulary of these tokens and the end."""
    ids = [BASE.tokenizer.pieces.index(piece.encode()) for piece in pieces]
    return Vocabulary(BASE, torch.tensor([*ids, BASE.tokenizer.end]))


def made(
    text: str, vocabulary: Vocabulary = EVERYTHING, names: tuple[str, ...] = (), forced: str = ""
) -> list[Variant]:
    return variants(DENOISER, vocabulary, CONTEXT, text, frozenset(names), forced=forced)[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c in checked", ["c", "in", "checked"]),
        ("return x.real + 1", ["x", "real", "+", "1"]),
        ("not a and b <= 2.5", ["a", "and", "b", "<=", "2.5"]),
        ("f(key=value, *rest)", ["f", "value", "*", "rest"]),
        ("key = value", ["key", "value"]),
        ("'a b' + \"c\"  # d e\n", ["'a b'", "+", '"c"']),
        ("x if None else -y", ["x", "None", "-", "y"]),
        ("def g(a) -> int:\n    x += 1", ["g", "a", "int", "x", "1"]),
        ("größe == e1", ["größe", "==", "e1"]),
        ("", []),
    ],
)
def test_the_words_that_may_change(text: str, words: list[str]) -> None:
    assert [text[word.start : word.end] for word in words_of(text)] == words


@pytest.mark.parametrize(
    ("text", "at", "admitted", "refused"),
    [
        ("a == b", 0, ["x", "1", "None"], ["if", "==", "", "x y", "x."]),
        ("a == b", 1, ["!=", "<", "in"], ["+", "a", "=", "and"]),
        ("a + b", 1, ["-", "//"], ["==", "+="]),
        ("a and b", 1, ["or"], ["in", "a"]),
        ("a.real", 1, ["imag"], ["1", "None"]),
        ("f(1)", 0, ["g"], ["1", "None"]),
    ],
)
def test_a_word_gives_way_to_words_of_its_kind(
    text: str, at: int, admitted: list[str], refused: list[str]
) -> None:
    word = words_of(text)[at]
    assert [other for other in admitted if not word.admits(other)] == []
    assert [other for other in refused if word.admits(other)] == []


def test_a_variant_differs_in_one_word_and_what_gains_most_comes_first() -> None:
    found = made("a + b", only("a", "b", "c", "+", "-"))
    assert {one.text for one in found} == {"b + b", "c + b", "a - b", "a + a", "a + c"}
    gains = [one.gain for one in found]
    assert gains == sorted(gains, reverse=True)


def test_it_gains_what_the_new_word_is_likelier_with_all_else_given() -> None:
    vocabulary = only("a", "b", "c", "+")
    tokens = BASE.tokenizer.encode("a + b")
    ids = torch.tensor([[*tokens, vocabulary.end]])
    masked = torch.zeros_like(ids, dtype=torch.bool)
    masked[0, len(tokens) - 1] = True
    extra = vocabulary.extra(CONTEXT.ids, tokens)
    hidden = DENOISER.hidden(ids, masked, CONTEXT)[0, len(tokens) - 1]
    chances = vocabulary.logits(hidden[None], extra).log_softmax(-1)[0]
    new, old = (vocabulary.all_ids(extra).tolist().index(BASE.tokenizer.encode(word)[0]) for word in "cb")
    found = {one.text: one.gain for one in made("a + b", vocabulary)}
    assert found["a + c"] == pytest.approx(float(chances[new] - chances[old]), abs=1e-4)


def test_a_name_that_is_not_bound_is_no_variant() -> None:
    found = made("a + b", only("a", "b", "c", "+", "-"), names=("a", "b"))
    assert {one.text for one in found} == {"b + b", "a - b", "a + a"}


def test_names_of_several_tokens_are_found_by_their_first() -> None:
    name = "qz"
    assert len(BASE.tokenizer.encode(name)) > 1
    assert f"a + {name}" in [one.text for one in made("a + b", only("q", "b"), (name,))]


def test_what_stands_before_the_text_and_is_written_again_stays() -> None:
    found = made("a + b", only("a", "b", "c", "+", "-"), forced=" ")
    assert "c + b" in [one.text for one in found]
    assert all(not one.text.startswith(" ") for one in found)


def test_a_long_text_is_asked_for_its_unlikeliest_words() -> None:
    text = " + ".join("abcdefgh" * 8)
    _, passes = variants(DENOISER, EVERYTHING, CONTEXT, text, frozenset())
    size = len(BASE.tokenizer.encode(text))
    assert 2 <= passes <= max(2, MOST_POSITIONS // size) < len(words_of(text))


def test_a_stop_ends_it_between_passes() -> None:
    found, passes = variants(DENOISER, EVERYTHING, CONTEXT, "a + b", frozenset(), stop=lambda: True)
    assert (found, passes) == ([], 0)


REQUEST = Request("x = a\nb = x\ny = ", "\n", "x = a\nb = x\ny = ", "\n", "expression", names=("x", "b", "a"))


def repaired(text: str, *rejected: str) -> list[str]:
    request = replace(REQUEST, rejected=frozenset(rejected))
    return [draft.text for draft in FlowEngine(BASE, ADAPTER).repair(request, text, [], Control())]


def test_the_engine_repairs_with_names_that_are_bound() -> None:
    found = repaired("x + 1")
    assert 0 < len(found) <= VARIANTS
    for text in found:
        used = {text[word.start : word.end] for word in words_of(text)}
        assert {word for word in used if word.isidentifier()} <= {"x", "b", "a"} | BUILTINS


def test_what_is_known_does_not_come_back() -> None:
    first = repaired("x + 1")[0]
    assert not {"x + 1", first} & set(repaired("x + 1", first))

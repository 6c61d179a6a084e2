"""Which tokens the name constraint holds back. `$0`: where the text that is being written stands."""

from __future__ import annotations

import pytest
import torch
from astral_model.engine import Request
from astral_model.names import UNBOUND, NameRule

NAMES = ("chain", "value", "iterable", "self", "repeat", "np", "count")


def lost(fixture: str, piece: str, names: tuple[str, ...] = NAMES, forced: str = "") -> float:
    """Nats that ``piece`` loses behind the text between ``«`` and ``$0`` of ``fixture``."""
    before, _, rest = fixture.partition("«")
    text, _, after = rest.partition("$0")
    pieces = [b"", piece.encode(), b"value"]
    request = Request(before + forced, after, before + forced, after, "any", names=names)
    rule = NameRule(request, forced, pieces)
    found = rule.steer(forced + text, torch.tensor([-3.0, -1.0, -2.0]), torch.tensor([0, 1, 2]))
    return -1.0 - float(found[1])


@pytest.mark.parametrize(
    ("fixture", "piece"),
    [
        ("return «$0", "signal"),
        ("return «$0", " itertools"),
        ("return «chain(sig$0", "nal"),
        ("return «chain($0", "xs"),
        ("return «chain(valu$0", "ation"),
        ("return «chain(valu$0", ")"),
        ("return «valu$0", ".x"),
        ("return «chain(value, $0", "nope"),
        ("x = «[1, $0", "nope"),
        ("return «value if $0", "nope"),
        ("print(«f'{value}', $0", "nope"),
    ],
)
def test_a_name_that_nothing_binds_is_held_back(fixture: str, piece: str) -> None:
    assert lost(fixture, piece) == pytest.approx(UNBOUND)


@pytest.mark.parametrize(
    ("fixture", "piece"),
    [
        ("return «$0", "value"),
        ("return «$0", "val"),  # may become `value`
        ("return «val$0", "ue"),
        ("return «value$0", ")"),
        ("return «value$0", ".signal"),  # an attribute
        ("return «value.$0", "signal"),
        ("return «$0", "len"),
        ("return «$0", "not "),
        ("return «[$0", "x"),  # a comprehension may bind it
        ("return «[word for $0", "word"),
        ("return «[word for word in value if $0", "word"),  # it stands in the text
        ("return «sorted(value, $0", "key"),  # a keyword argument
        ("f(value, quiet=True)\nreturn «chain($0", "quiet"),
        ("return «lambda $0", "a"),
        ("«$0", "signal"),  # a statement may bind it
        ("«value, $0", "signal"),
        ("«signal = value\n$0", "signal"),
        ("«signal = value\nreturn $0", "signal"),
        ("«import $0", "os"),
        ("«from x import $0", "y"),
        ("«with value as $0", "y"),
        ("«def f($0", "signal"),
        ("return «'$0", "signal"),  # text
        ("return «chain('a', \"$0", "signal"),
        ("return «value  # $0", "signal"),
        ('«"""One\n$0', "signal"),
        ("return «value, $0", '"nope'),
        ("return «$0", "f'"),
        ("def f(signal):\n    x = 1\n    return «$0", "signal"),  # of this function, whatever Γ says
        ("chain(nope«$0", "=True"),  # the file's own name
        ("return «$0", "0x1"),
        ("return «1$0", "e5"),
        ('"""In a\n«$0', "signal"),
    ],
)
def test_what_may_be_bound_is_not(fixture: str, piece: str) -> None:
    assert lost(fixture, piece) == 0.0


def test_what_follows_in_the_block_may_wait_for_a_name() -> None:
    assert lost("f(«$0)\n    return signal\n", "signal") == 0.0
    assert lost("f(«$0)\n\n\ndef g(signal): ...\n", "signal") == pytest.approx(UNBOUND)
    assert lost("    f(«$0)\n\n    def g(signal): ...\n", "signal") == pytest.approx(UNBOUND)


def test_a_healed_part_is_a_part_of_the_name() -> None:
    assert lost("return «$0", "val", forced=" ") == 0.0
    assert lost("return «$0", "lue", forced="va") == 0.0
    assert lost("return «$0", "gue", forced="va") == pytest.approx(UNBOUND)


def test_without_gamma_words_of_the_file_will_do() -> None:
    assert lost("signal = 1\nreturn «$0", "signal", names=()) == 0.0
    assert lost("signal = 1\nreturn «$0", "nope", names=()) == pytest.approx(UNBOUND)
    assert lost("from x import *\nreturn «$0", "nope", names=()) == 0.0


def test_where_all_are_unknown_the_order_stays() -> None:
    rule = NameRule(Request("x = ", "", "x = ", "", names=("value",)), "", [b"nope", b"nada"])
    before = torch.tensor([-1.0, -2.0])
    after = rule.steer("", before, torch.tensor([0, 1]))
    assert torch.equal(after, before - UNBOUND)

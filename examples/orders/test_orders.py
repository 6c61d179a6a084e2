"""Tests of orders.py: each reaches one hole only, so a fill can be judged before the others are there."""

from orders import Line, Order, unpaid


def tea() -> Order:
    return Order("Ada", [Line("sencha", 450, 2), Line("assam", 380), Line("cup", 700)])


def test_total_adds_all_lines() -> None:
    assert tea().total() == 1980
    assert Order("Bob").total() == 0


def test_add_joins_lines_of_the_same_product() -> None:
    order = tea()
    order.add("assam", 380, 3)
    assert [line.quantity for line in order.lines] == [2, 4, 1]


def test_add_appends_a_new_product() -> None:
    order = tea()
    order.add("matcha", 1200)
    assert order.lines[-1] == Line("matcha", 1200, 1)
    assert len(order.lines) == 4


def test_largest_line() -> None:
    assert tea().largest_line().product == "sencha"


def test_product_names_of_all_lines() -> None:
    assert tea().product_names() == ["sencha", "assam", "cup"]
    assert Order("Bob").product_names() == []


def test_unpaid_keeps_the_order() -> None:
    ada, bob, eve = Order("Ada"), Order("Bob", paid=True), Order("Eve")
    assert unpaid([ada, bob, eve]) == [ada, eve]

"""Orders of a small tea shop. All prices are whole cents."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Line:
    """Some quantity of one product."""

    product: str
    unit_price: int
    quantity: int = 1

    def total(self) -> int:
        """Price of the whole line."""
        return self.unit_price * self.quantity


@dataclass
class Order:
    """What one customer asked for."""

    customer: str
    lines: list[Line] = field(default_factory=list)
    paid: bool = False

    def total(self) -> int:
        """Sum of the totals of all lines."""
        amounts: list[int] = ...
        return sum(amounts)

    def add(self, product: str, unit_price: int, quantity: int = 1) -> None:
        """Add to the line of this product, or append a new line when there is none."""
        for line in self.lines:
            if ...:
                line.quantity += quantity
                return
        self.lines.append(Line(product, unit_price, quantity))

    def largest_line(self) -> Line:
        """The line with the highest total."""
        return max(self.lines, key=...)

    def product_names(self) -> list[str]:
        """Return the product name of every line."""
        raise NotImplementedError


def unpaid(orders: list[Order]) -> list[Order]:
    """Orders that have not been paid yet."""
    return ...


def format_price(cents: int) -> str:
    """Write an amount of cents as euros with two decimals.

    >>> format_price(1250)
    '12.50 EUR'
    >>> format_price(5)
    '0.05 EUR'
    """
    ...

"""What a segment's tree says about one customer, read from its JSON, in plain Python.

Written from the product's definitions and not from the compiler: no SQL, one customer at a
time, every answer computed anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cached_property
from statistics import median
from typing import Any

from envoi.delivery.models import MessageState
from shoppers import CHANNELS, NOW, PRODUCTS, RUNS, TODAY, ZONE, Bought, Got, Shop, Shopper

Settings = dict[str, Any]


def compared(operator: str, found: Any, value: Any, upper: Any = None) -> bool:
    """Compare what has an order; nothing is neither above nor below, and it is not the value."""
    if found is None:
        return operator == "ne"
    orders: dict[str, Callable[[], bool]] = {
        "eq": lambda: found == value,
        "ne": lambda: found != value,
        "lt": lambda: found < value,
        "le": lambda: found <= value,
        "gt": lambda: found > value,
        "ge": lambda: found >= value,
        "between": lambda: value <= found <= upper,
    }
    return orders[operator]()


def number_holds(s: Settings, found: Any) -> bool:
    if s["operator"] in {"empty", "not_empty"}:
        return (found is None) is (s["operator"] == "empty")
    return compared(s["operator"], found, s["value"], s.get("upper"))


def text_holds(s: Settings, found: str | None, fold: Callable[[str], str] | None = None) -> bool:
    fold = fold or (lambda text: "".join(letter.lower() for letter in text))
    have, want = fold(found or ""), fold(s.get("value", ""))
    wants = [fold(word) for word in s.get("values", [])]
    said: dict[str, bool] = {
        "is": have == want,
        "in": have in wants,
        "starts": have.startswith(want),
        "contains": want in have,
        "not_empty": True,
    }
    positive = {"is_not": "is", "not_in": "in", "not_contains": "contains", "empty": "not_empty"}
    operator = s["operator"]
    if operator in positive:
        return not (have and said[positive[operator]])
    return bool(have) and said[operator]


def exactly(s: Settings, found: str | None) -> bool:
    return text_holds(s, found, str)


def date_holds(s: Settings, found: date | None) -> bool:
    operator, days = s["operator"], s.get("days", 0)
    if operator in {"empty", "not_empty"}:
        return (found is None) is (operator == "empty")
    if operator == "not_in_last":
        return not date_holds(s | {"operator": "in_last"}, found)
    if operator == "in_last":
        return found is not None and TODAY - timedelta(days=days) <= found <= TODAY
    if operator == "in_next":
        return found is not None and TODAY <= found <= TODAY + timedelta(days=days)
    if operator == "anniversary_in":
        return found is not None and found.month == int(s["month"])
    if operator.startswith("anniversary"):
        first = date.fromisoformat(s["value"]) if "value" in s else TODAY
        coming = [first + timedelta(days=n) for n in range(min(days, 366) + 1)]
        return found is not None and any(_celebrated(found, day) for day in coming)
    value, upper = (date.fromisoformat(s[k]) if k in s else None for k in ("value", "upper"))
    return compared(operator, found, value, upper)


def _celebrated(born: date, day: date) -> bool:
    if (born.month, born.day) != (2, 29):
        return (born.month, born.day) == (day.month, day.day)
    leap = day.year % 4 == 0
    return (day.month, day.day) == ((2, 29) if leap else (2, 28))


def _age(born: date | None) -> int | None:
    if born is None:
        return None
    return TODAY.year - born.year - ((TODAY.month, TODAY.day) < (born.month, born.day))


def _day(at: datetime) -> date:
    return at.astimezone(ZONE).date()


def _inside(s: Settings, at: datetime) -> bool:
    """Whether a moment is in the condition's period."""
    if "within_days" in s:
        return _day(at) >= TODAY - timedelta(days=s["within_days"]) and at <= NOW
    first, last = s.get("since", "0001-01-01"), s.get("until", "9999-12-31")
    return date.fromisoformat(first) <= _day(at) <= date.fromisoformat(last)


def _moment_holds(s: Settings, moments: list[datetime]) -> bool:
    if s["operator"] == "never":
        return not moments
    at = (max if s["criterion"] == "last" else min)(moments, default=None)
    if s["operator"] in {"in_last", "not_in_last"}:
        inside = at is not None and _inside({"within_days": s["days"]}, at)
        if s["criterion"] == "last":
            inside = any(_inside({"within_days": s["days"]}, each) for each in moments)
        return inside is (s["operator"] == "in_last")
    return date_holds(s, at and _day(at))


def _cents(s: Settings) -> Settings:
    return s | {k: Fraction(str(s[k])) * 100 for k in ("value", "upper") if k in s}


@dataclass(frozen=True)
class Naive:
    """Evaluates trees over one shop."""

    shop: Shop

    @cached_property
    def leavers(self) -> list[Shopper]:
        """Who has left something: few of all."""
        return [person for person in self.shop.people if person.left]

    def holds(self, node: dict[str, Any], person: Shopper) -> bool:
        """Tell whether a tree holds for a customer."""
        if "all" in node:
            return all(self.holds(child, person) for child in node["all"])
        if "any" in node:
            return any(self.holds(child, person) for child in node["any"])
        if "not" in node:
            return not any(self.holds(child, person) for child in node["not"])
        said: Callable[[Settings, Shopper], bool] = getattr(self, f"_{node['source']}")
        return said(node["settings"], person)

    def _all_customers(self, s: Settings, person: Shopper) -> bool:
        return True

    def _attribute(self, s: Settings, person: Shopper) -> bool:
        name = s["criterion"]
        found = person.attributes.get(name)
        if name == "gender":
            return exactly(s, ["not_stated", "female", "male"][person.attributes["gender"]])
        if name.endswith("_quality"):
            names = {0: "good", 30: "no_address", 31: "format_error", 40: "landline"}
            return exactly(s, names[person.attributes[name]])
        if name == "age":
            return number_holds(s, _age(person.attributes["birth_date"]))
        if name in {"birth_date", "registered_on"}:
            return date_holds(s, found)
        if name == "time_zone":
            return exactly(s, person.zone)
        return exactly(s, person.external_id) if name == "external_id" else text_holds(s, found)

    def _custom_field(self, s: Settings, person: Shopper) -> bool:
        found = person.values.get(s["criterion"])
        if s["operator"] in {"yes", "no"}:
            return bool(found == (s["operator"] == "yes")) and found is not None
        kinds: dict[str, Callable[[Settings, Any], bool]] = {
            "shoe": text_holds,
            "size": number_holds,
            "wedding": date_holds,
            "vip": number_holds,
            "colour": exactly,
        }
        return kinds[s["criterion"]](s, found)

    def _subscription(self, s: Settings, person: Shopper) -> bool:
        places = {0, self.shop.categories.index(int(s["category"])) + 1 if "category" in s else 0}
        gone = {(s["channel"], place) for place in places}
        kind = "email" if s["channel"] == "email" else "phone"
        address = person.attributes[kind]
        same = [p for p in self.leavers if address and p.attributes[kind] == address]
        left = any(p.left & gone for p in (person, *same))
        return left is (s["operator"] == "is_not")

    def _receipts(self, s: Settings, person: Shopper) -> bool:
        found = [r for r in person.receipts if not r.cancelled and self._wanted(s, r)]
        if s["criterion"] in {"first", "last"}:
            return _moment_holds(s, [r.at for r in found])
        found = [r for r in found if _inside(s, r.at)]
        amounts = [Fraction(r.amount) for r in found]
        measures: dict[str, Callable[[], Any]] = {
            "count": lambda: len(found),
            "visits": lambda: len({_day(r.at) for r in found}),
            "sum": lambda: sum(amounts),
            "average": lambda: sum(amounts) / len(found),
            "median": lambda: median(amounts),
            "smallest": lambda: min(amounts),
            "largest": lambda: max(amounts),
            "items": lambda: sum(r.items for r in found) / len(found),
        }
        name = s["criterion"]
        if not found and name not in {"count", "visits", "sum"}:
            return False
        plain = name in {"count", "visits", "items"}
        return number_holds(s if plain else _cents(s), measures[name]())

    def _wanted(self, s: Settings, receipt: Bought) -> bool:
        limits = [s.get("amount_from", -(10**9)), s.get("amount_until", 10**9)]
        low, high = (Fraction(str(limit)) * 100 for limit in limits)
        products = {product for product, _, _ in receipt.lines}
        categories = {PRODUCTS[product] for product in products}
        return (
            low <= receipt.amount <= high
            and ("products" not in s or bool(products & set(s["products"])))
            and ("categories" not in s or bool(categories & set(s["categories"])))
        )

    def _purchases(self, s: Settings, person: Shopper) -> bool:
        receipts = [r for r in person.receipts if not r.cancelled and _inside(s, r.at)]
        name = s["criterion"]
        if name in {"product", "category"}:
            key = {"product": "products", "category": "categories"}[name]
            lines = [line for r in receipts for line in _lines({key: s["values"]}, r)]
            bought = {product if name == "product" else PRODUCTS[product] for product, *_ in lines}
            return _set_holds(s["operator"], bought, set(s["values"]))
        with_lines = [r for r in receipts if _lines(s, r)]
        if name in {"first", "last"}:
            return _moment_holds(s, [r.at for r in with_lines])
        if name == "share":
            share = 100 * len(with_lines) / len(receipts) if receipts else None
            return share is not None and number_holds(s, share)
        lines = [line for r in receipts for line in _lines(s, r)]
        if name == "sum":
            return number_holds(_cents(s), sum(amount for _, _, amount in lines))
        return number_holds(s, len(lines) if name == "lines" else sum(q for _, q, _ in lines))

    def _messages(self, s: Settings, person: Shopper) -> bool:
        if s["criterion"].startswith("mailings_"):
            one = s | {"criterion": s["criterion"].removeprefix("mailings_"), "operator": "once"}
            having = {n for n in s["values"] if self._messages(one | {"mailing": n}, person)}
            return _set_holds(s["operator"], having, set(s["values"]))
        got = [m for m in person.messages if self._meant(s, m)]
        moments = [m.accepted_at or m.due_at for m in got]
        if s["criterion"] == "days_since":
            days = min(((TODAY - _day(at)).days for at in moments), default=None)
            return days is None if s["operator"] == "never" else number_holds(s, days)
        if s["criterion"] in {"first", "last"}:
            return _moment_holds(s, moments)
        if s["criterion"] != "received":
            found = [getattr(m, f"{s['criterion']}_at") for m in got]
            moments = [at for at in found if at is not None and at <= NOW]
        number = len([at for at in moments if _inside(s, at)])
        if s["operator"] in {"once", "never"}:
            return (number > 0) is (s["operator"] == "once")
        return number_holds(s, number)

    def _meant(self, s: Settings, message: Got) -> bool:
        channel, _, test = RUNS[message.run]
        assert channel in CHANNELS
        return (
            not test
            and message.state in {MessageState.ACCEPTED, MessageState.UNCONFIRMED}
            and message.bounced_at is None
            and (message.accepted_at or message.due_at) <= NOW
            and s.get("channel", channel) == channel
            and ("mailing" not in s or self.shop.mailings[message.run] == int(s["mailing"]))
        )

    def _segment(self, s: Settings, person: Shopper) -> bool:
        inside = self.holds(self.shop.segments[int(s["segment"])], person)
        return inside is (s["operator"] == "in")

    def _audience(self, s: Settings, person: Shopper) -> bool:
        if "audiences" in s:
            asked = {self.shop.audiences.index(int(number)) for number in s["audiences"]}
            return _set_holds(s["operator"], person.audiences, asked)
        inside = self.shop.audiences.index(int(s["audience"])) in person.audiences
        return inside is (s["operator"] == "in")


def _set_holds(operator: str, found: set[Any], wanted: set[Any]) -> bool:
    if operator == "all_of":
        return wanted <= found
    return bool(wanted & found) is (operator in {"in", "any_of"})


def _lines(s: Settings, receipt: Bought) -> list[tuple[str, float, int]]:
    """The lines of the wanted products; product and category are asked of the same line."""
    return [
        line
        for line in receipt.lines
        if ("products" not in s or line[0] in s["products"])
        and ("categories" not in s or PRODUCTS[line[0]] in s["categories"])
    ]

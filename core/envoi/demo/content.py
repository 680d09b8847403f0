"""What the demo company has made: segments, a sent mailing's message, a draft's message."""

from __future__ import annotations

from typing import Any


def _attribute(criterion: str, operator: str, **values: Any) -> dict[str, Any]:
    settings = {"criterion": criterion, "operator": operator, **values}
    return {"source": "attribute", "settings": settings}


def _receipts(criterion: str, operator: str, **values: Any) -> dict[str, Any]:
    settings = {"criterion": criterion, "operator": operator, **values}
    return {"source": "receipts", "settings": settings}


SEGMENTS: dict[str, dict[str, Any]] = {
    "Regular buyers": {"all": [_receipts("count", "ge", value=3, within_days=60)]},
    "Quiet for 30 days": {
        "all": [_receipts("count", "ge", value=1), _receipts("last", "not_in_last", days=30)]
    },
    "Berlin and Hamburg, 30 to 44": {
        "all": [
            _attribute("city", "in", values=["Berlin", "Hamburg"]),
            _attribute("age", "between", value=30, upper=44),
        ]
    },
}

CAP_POLICY = "No more than 3 a week"
CAP_RULES = [
    {
        "kind": "frequency_cap",
        "settings": {"most": 3, "period": 1, "unit": "week", "over_limit": "drop"},
    }
]

_HEAD = """<mjml>
  <mj-head>
    <mj-attributes><mj-all font-family="Helvetica, Arial, sans-serif" /></mj-attributes>
  </mj-head>
  <mj-body background-color="#f1efe9">
    <mj-section background-color="#ffffff"><mj-column>
      <mj-text font-size="20px" color="#2e5a46"><b>Fieldmarket</b> Club</mj-text>
    </mj-column></mj-section>
"""
_FOOT = """
    <mj-section><mj-column>
      <mj-text font-size="12px" color="#666666" align="center">
        Fieldmarket, Marktstraße 1, Hamburg. You get this as a Club member.
        <a href="{{ unsubscribe_url }}">Unsubscribe</a>
      </mj-text>
    </mj-column></mj-section>
  </mj-body>
</mjml>
"""


def _mjml(heading: str, text: str, button: str, link: str) -> str:
    return f"""{_HEAD}
    <mj-section background-color="#ffffff"><mj-column>
      <mj-text font-size="24px"><b>{heading}</b></mj-text>
      <mj-text font-size="16px" line-height="24px">{text}</mj-text>
      <mj-button background-color="#2e5a46" href="{link}">{button}</mj-button>
    </mj-column></mj-section>
{_FOOT}"""


SENDER = {"sender_name": "Fieldmarket Club", "sender_address": "club@fieldmarket.test"}
_NAME = "{{ client.properties.first_name | default('Hello') }}"

COFFEE_WEEK: dict[str, Any] = {
    **SENDER,
    "subject": f"{_NAME}, your coffee is waiting: 20 % off",
    "preheader": "This week only, in every market and in the app",
    "body_format": "mjml",
    "body": _mjml(
        f"{_NAME}, we kept your favourite",
        "Your last bag must be empty by now. This week every coffee on our shelf is"
        " <b>20 % cheaper</b> for Club members.",
        "Choose your coffee",
        "https://shop.fieldmarket.test/coffee",
    ),
}

WE_MISS_YOU: dict[str, Any] = {
    **SENDER,
    "subject": f"{_NAME}, it has been a while",
    "preheader": "Five euros for your next basket",
    "body_format": "mjml",
    "body": _mjml(
        f"{_NAME}, we miss you",
        "It has been a month since your last visit. Your next basket above 30 euros is"
        " 5 euros cheaper.",
        "See this week's offers",
        "https://shop.fieldmarket.test/offers",
    ),
}

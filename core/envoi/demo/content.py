"""What the demo company has made: segments, a sent mailing's message, a draft's message."""

from __future__ import annotations

from typing import Any


def _attribute(criterion: str, operator: str, **values: Any) -> dict[str, Any]:
    settings = {"criterion": criterion, "operator": operator, **values}
    return {"source": "attribute", "settings": settings}


def _receipts(criterion: str, operator: str, **values: Any) -> dict[str, Any]:
    settings = {"criterion": criterion, "operator": operator, **values}
    return {"source": "receipts", "settings": settings}


CITIES = "Berlin and Hamburg, 30 to 44"
SEGMENTS: dict[str, dict[str, Any]] = {
    "Regular buyers": {"all": [_receipts("count", "ge", value=3, within_days=60)]},
    "Quiet for 30 days": {
        "all": [_receipts("count", "ge", value=1), _receipts("last", "not_in_last", days=30)]
    },
    CITIES: {
        "all": [
            _attribute("city", "in", values=["Berlin", "Hamburg"]),
            _attribute("age", "between", value=30, upper=44),
        ]
    },
}

ADDRESS = "Fieldmarket, Marktstraße 1, 20095 Hamburg"
DAILY_LIMIT = 2_000
CATEGORIES = {"offers": "Offers of the week", "club": "News of the Club"}
WATCHERS = {"Market managers": ["altona@fieldmarket.test", "mitte@fieldmarket.test"]}
AUDIENCES: dict[str, dict[str, Any]] = {
    "Tasting panel": {"all": [_attribute("city", "is", value="Hamburg")]},
    "Best customers": {"all": [_receipts("sum", "ge", value=1_000, within_days=90)]},
}
TEMPLATES = ("News of the Club", "Offer of the week", "Invitation to the market")

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
    "link": "https://shop.fieldmarket.test/coffee",
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
    "link": "https://shop.fieldmarket.test/offers",
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


def _letter(subject: str, text: str, button: str, page: str) -> dict[str, Any]:
    link = f"https://shop.fieldmarket.test/{page}"
    return {
        **SENDER,
        "link": link,
        "subject": subject,
        "preheader": text.partition(".")[0],
        "body_format": "mjml",
        "body": _mjml(subject, text, button, link),
    }


HARVEST = _letter(
    "The harvest is in",
    "Apples, pears and grapes from the farms around us. Club members collect double points.",
    "See the harvest",
    "harvest",
)
PUMPKIN = _letter(
    "Pumpkin days in your market",
    "Six kinds of pumpkin and as many recipes. Come by this week and taste the soup.",
    "Find your market",
    "markets",
)
TEA = _letter(
    f"{_NAME}, tea before nine",
    "Whoever shops before nine gets a cup of tea with it. From Monday to Friday.",
    "Which markets take part",
    "tea",
)
OFFERS: dict[str, Any] = {
    **SENDER,
    "link": "https://shop.fieldmarket.test/offers",
    "subject": f"{_NAME}, the offers of the week",
    "preheader": "Bread, cheese and what goes with them",
    "body_format": "blocks",
    "blocks": [
        {"type": "heading", "id": "h1", "text": "The offers of the week", "level": 1},
        {
            "type": "text",
            "id": "t1",
            "html": f"<p>{_NAME}, this is what our bakers and cheesemakers have for you.</p>",
        },
        {
            "type": "columns",
            "id": "c1",
            "columns": [
                [
                    {"type": "heading", "id": "h2", "text": "Rye bread", "level": 3},
                    {"type": "text", "id": "t2", "html": "<p>Baked at night, 20 % cheaper.</p>"},
                ],
                [
                    {"type": "heading", "id": "h3", "text": "Mountain cheese", "level": 3},
                    {"type": "text", "id": "t3", "html": "<p>Twelve months old, 2 for 1.</p>"},
                ],
            ],
        },
        {
            "type": "button",
            "id": "b1",
            "label": "All offers",
            "link": "https://shop.fieldmarket.test/offers",
        },
        {
            "type": "footer",
            "id": "f1",
            "text": "<p>You get this as a Club member.</p>",
            "address": ADDRESS,
            "unsubscribe": "Unsubscribe",
            "preferences": "Choose what you receive",
        },
    ],
}
BAKING = _letter(
    "Flour, butter, cinnamon: the baking days",
    "Everything for the first biscuits of the year. This weekend 15 % cheaper.",
    "To the recipes",
    "baking",
)
GIFTS = _letter(
    "A gift that always fits",
    "Gift cards from 10 to 100 euros. Printed in the market or sent by email.",
    "Choose a card",
    "gifts",
)

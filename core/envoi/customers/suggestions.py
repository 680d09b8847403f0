"""What the columns of a file probably are, by the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from envoi.customers.customer_file import FIELD_PREFIX
from envoi.customers.fields import Field

_SIGNS = re.compile(r"[\W_]+")
_NAMES = {
    "external_id": "id, customer, customer id, client id, customer number, card, card number,"
    " loyalty id, код клиента, клиент, id клиента, номер клиента, номер карты, карта, внешний код",
    "first_name": "name, firstname, given name, forename, имя",
    "middle_name": "middle, patronymic, second name, отчество",
    "last_name": "surname, family name, lastname, фамилия",
    "gender": "sex, пол",
    "birth_date": "birthday, date of birth, dob, born, дата рождения, день рождения, др",
    "registered_on": "registered, registration date, registered at, member since, joined,"
    " дата регистрации, зарегистрирован",
    "city": "town, place, город, населенный пункт, населённый пункт",
    "time_zone": "timezone, tz, часовой пояс",
    "email": "e-mail, mail, email address, почта, эл почта, электронная почта, имейл, емейл",
    "phone": "telephone, mobile, phone number, mobile phone, cell, msisdn, телефон, мобильный,"
    " номер телефона, сотовый",
    "subscribed_email": "email subscription, email opt in, newsletter, подписка email,"
    " подписка на email, согласие email",
    "subscribed_sms": "sms subscription, sms opt in, подписка sms, подписка на смс, согласие sms",
    "subscribed_push": "push subscription, push opt in, подписка push, согласие push",
    "receipt_id": "receipt, receipt number, order, order id, order number, check, bill, чек,"
    " номер чека, заказ, номер заказа, id чека",
    "customer_id": "customer, client, client id, external id, card, card number, клиент,"
    " код клиента, id клиента, номер карты",
    "at": "date, time, datetime, date and time, purchased at, purchase date, receipt date, дата,"
    " время, дата чека, дата покупки, дата и время",
    "amount": "sum, total, line total, revenue, сумма, стоимость, итого",
    "product_id": "product, sku, article, item, item id, product code, id, товар, код товара,"
    " артикул, id товара",
    "product_name": "name, product, title, item name, название, наименование, название товара,"
    " наименование товара, товар",
    "category": "product category, group, категория, группа, товарная группа, категория товара",
    "price": "unit price, цена",
    "quantity": "qty, count, pieces, количество, кол-во, колво, шт",
    "number": "line, line number, position, строка, номер строки, позиция, номер позиции",
    "cancelled": "canceled, returned, refund, отменен, отменён, возврат, отмена",
    "url": "link, address, product url, ссылка, адрес, адрес страницы",
    "image_url": "image, picture, photo, image link, картинка, изображение, фото, ссылка на фото",
}


def suggest(header: Sequence[str], targets: Sequence[str], fields: Sequence[Field]) -> list[str]:
    """Return for each column of a file what it probably is; empty where nothing fits.

    Args:
        header: The names of the columns.
        targets: What a file of the kind may hold.
        fields: The custom fields that may be imported too.
    """
    known = _known(targets, fields)
    chosen: list[str] = []
    for name in header:
        found = next((t for t in known.get(_plain(name), ()) if t not in chosen), "")
        chosen.append(found)
    return chosen


def _known(targets: Sequence[str], fields: Sequence[Field]) -> Mapping[str, list[str]]:
    """Every name in its plain form with what it may mean, our own names before others."""
    known: dict[str, list[str]] = {}
    for target in targets:
        known.setdefault(_plain(target), []).append(target)
    for field in fields:
        for name in (FIELD_PREFIX + field.code, field.code, field.label):
            known.setdefault(_plain(name), []).append(FIELD_PREFIX + field.code)
    for target in targets:
        for name in _NAMES.get(target, "").split(", "):
            known.setdefault(_plain(name), []).append(target)
    return known


def _plain(name: str) -> str:
    return _SIGNS.sub("", name.casefold()).replace("ё", "е")

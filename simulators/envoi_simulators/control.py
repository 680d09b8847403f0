"""The door by which the pages look at the phones: JSON over HTTP, on this machine only."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Protocol

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue
from pydantic import ValidationError
from werkzeug.serving import BaseWSGIServer, make_server

from envoi.demo.phone import Act, Arrival, Manners
from envoi.demo.services import Conduct, Service
from envoi_simulators.phone import Phone

MOST_SHOWN = 100


class Behaving(Protocol):
    """A service that makes mistakes on demand."""

    def behave(self, conduct: Conduct) -> None:
        """Begin to make the mistakes that somebody has chosen."""


def control_server(
    port: int,
    token: str,
    phone: Phone,
    services: Mapping[Service, Behaving],
    conducts: dict[Service, Conduct],
) -> BaseWSGIServer:
    """Make the server; the caller lets it serve and shuts it down."""
    app = control_app(token, phone, services, conducts)
    return make_server("127.0.0.1", port, app, threaded=True)


def control_app(
    token: str,
    phone: Phone,
    services: Mapping[Service, Behaving] | None = None,
    conducts: dict[Service, Conduct] | None = None,
) -> Flask:
    """Make the application; every request has to show the token.

    Args:
        conducts: How services were told to behave, kept up to date.
    """
    app = Flask("envoi_simulators")

    @app.before_request
    def check() -> None:
        shown = request.headers.get("Authorization", "")
        if not hmac.compare_digest(shown.encode(), f"Bearer {token}".encode()):
            abort(401)

    @app.get("/manners")
    def manners() -> ResponseReturnValue:
        return phone.manners(request.args["address"]).model_dump(mode="json")

    @app.post("/manners")
    def set_manners() -> ResponseReturnValue:
        try:
            phone.set_manners(request.args["address"], Manners.model_validate(request.json))
        except ValidationError:
            abort(400)
        return {}

    _add_messages(app, phone)
    _add_services(app, services or {}, {} if conducts is None else conducts)
    return app


def _add_messages(app: Flask, phone: Phone) -> None:
    @app.get("/newest")
    def newest() -> ResponseReturnValue:
        return [_written(each) for each in phone.newest(_limit())]

    @app.get("/messages")
    def messages() -> ResponseReturnValue:
        addresses = set(request.args.getlist("address"))
        return [_written(each) for each in phone.messages(addresses, _limit())]

    @app.post("/messages/<arrival_id>/<act>")
    def act(arrival_id: str, act: str) -> ResponseReturnValue:
        try:
            done = phone.act(arrival_id, Act(act))
        except (KeyError, ValueError):
            abort(404)
        return _written(done) if done else ({}, 409)

    @app.post("/messages/<arrival_id>/reply")
    def reply(arrival_id: str) -> ResponseReturnValue:
        try:
            is_passed_on = phone.answer(arrival_id, request.get_json()["text"])
        except KeyError:
            abort(404)
        return {}, 200 if is_passed_on else 409


def _add_services(
    app: Flask, services: Mapping[Service, Behaving], conducts: dict[Service, Conduct]
) -> None:
    for name, each in services.items():
        each.behave(conducts.setdefault(name, Conduct()))

    @app.get("/services")
    def conduct() -> ResponseReturnValue:
        return {name: each.model_dump(mode="json") for name, each in conducts.items()}

    @app.post("/services/<name>")
    def set_conduct(name: str) -> ResponseReturnValue:
        try:
            service, chosen = Service(name), Conduct.model_validate(request.json)
            known = conducts[service]
        except (KeyError, ValueError):
            abort(404)
        kept = chosen.model_copy(update={"webhook": chosen.webhook or known.webhook})
        services[service].behave(kept)
        conducts[service] = kept
        return {}


def _limit() -> int:
    return min(request.args.get("limit", 30, type=int), MOST_SHOWN)


def _written(arrival: Arrival) -> dict[str, object]:
    return arrival.model_dump(mode="json")

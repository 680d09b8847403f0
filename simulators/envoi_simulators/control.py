"""The door by which the pages look at the phones: JSON over HTTP, on this machine only."""

from __future__ import annotations

import hmac

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue
from pydantic import ValidationError
from werkzeug.serving import BaseWSGIServer, make_server

from envoi.demo.phone import Act, Arrival, Manners
from envoi_simulators.phone import Phone

MOST_SHOWN = 100


def control_server(port: int, token: str, phone: Phone) -> BaseWSGIServer:
    """Make the server; the caller lets it serve and shuts it down."""
    return make_server("127.0.0.1", port, control_app(token, phone), threaded=True)


def control_app(token: str, phone: Phone) -> Flask:
    """Make the application; every request has to show the token."""
    app = Flask("envoi_simulators")

    @app.before_request
    def check() -> None:
        shown = request.headers.get("Authorization", "")
        if not hmac.compare_digest(shown.encode(), f"Bearer {token}".encode()):
            abort(401)

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

    return app


def _limit() -> int:
    return min(request.args.get("limit", 30, type=int), MOST_SHOWN)


def _written(arrival: Arrival) -> dict[str, object]:
    return arrival.model_dump(mode="json")

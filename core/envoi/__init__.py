"""Envoi's core: contracts, domain and the application factory.

For plugin authors, and nothing else is a promise:

* `envoi.hookimpl`   marks the functions by which a plugin registers what it brings
* `envoi.hookspecs`  every hook there is, one sentence each
* `envoi.types`      the frozen descriptors and protocols that cross the boundary
* `envoi.errors`     the errors a plugin raises and meets
* `envoi.blocks`     the typed blocks of a message, for a channel's content schema
* `envoi.outgoing`   the way to servers that companies name
* `envoi.sql`        typed columns for rule kinds and segment sources
* `envoi.webkit`     building blocks for pages
* `envoi.testing`    the contract kits a plugin's tests inherit

Inside, one package per noun of the domain, each with the same few names: `models`
(tables), `service` (what can be done), `queries` (what can be asked).
"""

import pluggy

__version__ = "0.1.0"

hookimpl = pluggy.HookimplMarker("envoi")

__all__ = ["__version__", "hookimpl"]

"""Exports: the files that somebody asked for."""

from envoi_web.exports.views import exports

__all__ = ["exports"]

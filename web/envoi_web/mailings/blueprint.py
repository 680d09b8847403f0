"""The blueprint that the modules of this area add their routes to."""

from envoi.webkit import Blueprint

mailings = Blueprint("mailings", __name__, url_prefix="/mailings")

"""The blueprint that the modules of this area add their routes to."""

from envoi.webkit import Blueprint

customers = Blueprint("customers", __name__, url_prefix="/customers")

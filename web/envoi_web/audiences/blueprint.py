"""The blueprint that the modules of this area add their routes to."""

from envoi.webkit import Blueprint

audiences = Blueprint("audiences", __name__, url_prefix="/audiences")

"""The blueprint that the modules of this area add their routes to."""

from envoi.webkit import Blueprint

segments = Blueprint("segments", __name__, url_prefix="/segments")

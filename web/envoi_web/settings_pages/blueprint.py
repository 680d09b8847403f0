"""The settings' blueprint, which their modules share."""

from envoi.webkit import Blueprint

settings = Blueprint("settings", __name__, url_prefix="/settings")

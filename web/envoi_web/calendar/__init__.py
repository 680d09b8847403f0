"""The messaging calendar: month, week, and moving a start."""

from envoi_web.calendar.views import calendar

__all__ = ["calendar"]

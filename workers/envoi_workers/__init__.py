"""Envoi's workers."""

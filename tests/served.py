"""Serving a page to a test."""

from app.measure.stand import SlowShelf, served

__all__ = ["SlowShelf", "served"]

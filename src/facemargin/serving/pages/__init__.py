"""The pages of the service: two photographs compared, galleries, reports. Everything works without JavaScript."""

from facemargin.serving.pages.router import add_pages

__all__ = ["add_pages"]

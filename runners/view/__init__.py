"""Pages for a browser: one HTML file each, with its data, that needs no network."""

from runners.view.page import html_page, serve

__all__ = ["html_page", "serve"]

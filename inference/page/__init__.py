"""report.html: one self-contained page about one evaluation, without scripts and without a network."""

from inference.page.document import page_text, write_page
from inference.page.subject import Subject

__all__ = ["Subject", "page_text", "write_page"]

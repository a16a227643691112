"""The web page: orders, calls and emails, and what a person would click.

/                       orders with what happened to them, calls, the outbox; `?live` loads it again every 2 s
/orders/{id}            one order
/orders/{id}/issue      POST issues it
/calls/{number}         one call
/validate/{value}       the link of an email; POST validates its names
"""

from .routes import is_page_path, respond_to_page

__all__ = ["is_page_path", "respond_to_page"]

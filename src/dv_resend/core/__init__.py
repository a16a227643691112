"""The rules and the use cases. Nothing here knows AWS, HTTP or DNS; `ports` says what it needs from outside."""

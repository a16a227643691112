"""One module for each command, found by its name: ``set_key.py`` holds ``command``, which runs as `set-key`."""

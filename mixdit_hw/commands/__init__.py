"""Commands of `mixdit`, one to a file: each module holds a click command named `command`."""

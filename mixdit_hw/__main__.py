"""``python -m mixdit_hw`` is ``mixdit``."""

from .cli import main

if __name__ == "__main__":
    main()

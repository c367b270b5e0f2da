"""``python -m tomoset``: the command line."""

from tomoset.cli import main

if __name__ == "__main__":
    main()

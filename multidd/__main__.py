"""`python -m multidd`."""

from multidd.cli import main

if __name__ == "__main__":
    main()

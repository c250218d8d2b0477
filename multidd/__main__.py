"""`python -m multidd`."""

from multidd.cli.main import main

if __name__ == "__main__":
    main()

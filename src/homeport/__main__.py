"""`python -m homeport`: the same program as the `homeport` console script."""

from homeport.cli.main import main

if __name__ == "__main__":
    main()

"""`python -m envoi`: the command line, also where scripts of a virtual environment do not run."""

from envoi.cli import main

if __name__ == "__main__":
    main()

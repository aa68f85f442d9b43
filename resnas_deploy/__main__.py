"""`python -m resnas_deploy` is the command `resnas`."""

from resnas_deploy.cli.app import main

if __name__ == "__main__":
    main()

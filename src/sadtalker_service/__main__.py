"""`python -m sadtalker_service` is the command `sadtalker`."""

from sadtalker_service.cli import main

main()

"""Make `python -m lavis_sam.cli` the same as `lavis-sam`."""

from lavis_sam.cli import main

main()

"""LAVIS's configuration object for a run; what it is resolved from is `resolving`'s."""

import argparse
from collections.abc import Mapping
from typing import Any

from lavis.common.config import Config
from lavis.common.registry import registry

from lavis_sam.plugin.resolving import ResolvedConfig


class SamConfig(ResolvedConfig, Config):
    """LAVIS's configuration object; see `ResolvedConfig`, which it is, and to which LAVIS's registry leads."""

    def __init__(
        self, args: argparse.Namespace, forced: Mapping[str, Any] | None = None, *, check_files: bool = False
    ) -> None:
        """Resolve and check; see `ResolvedConfig`."""
        registry.register("configuration", self)
        super().__init__(args, forced, check_files=check_files)

"""Backends: what does the work of a stage. Embedded ones need no network, no GPU and no account."""

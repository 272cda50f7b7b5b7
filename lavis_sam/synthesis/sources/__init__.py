"""Where objects come from: drawn here (`embedded.py`), or read from published data sets and folders."""

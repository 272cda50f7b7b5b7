"""SAM, semantic alignment for multimodal large language models (Wu et al., ACM MM 2024), as a LAVIS plugin.

Importing this package is cheap: it only puts the plugin's import hook in place. Everything else comes with
`import lavis`, or with the module that is asked for.
"""

from lavis_sam.plugin.hook import install

__version__ = "0.1.0"

install()

"""The doctor: is this environment fit for lavis_sam, and for each thing that is not, what to do.

Every check is a function that gives findings; a check that itself fails is a finding too. Nothing is changed. (A
Q-Former vocabulary that the config gives by its hub name is fetched into the hub's cache, as loading would do.)

examination  all checks in order
findings     what a check finds
environment  versions, the plugin hook, LAVIS; `hardware` GPU and memory, `device_map` a spread language model
weights      files of the base, tokenizers, trained layers; `bases` whether an adapter belongs to the base
data         files of data sets
"""

from lavis_sam.doctor.examination import Report, examine
from lavis_sam.doctor.findings import Finding, Verdict

__all__ = ["Finding", "Report", "Verdict", "examine"]

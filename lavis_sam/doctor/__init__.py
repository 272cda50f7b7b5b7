"""The doctor: is this environment fit for lavis_sam, and for each thing that is not, what to do.

Every check is a function that gives findings; a check that itself fails is a finding too. Nothing is changed. (A
Q-Former vocabulary that the config gives by its hub name is fetched into the hub's cache, as loading would do.)
"""

from lavis_sam.doctor.examination import Report, examine
from lavis_sam.doctor.findings import Finding, Verdict

__all__ = ["Finding", "Report", "Verdict", "examine"]

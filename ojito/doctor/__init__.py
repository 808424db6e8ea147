"""What is wrong with a model, its processor, or a server that answers for one: `examine`, and `examine_server`."""

from ojito.doctor.finding import Finding, Report
from ojito.doctor.run import examine
from ojito.doctor.server import examine_server

__all__ = ["Finding", "Report", "examine", "examine_server"]

"""Discovery: every namespace on the machine, who holds it, who owns it.

census = discover()                       # from every source; or discover(kinds="net", sources=["processes"])
for row in census.of("net"): row.id, row.nprocs, row.leader, row.paths
census[4026531840]; census.holding(pid); census.tree("owner"); census.to_json()
"""

from pynamespaces.discovery.census import Census, Difference, discover
from pynamespaces.discovery.found import Bind, Found, Process
from pynamespaces.discovery.gathering import Unseen
from pynamespaces.discovery.trees import Branch

__all__ = ["Bind", "Branch", "Census", "Difference", "Found", "Process", "Unseen", "discover"]

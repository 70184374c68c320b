"""Networks: namespaces as hosts, joined by wires.  ``pip install 'pynamespaces[net]'``.

with net.wire(web, db, addresses=("10.0.0.1/24", "10.0.0.2/24")):
    server = net.listen(web, ("10.0.0.1", 80))
    db.run(["curl", "http://10.0.0.1/"])
"""

from importlib.util import find_spec as _find_spec

if _find_spec("pyroute2") is None:
    raise ImportError("pynamespaces.net needs pyroute2: pip install 'pynamespaces[net]'")

from pynamespaces.net.hosts import Host
from pynamespaces.net.labs import Lab
from pynamespaces.net.links import End, Link, dummy, ipvlan, macvlan, supports
from pynamespaces.net.moves import Moved, move
from pynamespaces.net.names import hosts_file, netns, netns_files, resolv_conf
from pynamespaces.net.networks import Network
from pynamespaces.net.routes import Route, forward, route
from pynamespaces.net.sockets import bind, connect, listen, open_connection, socket, start_server
from pynamespaces.net.switches import Switch, switch
from pynamespaces.net.taps import Tap, tap
from pynamespaces.net.weather import Weather, has_netem
from pynamespaces.net.wires import Wire, wire
from pynamespaces.ways_out import WayOut, way_out

__all__ = [
    "End",
    "Host",
    "Lab",
    "Link",
    "Moved",
    "Network",
    "Route",
    "Switch",
    "Tap",
    "WayOut",
    "Weather",
    "Wire",
    "bind",
    "connect",
    "dummy",
    "forward",
    "has_netem",
    "hosts_file",
    "ipvlan",
    "listen",
    "macvlan",
    "move",
    "netns",
    "netns_files",
    "open_connection",
    "resolv_conf",
    "route",
    "socket",
    "start_server",
    "supports",
    "switch",
    "tap",
    "way_out",
    "wire",
]

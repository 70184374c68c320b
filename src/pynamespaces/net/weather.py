"""Weather: what a wire does to what goes over it, by tc(8) where the kernel has it."""

from __future__ import annotations

from pynamespaces.errors import NamespaceError
from pynamespaces.net import messages, networks
from pynamespaces.net.hosts import ours
from pynamespaces.net.netlink import Netlink
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pynamespaces.net.links import End
    from pynamespaces.net.netlink import Request

DAY = 86400.0
QUEUE = 10000  #: frames that netem lets wait
LATENCY = 0.4  #: seconds that a frame may wait for its rate

_netem: bool | None = None


@value(frozen=True)
class Weather:
    """What happens to frames in each direction.

    Args:
        delay: seconds that each one takes; there and back takes twice as long.
        jitter: seconds by which the delay varies, at most, up and down.
        loss: the part that is lost: 0.1 is a tenth.
        rate: bits per second; what would wait longer than 0.4 s for it is lost.

    Raises:
        ValueError: a negative value, a loss above 1, a jitter above the delay, a rate below 1000.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    rate: int | None = None

    def __post_init__(self) -> None:
        for name in ("delay", "jitter"):
            given = getattr(self, name)
            if not 0 <= given <= DAY:
                raise ValueError(f"{name} is in seconds, 0 to {DAY:g}, got {given!r}")
        if self.jitter > self.delay:
            raise ValueError(f"jitter {self.jitter!r} is more than the delay {self.delay!r}")
        if not 0 <= self.loss <= 1:
            raise ValueError(f"loss is a part, 0 to 1, got {self.loss!r}")
        if self.rate is not None and (isinstance(self.rate, bool) or not 1000 <= self.rate <= 10**12):
            raise ValueError(f"rate is in bits per second, 1000 to 10**12, got {self.rate!r}")

    @property
    def late(self) -> bool:
        """Does it need netem, or a relay?"""
        return bool(self.delay or self.jitter or self.loss)


CLEAR = Weather()


def has_netem() -> bool:
    """Has this kernel sch_netem?  Tried once, on a wire in a network of its own."""
    global _netem
    if _netem is None:
        with ours() as way, networks.make(way.steps(), ipv6=False) as trial, Netlink(trial) as there:
            there.do(messages.new_link("trial", "veth"))
            try:
                there.do(messages.qdisc(there.index("trial"), "trial", "netem", _netem_options(Weather(0.001))))
                _netem = True
            except NamespaceError:
                _netem = False
    return _netem


def requests(end: End, weather: Weather, *, cut: bool, netem: bool) -> list[Request]:
    """What tc has to do at one end: it shapes what leaves there."""
    if cut:  # a queue in which there is no room for anything: links and routes stay as they are
        return [messages.qdisc(end.index, end.name, "pfifo", {"limit": 0})]
    if netem and weather != CLEAR:
        return [messages.qdisc(end.index, end.name, "netem", _netem_options(weather))]
    if weather.rate is not None:
        return [messages.qdisc(end.index, end.name, "tbf", _tbf_options(weather.rate))]
    return [messages.no_qdisc(end.index, end.name)]


def _netem_options(weather: Weather) -> object:
    from pyroute2.netlink.rtnl.tcmsg import sched_netem

    options = {
        "delay": int(weather.delay * 1e6),
        "jitter": int(weather.jitter * 1e6),
        "loss": weather.loss * 100,
        "limit": QUEUE,
    }
    if weather.rate is not None:
        options["rate"] = weather.rate // 8
    return sched_netem.get_parameters(options)


def _tbf_options(rate: int) -> object:
    from pyroute2.netlink.rtnl.tcmsg import sched_tbf

    octets = rate // 8
    burst = max(octets // 100, 5000)  # ten milliseconds of it, and more than a frame
    return sched_tbf.get_parameters({"rate": octets, "burst": burst, "limit": int(octets * LATENCY) + burst})

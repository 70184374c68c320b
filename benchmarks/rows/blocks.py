"""There and back of this thread."""

from __future__ import annotations

from collections.abc import Iterator

from measure import Row, floor, rounds, timed

from pynamespaces import Namespace, NamespaceSet, enter, unshare


def there_and_back(target: Namespace | NamespaceSet) -> None:
    with enter(target):
        pass


def fresh() -> None:
    with unshare("net"):
        pass


def rows() -> Iterator[Row]:
    with unshare("net") as net:
        pass
    with unshare("net", "uts", "ipc", "cgroup", "mnt") as five:
        pass
    with net, five:
        held = net["net"]
        yield Row(
            "enter(held net), and back",
            lambda: timed(lambda: there_and_back(held), 20000),
            lambda: floor("enter", "net", rounds(20000)),
            promise=1.4,
        )
        yield Row(
            "enter(held five kinds), and back",
            lambda: timed(lambda: there_and_back(five), 5000),
            lambda: floor("enter", "five", rounds(5000)),
            promise=1.4,
        )
    yield Row(
        'unshare("net"), and back',
        lambda: timed(fresh, 300),
        lambda: floor("enter", "unshare", rounds(300)),
        promise=1.2,
    )

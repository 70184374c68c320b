"""``pynamespaces doctor``: what this machine allows this user, tried; and where it does not, why."""

from __future__ import annotations

from pynamespaces import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Print the report; 0 whatever it says."""
    from pynamespaces.doctor import doctor

    parser = shell.Parser(
        prog="pynamespaces doctor",
        description="Try every kind of namespace with every verb, for this user, in throw-away children.",
    )
    parser.add_argument("--json", "-J", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    report = doctor()
    if options.json:
        import json

        print(json.dumps(report.to_dict(), indent=2))
    else:
        print(report)
    return 0

"""A census as one self-contained page: who shares what, and each namespace to open and see its members."""

from __future__ import annotations

from html import escape

from pynamespaces import kinds
from pynamespaces.discovery import tables
from pynamespaces.kinds import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pynamespaces.discovery.census import Census
    from pynamespaces.discovery.found import Found
    from pynamespaces.ids import NamespaceId

_ABOVE = {"parent of": (Kind.USER, Kind.PID), "owner of": (Kind.USER,)}
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --fg: #1b1f24; --dim: #667; --bg: #fff }
@media (prefers-color-scheme: dark) { :root { --fg: #e6e8eb; --dim: #9aa3ad; --bg: #16191d } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg); max-width: 76rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p { color: var(--dim); margin: .3rem 0 1rem }
code, td, .id { font-family: ui-monospace, monospace; font-size: 13px }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th { text-align: left; font-size: 12px; color: var(--dim); font-weight: 600; padding: .3rem .5rem }
td { border-top: 1px solid var(--line); padding: .3rem .5rem; vertical-align: top }
td a { display: block; padding: .1rem .4rem; border-radius: .3rem; color: #111; text-decoration: none;
  white-space: nowrap } td a.common { background: none; color: var(--dim) }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .3rem 0 }
details[open], details:target { background: var(--soft) }
summary { cursor: pointer; padding: .4rem .7rem; display: flex; gap: .8rem; flex-wrap: wrap; align-items: baseline }
summary .what { color: var(--dim); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 44rem }
.name { background: #4a90d933; border-radius: .6rem; padding: 0 .5rem; font-size: 12px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .2rem .9rem .7rem }
dt { color: var(--dim) } dd { margin: 0; overflow-wrap: anywhere }
input { font: inherit; padding: .3rem .6rem; width: 20rem; max-width: 100%; border: 1px solid var(--line);
  border-radius: .4rem; background: transparent; color: inherit }
.unseen { border-left: 3px solid #d98c4a; padding-left: .8rem }
"""
_SCRIPT = """
const filter = document.getElementById("filter");
filter.addEventListener("input", () => {
  const word = filter.value.toLowerCase();
  for (const part of document.querySelectorAll("details, tbody tr"))
    part.hidden = !part.textContent.toLowerCase().includes(word);
});
function open() {
  const part = document.getElementById(location.hash.slice(1));
  if (part && part.tagName === "DETAILS") { part.open = true; part.scrollIntoView({block: "center"}); }
}
addEventListener("hashchange", open);
open();
"""


def page(census: Census, *, title: str = "Namespaces of this machine") -> str:
    """The page's text."""
    return "\n".join(_page(census, title))


def _page(census: Census, title: str) -> Iterator[str]:
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{escape(title)}</h1>"
    yield f"<p>{len(census)} namespaces, {len(census.processes)} processes seen.</p>"
    yield '<input id="filter" type="search" placeholder="filter: a name, a number, a command" aria-label="filter">'
    yield from _shared(census)
    below = _below(census)
    for row in kinds.TABLE:
        found = census.of(row.kind)
        if found:
            yield f"<h2>{row.name} <small>({len(found)})</small></h2><p>{escape(row.isolates)}</p>"
            for namespace in found:
                yield from _details(namespace, census, below)
    if census.unseen:
        yield '<h2>Not seen</h2><div class="unseen">'
        yield "<br>".join(escape(str(item)) for item in census.unseen) + "</div>"
    yield f"<script>{_SCRIPT}</script></body></html>"


def _shared(census: Census) -> Iterator[str]:
    """A line for each set of processes that are in the same namespaces throughout."""
    where: dict[int, dict[str, Found]] = {}
    for namespace in census:
        for pid in namespace.processes:
            where.setdefault(pid, {})[str(namespace.kind)] = namespace
    groups: dict[tuple[int, ...], list[int]] = {}
    names = [row.name for row in kinds.TABLE if census.of(row.kind)]
    for pid, found in sorted(where.items()):
        key = tuple([found[name].id.ino if name in found else 0 for name in names])
        groups.setdefault(key, []).append(pid)
    if not groups:
        return
    common = max(groups, key=lambda key: len(groups[key]))
    yield "<h2>Who shares what</h2><p>Each line is a set of processes that share all their namespaces. "
    yield "Grey is where most processes are; the same colour is the same namespace.</p>"
    yield '<div class="wide"><table><thead><tr><th>processes</th>'
    yield "".join(f"<th>{name}</th>" for name in names) + "</tr></thead><tbody>"
    for key, pids in sorted(groups.items(), key=lambda item: -len(item[1])):
        first = census.processes.get(pids[0])
        label = f"{len(pids)} × " if len(pids) > 1 else ""
        yield f"<tr><td>{label}{pids[0]} {escape(first.command[:40] if first else '')}</td>"
        for name, inode, usual in zip(names, key, common, strict=True):
            if not inode:
                yield "<td></td>"
            elif inode == usual:
                yield f'<td><a class="common" href="#{name}-{inode}">{inode}</a></td>'
            else:
                hue = inode * 47 % 360
                yield f'<td><a style="background:hsl({hue} 70% 78%)" href="#{name}-{inode}">{inode}</a></td>'
        yield "</tr>"
    yield "</tbody></table></div>"


def _below(census: Census) -> dict[tuple[str, NamespaceId], list[Found]]:
    """What each is owner and parent of."""
    found: dict[tuple[str, NamespaceId], list[Found]] = {}
    for row in census:
        if row.parent is not None:
            found.setdefault(("parent of", row.parent), []).append(row)
        if row.owner is not None and row.owner != row.parent:
            found.setdefault(("owner of", row.owner), []).append(row)
    return found


def _link(row: Found) -> str:
    return f'<a href="#{row.kind}-{row.id.ino}">{row.text}</a>'


def _details(row: Found, census: Census, below: Mapping[tuple[str, NamespaceId], Sequence[Found]]) -> Iterator[str]:
    cells = tables.cells(row, census, ("PID", "COMMAND"))
    members = f"{row.nprocs} process{'' if row.nprocs == 1 else 'es'}"
    what = f"{members} · {cells['PID']} {cells['COMMAND']}" if row.nprocs else tables.held_by(row)
    yield f'<details id="{row.kind}-{row.id.ino}"><summary><span class="id">{row.text}</span>'
    yield "".join(f'<span class="name">{escape(name)}</span>' for name in row.names)
    yield f'<span class="what">{escape(what)}</span></summary><dl>'
    facts: list[tuple[str, str]] = [("serial", str(row.serial or "unknown"))]
    if row.owner is not None:
        facts.append(("owner", f'<a href="#user-{row.owner.ino}">{row.owner.text("user")}</a>, uid {row.owner_uid}'))
    if row.parent is not None:
        facts.append(("parent", f'<a href="#{row.kind}-{row.parent.ino}">{row.parent.text(row.kind)}</a>'))
    facts.append(("held by", tables.held_by(row)))
    for sort in ("threads", "for_children"):
        facts += [(sort.replace("_", " "), ", ".join(map(str, getattr(row, sort))))] if getattr(row, sort) else []
    for sort in ("fds", "sockets", "pidfds"):
        held = ", ".join(f"{pid}/{fd}" for pid, fd in getattr(row, sort)[:50])
        facts += [(sort, held)] if held else []
    for word in ("parent of", "owner of"):
        others = below.get((word, row.id), []) if row.kind in _ABOVE[word] else []
        more = f", … and {len(others) - 50} more" if len(others) > 50 else ""
        facts += [(word, ", ".join(map(_link, others[:50])) + more)] if others else []
    facts += [("mounted at", escape(f"{bind.path} in mnt:[{bind.mnt.ino}]")) for bind in row.binds]
    for name, text in facts:
        yield f"<dt>{name}</dt><dd>{text}</dd>"
    if row.processes:
        yield "<dt>members</dt><dd>"
        for pid in row.processes[:200]:
            process = census.processes.get(pid)
            yield f"<code>{pid}</code> {escape(process.command if process else '')}<br>"
        if row.nprocs > 200:
            yield f"… and {row.nprocs - 200} more"
        yield "</dd>"
    yield "</dl></details>"

"""How report.html looks: readable in light and dark, on wide and narrow screens, on paper."""

STYLE = """
:root { --ink: #1c2024; --soft: #5b6570; --line: #d9dee3; --paper: #fff; --tint: #f5f7f9;
  --accent: #1f5fa8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e7eb; --soft: #9aa5b1; --line: #343b43; --paper: #15181c; --tint: #1d2126;
    --accent: #7db4f0; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  display: grid; grid-template-columns: 13rem minmax(0, 1fr); }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto;
  padding: 2rem 1rem; font-size: .875rem; border-right: 1px solid var(--line); }
nav ol { list-style: none; margin: 0; padding: 0; }
nav li { margin: .35rem 0; }
main { padding: 1.5rem 2.5rem 4rem; max-width: 76rem; min-width: 0; }
h1 { margin: .2rem 0 1rem; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 2.8rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line);
  font-size: 1.35rem; }
h3 { margin: 1.8rem 0 .4rem; font-size: 1.05rem; }
h2, h3 { scroll-margin-top: 1rem; }
a { color: var(--accent); text-decoration: none; overflow-wrap: anywhere; }
a:hover { text-decoration: underline; }
p, li { overflow-wrap: anywhere; }
blockquote { margin: .6rem 0; padding: .1rem 1rem; border-left: 3px solid var(--line);
  color: var(--soft); }
code { font: .86em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  background: var(--tint); border-radius: 4px; padding: .1em .3em; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 6px;
  padding: .8rem 1rem; overflow-x: auto; }
pre code { background: none; padding: 0; }
.wide { overflow-x: auto; margin: .8rem 0; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; line-height: 1.4; }
th, td { padding: .4rem .65rem; text-align: left; vertical-align: top; min-width: 3rem; }
th { background: var(--tint); white-space: nowrap; font-weight: 600; }
tbody tr + tr td { border-top: 1px solid var(--line); }
td { font-variant-numeric: tabular-nums; max-width: 26rem; overflow-wrap: break-word; }
td code { white-space: nowrap; }
td a { overflow-wrap: break-word; }
td:has(a) { min-width: 14rem; }
img { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; margin: .3rem .6rem .3rem 0; }
@media (max-width: 60rem) {
  body { display: block; }
  nav { position: static; max-height: none; border-right: 0; border-bottom: 1px solid var(--line);
    padding: .8rem 1rem; }
  nav ol { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
  nav li { margin: 0; }
  main { padding: 1rem 1rem 3rem; }
  td { max-width: 18rem; }
}
@media print { nav { display: none; } body { display: block; } .wide { overflow: visible; } }
"""

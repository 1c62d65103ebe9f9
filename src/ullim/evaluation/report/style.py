"""How the report looks: on a phone, on a desk, on paper, by day and by night."""

CSS = """\
:root { --ink: #1c2430; --soft: #5b6675; --line: #d9dfe7; --paper: #fff; --panel: #f5f7fa;
  --accent: #1f5fbf; --warn: #9a4d00; --warn-paper: #fff4e5; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b6; --line: #333d4a;
  --paper: #12161c; --panel: #1a2029; --accent: #7db0ff; --warn: #ffc98a; --warn-paper: #33240f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, "Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans KR",
  "Noto Sans CJK KR", sans-serif; }
main { max-width: 58rem; margin: 0 auto; padding: 1rem 1rem 3rem; }
:lang(ko) { word-break: keep-all; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .6rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .6rem;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
h3 { font-size: 1.02rem; margin: 1.5rem 0 .4rem; }
p, ul { margin: .5rem 0; max-width: 44rem; overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; }
.warning { background: var(--warn-paper); color: var(--warn); padding: .5rem .8rem;
  border-left: 4px solid currentColor; border-radius: 4px; }
.cards { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0; }
.card { flex: 1 1 12rem; max-width: 22rem; background: var(--panel); border-radius: 10px;
  padding: .7rem .9rem; }
.card span { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
.card b { display: block; font-size: 1.9rem; line-height: 1.2; }
.card small { color: var(--soft); }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); vertical-align: bottom; }
th, td { padding: .28rem .7rem .28rem 0; border-bottom: 1px solid var(--line); }
td { vertical-align: top; }
.n { text-align: right; } td.n { white-space: nowrap; }
@media (max-width: 30rem) { table { font-size: .8rem; } th, td { padding-right: .45rem; } }
.facts td:first-child { color: var(--soft); white-space: nowrap; }
.facts td { overflow-wrap: anywhere; }
pre { background: var(--panel); padding: .7rem .9rem; border-radius: 8px; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: .82rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr));
  gap: 1rem 1.6rem; align-items: start; margin: .8rem 0; }
figure { margin: 0; min-width: 0; max-width: 34rem; break-inside: avoid; }
figcaption { color: var(--soft); font-size: .84rem; overflow-wrap: anywhere; }
figure img { width: 100%; height: 8rem; image-rendering: auto; border-radius: 4px; display: block; }
audio { width: 100%; height: 2.4rem; margin: .3rem 0; }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--accent); }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--ink); font: 11px system-ui, "Noto Sans KR", "Noto Sans CJK KR", sans-serif; }
svg .soft { fill: var(--soft); }
svg .end { text-anchor: end; }
svg .mid { text-anchor: middle; }
svg .on { fill: #fff; }
svg .off { fill: #1c2430; }
svg .cell { stroke: var(--paper); }
svg .grid { stroke: var(--line); }
svg .dash { stroke: var(--soft); stroke-dasharray: 4 4; fill: none; }
svg .line { stroke: var(--accent); stroke-width: 2; fill: none; }
svg .thin { stroke: var(--accent); stroke-width: 1; fill: none; opacity: .22; }
svg .dot { fill: var(--accent); }
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --panel: #f3f3f3;
    --accent: #1f5fbf; --warn: #000; --warn-paper: #fff; color-scheme: light; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; } tr, .card, pre { break-inside: avoid; }
  .figures { grid-template-columns: 1fr 1fr; } audio, details { display: none; }
}
"""

"""How does a report page look?

One style sheet for light and dark, system fonts, no external reference. Colours are variables that the plots use too.
"""

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#16202c;--muted:#5b6878;--line:#e1e6ec;
  --accent:#1f5fd6; --good:#0f7a48;--good-bg:#e3f5eb;--bad:#b3261e;--bad-bg:#fdeceb;--warn:#8a5200;
  --warn-bg:#fff2d9; --series-1:#2f6fe0;--series-2:#d9781e;--series-3:#7b4fc9}
@media (prefers-color-scheme:dark){:root{--page:#0e131a;--card:#161d27;--ink:#e6ebf2;--muted:#9aa8b8;--line:#2a3441;
  --accent:#7fb0ff;--good:#5fd39a;--good-bg:#12301f;--bad:#ff8a80;--bad-bg:#3a1917;--warn:#ffc266;--warn-bg:#33260f;
  --series-1:#6ea4ff;--series-2:#ffab5e;--series-3:#b794f6}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
  font-variant-numeric:tabular-nums}
main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;line-height:1.2;margin:0;letter-spacing:-.01em;text-wrap:balance}
h2{font-size:17px;margin:0 0 4px;letter-spacing:-.005em}
p{margin:0}
.sub{color:var(--muted);margin:6px 0 0}
section,.headline{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 22px;
  margin-top:18px}
.headline{border-left:6px solid var(--edge);padding:22px 24px}
.headline.promote{--edge:var(--good)}
.headline.refuse{--edge:var(--bad)}
.headline.plain{--edge:var(--accent)}
.range{display:block;color:var(--muted);font-size:12px;font-weight:400;line-height:1.3}
details{margin-top:10px}
summary{cursor:pointer;color:var(--accent);font-size:14px;margin-bottom:6px}
.headline .word{font-size:22px;font-weight:650;color:var(--edge)}
.headline .why{margin-top:6px;max-width:75ch}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:14px 18px;margin:20px 0 0}
.facts dt{color:var(--muted);font-size:12.5px}
.facts dd{margin:2px 0 0;font-size:19px;font-weight:600;overflow-wrap:anywhere}
.note{color:var(--muted);margin:0 0 14px;max-width:85ch}
.banner{background:var(--warn-bg);color:var(--warn);border:1px solid currentColor;border-radius:12px;
  padding:12px 18px; margin-top:18px;font-weight:600}
.scroll{overflow-x:auto;margin:0 -6px;padding:0 6px}
table{border-collapse:collapse;width:100%;font-size:14px}
th{font-weight:600;color:var(--muted);font-size:12.5px;text-align:left;vertical-align:bottom}
th,td{padding:7px 12px 7px 0;border-bottom:1px solid var(--line);white-space:nowrap}
tbody tr:last-child td,tbody tr:last-child th{border-bottom:0}
tbody th{color:var(--ink);font-size:14px;font-weight:500;vertical-align:middle}
td.n,th.n{text-align:right}
.n+:not(.n){padding-left:16px}
td.wide{width:60%}
td.t{white-space:normal;min-width:260px}
tr.strong td,tr.strong th{font-weight:650}
tr.quiet td,tr.quiet th{color:var(--muted)}
.badge{display:inline-block;min-width:58px;text-align:center;border-radius:999px;padding:1px 10px;font-size:12.5px;
  font-weight:600; background:var(--line);color:var(--muted)}
.badge.good{background:var(--good-bg);color:var(--good)}
.badge.bad{background:var(--bad-bg);color:var(--bad)}
.badge.warn{background:var(--warn-bg);color:var(--warn)}
code{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere;white-space:normal}
.plot{display:block;width:100%;height:auto}
.plot-reliability{max-width:520px}
.plot-drift,.plot-importance{max-width:820px}
.plot text{font-family:inherit}
.bar{height:8px;border-radius:4px;background:var(--series-1);min-width:2px}
footer{color:var(--muted);font-size:13px;margin-top:22px}
@media (max-width:600px){main{padding:20px 12px 48px}section,.headline{padding:16px 14px}h1{font-size:22px}}
@media print{body{background:#fff}section,.headline{break-inside:avoid}}
"""

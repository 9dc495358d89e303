"""The look of the report page: light, narrow screens first, fit for paper."""

STYLE = """
:root { --ink: #1c2733; --muted: #66717d; --line: #e3e7eb; --good: #1a7f4b; --bad: #c03a2b; --accent: #1f5fa8; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7f9; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 20px 16px 40px; }
header { margin: 8px 0 20px; }
header p { margin: 2px 0; color: var(--muted); }
.brand { text-transform: uppercase; letter-spacing: .08em; font-size: 12px; }
h1 { font-size: 28px; line-height: 1.2; margin: 2px 0 4px; }
h2 { font-size: 17px; margin: 0 0 12px; }
h3 { font-size: 14px; margin: 18px 0 6px; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; margin: 14px 0; }
img { display: block; width: 100%; height: auto; }
.badge { display: inline-block; margin: 6px 6px 0 0; padding: 2px 10px; border-radius: 999px; font-size: 12px;
  color: #7a4b00; background: #fdf1dc; border: 1px solid #f3d9a8; }
.cards { display: grid; grid-template-columns: repeat(4, 1fr); gap: 10px; margin: 0 0 14px; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 10px 12px; }
.card dt { font-size: 12px; color: var(--muted); }
.card dd { margin: 2px 0 0; font-size: 17px; font-weight: 600; font-variant-numeric: tabular-nums; }
.card small { display: block; color: var(--muted); font-size: 11px; }
.good dd { color: var(--good); }
.bad dd { color: var(--bad); }
.wide, .scroll { overflow-x: auto; }
td:last-child:not(.n) { min-width: 12em; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--muted); font-weight: 600; white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr));
  gap: 18px; margin-top: 16px; }
figure { margin: 0; }
figcaption { font-size: 13px; font-weight: 600; margin-bottom: 4px; }
.note, .nothing { color: var(--muted); font-size: 13px; margin: 6px 0; }
.warn { background: #fdf1dc; border: 1px solid #f3d9a8; border-radius: 10px; padding: 8px 14px;
  margin: 10px 0; font-size: 13px; }
footer { color: var(--muted); font-size: 12px; overflow-wrap: anywhere; }
@media (max-width: 560px) { section { padding: 12px; border-radius: 8px; } h1 { font-size: 23px; }
  main { padding: 12px 8px; }
  .cards { grid-template-columns: repeat(2, 1fr); }
  section > .scroll img { width: 720px; } }
@media print { body { background: #fff; } section { border: 0; padding: 0; break-inside: avoid; }
  main { max-width: none; } }
"""

"""Bars of ratios, as SVG: how many times worse than its limit each row is, with the best peer as a mark."""
import html, math

ROW, TOP, LEFT, WIDTH, RIGHT = 20, 78, 290, 560, 210
COLOURS = {"becket-loop": "#1f6f8b", "becket-fiber": "#c8692b"}


def bars(rows, title):
    """rows: dicts of label, ours, ratio, base, is_limit, peer, peer_ratio. The axis is logarithmic; 1 is the base."""
    rows = list(rows)
    values = [v for r in rows for v in (r["ratio"], r["peer_ratio"]) if v]
    low = min([0.5, *values])
    high = min(max([2, *values]), 1000)
    low, high = math.log2(max(low, 1 / 64)) - 0.1, math.log2(high) + 0.1

    def x(ratio):
        at = (math.log2(max(ratio, 1e-9)) - low) / (high - low)
        return LEFT + WIDTH * min(max(at, 0), 1)

    height = TOP + ROW * len(rows) + 16
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{height}" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="12" y="20" font-size="15" font-weight="bold">{html.escape(title)}</text>']
    at = 12
    for name, colour in COLOURS.items():
        out.append(f'<rect x="{at}" y="32" width="12" height="12" fill="{colour}"/><text x="{at + 17}" y="42">{name}</text>')
        at += 115
    out.append(f'<path d="M{at + 6} 32l6 6-6 6-6-6z" fill="#333"/><text x="{at + 17}" y="42">best peer</text>')
    out.append(f'<text x="{at + 95}" y="42" fill="#555">times worse than what is named at the right: shorter is better. '
               '* no limit known: the best peer</text>')
    for power in range(math.ceil(low), math.floor(high) + 1):
        if high - low > 7 and power % 2:
            continue
        place, label = x(2.0**power), f"{2**power}" if power >= 0 else f"1/{2**-power}"
        weight = 'stroke="#000" stroke-width="1.5"' if power == 0 else 'stroke="#ddd"'
        out.append(f'<line x1="{place:.1f}" y1="{TOP - 6}" x2="{place:.1f}" y2="{height - 10}" {weight}/>')
        out.append(f'<text x="{place:.1f}" y="{TOP - 10}" text-anchor="middle" fill="#555">{label}</text>')
    before = None
    for i, r in enumerate(rows):
        y = TOP + ROW * i
        start, end = sorted((x(1), x(r["ratio"])))
        colour = COLOURS.get(r["ours"], "#777")
        if r["label"] != before:
            out.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{html.escape(r["label"])}</text>')
        before = r["label"]
        out.append(f'<rect x="{start:.1f}" y="{y + 3}" width="{max(end - start, 1.5):.1f}" height="{ROW - 6}" fill="{colour}"/>')
        if r["peer_ratio"]:
            place = x(r["peer_ratio"])
            name = html.escape(f'{r["peer"]}: {r["peer_ratio"]:.2f}')
            out.append(f'<path d="M{place:.1f} {y + 4}l6 6-6 6-6-6z" fill="#333" stroke="white"><title>{name}</title></path>')
        named = f'{r["ratio"]:.2f} x {r["base"]}' + ("" if r["is_limit"] else " *")
        out.append(f'<text x="{LEFT + WIDTH + 10}" y="{y + 14}">{html.escape(named)}</text>')
    return "\n".join([*out, "</svg>", ""])
